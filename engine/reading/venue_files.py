"""Venue files that a scenario names: read once, from where the scenario lies."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...margin.presets import RulesError, names_file, read_text
from ...margin.rules import Rules
from .location import Path as Place
from .structure import Fault

PRESET = "rules.preset"
"""Where a variation names another venue."""


class VenueFile(str):
    """The path of a venue's file as a scenario names it, and its text when read.

    >>> VenueFile("mine.toml", 'like = "drift"').text
    'like = "drift"'
    """

    text: str

    def __new__(cls, name: str, text: str) -> "VenueFile":
        """Keep the text beside the name."""
        made = super().__new__(cls, name)
        made.text = text
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Cross a process boundary, or be copied, with the text."""
        return str(self), self.text


def take_files(
    document: Mapping[str, Any], folder: Path, known: Mapping[str, str] | None = None
) -> list[Fault]:
    """Put the files that rules and variations name in place of their names.

    ``known`` texts are not read again. What cannot be read is told and stays a name.
    """
    faults = []
    for place, table, key in _named(document):
        name, found = table[key], known or {}
        if isinstance(name, VenueFile) or not names_file(name):
            continue
        try:
            text = found[name] if name in found else read_text(folder / name)
            table[key] = VenueFile(name, text)
        except RulesError as error:
            message = error.problems[0][1]
            faults.append(Fault(place, f"{message} (got {name!r})"))
    return faults


def texts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The text of each file that rules and variations name, by its name."""
    return {
        str(table[key]): table[key].text
        for _, table, key in _named(document)
        if isinstance(table[key], VenueFile)
    }


def _named(document: Mapping[str, Any]) -> Iterator[tuple[Place, Any, str]]:
    variations = document.get("variations")
    every = variations.items() if isinstance(variations, dict) else ()
    tables: list[tuple[Place, Any, str]] = [
        (("rules", "preset"), document.get("rules"), "preset"),
        *((("variations", name, PRESET), table, PRESET) for name, table in every),
    ]
    for place, table, key in tables:
        if isinstance(table, dict) and isinstance(table.get(key), str):
            yield place, table, key


def build_rules(table: Mapping[str, Any]) -> Rules:
    """The rules of a scenario: a preset, or the file of a venue, with overrides.

    RulesError with every problem; those of the file itself are told of ``preset``.
    """
    overrides = {name: value for name, value in table.items() if name != "preset"}
    preset = table.get("preset", "binance-pm")
    if not isinstance(preset, VenueFile):
        return Rules.build(preset, overrides)
    try:
        rules = Rules.parse(preset, preset.text)
    except RulesError as error:
        own = [(f"{preset}: {place}", text) for place, text in error.problems]
        found = [("preset", f"{where}: {text}") for where, text in own]
        raise RulesError(found) from None
    return rules.changed(overrides)
