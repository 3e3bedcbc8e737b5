"""Commands that ask why and how far: attribute, frontier."""

from __future__ import annotations

from typing import Any

import click

from .engine.reading.changes import parse_assignment
from .engine.scenario import load
from .lab_cli import executor_of, replays_bar, seeds, stopped, workers
from .options import (
    Whole,
    refused,
    report,
    report_path,
    sets,
    single,
    variation,
    varied,
    written,
)


@click.command()
@click.argument("name")
@click.option(
    "--outcome",
    metavar="MEASURE",
    required=True,
    help="What is attributed, a measure with a number, as in median_wick.",
    **single,
)
@click.option(
    "--switch",
    "switches",
    metavar="NAME",
    multiple=True,
    help="A mechanism among those of the file; may be repeated. By default all.",
)
@click.option(
    "--orders",
    type=Whole(2, 10_000, "from 2 to 10,000"),
    help="Random orders, an even number; by default every coalition of up to 8 "
    "mechanisms, and 16 orders of more.",
    **single,
)
@seeds
@sets
@variation
@report
@workers
def attribute(
    name: str,
    outcome: str,
    switches: tuple[str, ...],
    orders: int | None,
    seeds: int | None,
    changes: tuple[str, ...],
    variation: str | None,
    report: str | None,
    jobs: int | None,
    dask: str | None,
    into: str | None,
    resume: bool,
) -> None:
    """Share an outcome out to the mechanisms of a scenario: their Shapley values.

    NAME is a shipped scenario or a TOML file with [switches].
    """
    from .engine.lab.attribute import attribute as attributed
    from .engine.lab.attribute import planned

    scenario = varied(load(name), variation, changes)
    page = report_path(report)
    count = seeds or scenario.config.seeds
    with executor_of(dask, jobs) as executor, stopped(into), refused():
        whole = count * planned(scenario, switches or None, orders)
        with replays_bar(f"attribute {scenario.name}", whole) as show:
            found = attributed(
                scenario,
                outcome,
                switches or None,
                count,
                orders=orders,
                into=into,
                resume=resume,
                executor=executor,
                jobs=jobs,
                on_progress=show,
            )
    click.echo(str(found))
    click.echo(f"\n{found.pairs()}")
    if page is not None:
        click.echo()
        written(lambda: found.report(page), page, "report")


@click.command()
@click.argument("name")
@click.argument("place", metavar="PLACE=LOW..HIGH")
@click.option(
    "--keep",
    metavar="BOUND",
    required=True,
    help="What must hold: a measure, one of < <= > >=, and a number, as in "
    "'makers.liquidated < 1'.",
    **single,
)
@click.option(
    "--over",
    metavar="RULE",
    help="It holds if it does for all seeds, the median, or this share of them; all "
    "by default.",
    **single,
)
@click.option("--log", is_flag=True, help="Look on a log scale.")
@click.option(
    "--tolerance",
    type=float,
    help="How close both sides must come: in the value's unit, or relative to it with "
    "--log; by default a hundredth.",
    **single,
)
@click.option(
    "--scan",
    type=Whole(2, 1_000, "from 2 to 1,000"),
    help="Values looked at first, evenly spaced.  [default: 5]",
    **single,
)
@click.option("--confirm", is_flag=True, help="Replay both sides once more.")
@seeds
@sets
@variation
@report
@workers
def frontier(
    name: str,
    place: str,
    keep: str,
    over: str | None,
    log: bool,
    tolerance: float | None,
    scan: int | None,
    confirm: bool,
    seeds: int | None,
    changes: tuple[str, ...],
    variation: str | None,
    report: str | None,
    jobs: int | None,
    dask: str | None,
    into: str | None,
    resume: bool,
) -> None:
    """Find how far one value can go before a bound no longer holds.

    NAME is a shipped scenario or a TOML file; PLACE is looked at from LOW to HIGH, in
    whole numbers if both are. Exit code 1 if --confirm does not confirm.
    """
    from .engine.lab.frontier import SCAN
    from .engine.lab.frontier import frontier as searched

    scenario = varied(load(name), variation, changes)
    page = report_path(report)
    where, low, high = _range(place)
    work: dict[str, Any] = {}
    with executor_of(dask, jobs) as executor, stopped(into), refused():
        work |= {"executor": executor, "jobs": jobs}
        with replays_bar(f"frontier {scenario.name}", None) as show:
            found = searched(
                scenario,
                where,
                (low, high),
                keep,
                seeds,
                over=_rule(over),
                log=log,
                tolerance=tolerance,
                scan=scan or SCAN,
                into=into,
                resume=resume,
                on_progress=show,
                **work,
            )
        click.echo(str(found))
        again = found.confirm(**work) if confirm else None
    if again is not None:
        click.echo(f"\n{again}")
    if page is not None:
        click.echo()
        written(lambda: found.report(page), page, "report")
    if again is not None and not again.ok:
        raise click.exceptions.Exit(1)


def _range(text: str) -> tuple[str, Any, Any]:
    place, sign, ends = text.partition("=")
    low, dots, high = ends.partition("..")
    if not (sign and dots and low.strip() and high.strip()):
        told = "must be PLACE=LOW..HIGH, as in shocks.1.usd=1e6..8e6"
        raise click.UsageError(f"{text!r} {told}")
    place = place.strip()
    return place, *(parse_assignment(f"{place}={end}")[1] for end in (low, high))


def _rule(text: str | None) -> str | float:
    if text is None:
        return "all"
    try:
        return float(text)
    except ValueError:
        return text
