"""Scenario texts of protocols alone, and runs of them."""

from pathlib import Path
from typing import Any

import flashwick as fw
from flashwick.engine.run import Run

ASSETS = """
name = "protocols"
duration = {duration}

[chain]
interval = {interval}

[assets]
USDE = {{ price = 1.0, decimals = 6 }}
USDC = {{ price = 1.0, decimals = 6 }}
ETH = {{ price = 4_000.0 }}
STETH = {{ price = 4_000.0 }}
LUNA = {{ price = 80.0, decimals = 6 }}
UST = {{ price = 1.0, decimals = 6 }}
"""


def step(do: str, on: str | None = None, **keys: object) -> str:
    """A step as a table of TOML."""
    parts = {"do": do, "on": on, **keys}
    rows = (
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
        for key, value in parts.items()
        if value is not None
    )
    return "{ " + ", ".join(rows) + " }"


def deal(at: float, who: str, *steps: str, **keys: object) -> str:
    """A transaction at a time."""
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    head = f'\n[[shocks]]\nat = {at}\nkind = "transaction"\nwho = "{who}"\n{more}'
    return f"{head}steps = [{', '.join(steps)}]\n"


def written(folder: Path, text: str, duration: float = 60, interval: float = 1) -> Path:
    """A scenario file with these tables beside its assets."""
    path = folder / "protocols.toml"
    path.write_text(ASSETS.format(duration=duration, interval=interval) + text)
    return path


def run_of(folder: Path, text: str, *, seed: int = 0, **keys: Any) -> Run:
    """A run of such a scenario."""
    return fw.load(written(folder, text, **keys)).run(seed=seed)


def told(run: Run, word: str) -> list[str]:
    """Texts of the protocols' events that have a word in them."""
    events = run.log.single("protocol", "decision")
    return [event.text for event in events if word in event.text]
