"""What the options of all commands have in common."""

from typing import Any

import click

from .engine.reading.changes import ChangeError, parse_assignment
from .engine.scenario import LoadedScenario


def _once(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The value of an option that may be given once; None if it is not."""
    if len(values) > 1:
        text = f"{param.opts[0]} is given {len(values)} times; leave one"
        raise click.UsageError(text, ctx)
    return values[0] if values else None


single: dict[str, Any] = {"multiple": True, "callback": _once}
"""Makes an option one that may be given once."""


class Whole(click.ParamType[int]):
    """A whole number in a range, which ``told`` writes out."""

    name = "integer"

    def __init__(self, least: int, most: int, told: str) -> None:
        self.least, self.most, self.told = least, most, told

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number; a message with the range if it is none in it."""
        digits = str(value).strip()
        # int() refuses thousands of digits, and takes "1_000", which is no slip.
        if digits.lstrip("+-").isdecimal() and len(digits) < 30:
            number = int(digits)
            if self.least <= number <= self.most:
                return number
        return self.fail(f"must be a whole number {self.told} (got {value!r})")


sets = click.option(
    "--set",
    "changes",
    metavar="PLACE=VALUE",
    multiple=True,
    help="Change one value, as in oracles.WBETH.policy=redemption. May be repeated.",
)
variation = click.option(
    "--variation", help="A variation that the scenario names.", **single
)


def varied(
    scenario: LoadedScenario, variation: str | None, changes: tuple[str, ...]
) -> LoadedScenario:
    """The scenario, its variation if one is named, and with these changes."""
    if variation is not None:
        scenario = scenario.variation(variation)
    if not changes:
        return scenario
    pairs = [parse_assignment(text) for text in changes]
    places = [place for place, _ in pairs]
    for place in places:
        if places.count(place) > 1:
            text = f"--set {place} is given {places.count(place)} times; leave one"
            raise ChangeError(text)
    return scenario.vary(dict(pairs))
