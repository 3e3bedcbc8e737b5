"""Make what the pages of the replays show: tables of their targets, and pictures.

    .venv/bin/python docs/make.py history [NAME ...]

Takes one to two minutes, for every seed of every target. The values are kept in
docs/history.csv, so that a test can make the tables again and compare.
"""

import csv
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import median

import attrs
import pictures_of_coins as coins
import pictures_of_loans as loans
from marks import write
from panels import RunOf

import flashwick as fw
from flashwick.engine.config import Target
from flashwick.engine.lab.verify import Row, verify

DOCS = Path(__file__).parent
STORED = DOCS / "history.csv"
COLUMNS = ("replay", "target", "verdict", "values")

Results = dict[str, tuple[Row, ...]]
"""The rows of each replay's verification, by its name."""


@attrs.frozen
class Told:
    """What the overview says of a replay."""

    when: str
    event: str
    mechanism: str


REPLAYS = {
    "usde-loop": Told(
        "constructed",
        "35 million of looped USDe's pool are sold",
        "liquidations feed on the price that they make, or on none",
    ),
    "usdx-2025": Told(
        "6 November 2025",
        "a borrower who never repays, a vote, a forced sale",
        "a fixed oracle makes default worth more than any rate costs",
    ),
    "stream-xusd-2025": Told(
        "4 to 6 November 2025",
        "a loss that the lenders' oracle never sees",
        "a frozen price is a right to what is left in the market",
    ),
    "terra-2022": Told(
        "7 to 13 May 2022",
        "a dollar is redeemed in its own share to the end",
        "each UST takes more of a share that is sold into fewer bids",
    ),
    "iron-2021": Told(
        "16 June 2021",
        "a partly backed coin is redeemed to the end",
        "redeeming mints the share at a lagging average, without a limit",
    ),
    "usdc-svb-2023": Told(
        "11 and 12 March 2023",
        "a reserve partly in a failed bank, over a weekend",
        "with redemption closed only those buy who are paid for waiting",
    ),
    "dai-compound-2020": Told(
        "26 November 2020",
        "DAI at 1.30 at one venue liquidates loans elsewhere",
        "arbitrage carries the price into the anchor that should refuse it",
    ),
    "mango-2022": Told(
        "11 October 2022",
        "profit on a thin coin lent on like money",
        "collateral counts at a price that 4 million dollars move 24-fold",
    ),
    "bzx-2020": Told(
        "15 and 18 February 2020",
        "two flash loans on prices made for them",
        "the lender asks the pool for its price in that very moment",
    ),
    "harvest-2020": Told(
        "26 October 2020",
        "shares of a vault at a price that the buyer had just made",
        "a share is worth what a pool would pay at the moment",
    ),
}
"""In the order of the overview; each is the name of a page, a picture, a scenario."""

PICTURES: dict[str, Callable[[RunOf], str]] = {
    "usde-loop": loans.usde_loop,
    "usdx-2025": coins.usdx,
    "stream-xusd-2025": coins.stream,
    "terra-2022": coins.terra,
    "iron-2021": coins.iron,
    "usdc-svb-2023": coins.usdc,
    "dai-compound-2020": loans.dai,
    "mango-2022": loans.mango,
    "bzx-2020": loans.bzx,
    "harvest-2020": loans.harvest,
}


# -- WORDS


def figure(value: float, *, exact: bool = False) -> str:
    """A number as a table of a page writes it.

    >>> figure(147_931_199.0), figure(1.5e-9), figure(0.870532)
    ('147.9 million', '1.5e-09', '0.8705')
    """
    size = abs(value)
    for unit, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if size >= unit:
            return f"{value / unit:,.{7 if exact else 4}g} {word}"
    if size >= 1e4 or value == int(value):
        return f"{value:,.0f}"
    if size < 1e-3:
        return f"{value:.7f}".rstrip("0") if exact and size > 1e-7 else f"{value:.2g}"
    return f"{value:,.{7 if exact else 4}g}"


def accepted(row: Row) -> str:
    """The band of a target, or its value."""
    target = row.target
    if target.band is not None:
        low, high = (figure(end, exact=True) for end in target.band)
        words = f"{low} to {high}"
    else:
        assert target.value is not None
        words = figure(target.value, exact=True)
        if target.tolerance:
            words += f" ± {figure(target.tolerance, exact=True)}"
    return f"{words} {target.unit}".rstrip()


def ours(row: Row) -> str:
    """The median over the seeds, with the least and the most if they differ."""
    exact = row.target.value is not None
    low, middle, high = (
        figure(value, exact=exact)
        for value in (min(row.values), median(row.values), max(row.values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def verdict(row: Row) -> str:
    """Whether the target holds, and what that proves."""
    word = "holds" if row.verdict == "ok" else "**missed**"
    need = "" if row.target.required else ", not required"
    return f"{word}, {row.target.split}{need}"


def table(rows: Iterable[Row]) -> str:
    """The targets of a replay, as Markdown."""
    lines = [
        "| target | real, and its source | accepted | ours, median | verdict |",
        "|---|---|--:|--:|---|",
    ]
    for row in rows:
        target = row.target
        name = f"`{target.id}`"
        if target.variation:
            name += f" in `{target.variation}`"
        cells = name, target.source, accepted(row), ours(row), verdict(row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def overview(results: Results) -> str:
    """All replays with what they hold, as Markdown."""
    lines = [
        "| replay | when | what happened | mechanism | required held | others missed |",
        "|---|---|---|---|---|---|",
    ]
    for name, told in REPLAYS.items():
        rows = results[name]
        needed = [row for row in rows if row.target.required]
        held = sum(row.verdict == "ok" for row in needed)
        missed = sum(row.verdict != "ok" for row in rows) - len(needed) + held
        cells = (
            f"[`{name}`](history/{name}.md)",
            told.when,
            told.event,
            told.mechanism,
            f"{held} of {len(needed)}",
            str(missed or "–"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# -- WHAT IS STORED


def store(results: Mapping[str, Iterable[Row]]) -> None:
    """Keep the verdict and the value of every seed, a line for each target."""
    with STORED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name in REPLAYS:
            for row in results[name]:
                writer.writerow([name, *cells_of(row)])


def cells_of(row: Row) -> tuple[str, str, str]:
    """A target, its verdict and the value of every seed, as a line has them."""
    return row.target.id, row.verdict, " ".join(map(repr, row.values))


def row_of(line: Mapping[str, str], targets: Mapping[str, Target]) -> Row:
    """The row that a line was made of, its target as the scenario has it now."""
    return Row(
        target=targets[line["target"]],
        values=tuple(map(float, line["values"].split())),
        verdict="ok" if line["verdict"] == "ok" else "miss",
    )


def stored() -> Results:
    """The rows as they were kept, with the targets as the scenarios have them now."""
    found: Results = {}
    with STORED.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for name in dict.fromkeys(line["replay"] for line in lines):
        targets = {target.id: target for target in fw.load(name).config.targets}
        found[name] = tuple(
            row_of(line, targets) for line in lines if line["replay"] == name
        )
    return found


# -- MAKING


def picture(name: str) -> str:
    """The picture of a replay."""
    scenario = fw.load(name)

    @cache
    def run_of(variation: str | None) -> fw.Run:
        chosen = scenario.variation(variation) if variation else scenario
        return chosen.run(seed=0)

    return PICTURES[name](run_of)


def make(names: Iterable[str] = ()) -> None:
    """Verify some replays, or all; write their tables, pictures, the overview."""
    chosen = list(names) or list(REPLAYS)
    results = stored() if STORED.exists() else {}
    for name in chosen:
        results[name] = verify(name).rows
        (DOCS / "pictures" / f"{name}.svg").write_text(picture(name), "utf-8")
    store(results)
    for name, rows in results.items():
        write(DOCS / "history" / f"{name}.md", "targets", table(rows))
    write(DOCS / "history.md", "replays", overview(results))
