"""The measures of a crash, asked for by name: of markets, of all pairs, of losses.

`lookup` finds a figure by its name, of a window of the run if one is given; without one
it counts from the first shock on. What a run cannot tell raises NoFigure, with the
reason: it is never 0.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .arguments import suggest
from .book_measures import TRADED, WATCHED, Figures
from .chain_measures import chain_listed, chain_measure, chain_names
from .look import Look, NoFigure, UnknownMeasure
from .loss_measures import LOSSES, index_drift
from .reading.windows import Window, clock, window
from .wick_measures import LOWS, WICKS

if TYPE_CHECKING:
    from .run import Run

Value = float | int | str

OF_MARKETS: Figures = {**TRADED, **WATCHED}
"""Figures of one market: ``MARKET.name`` or ``MARKET.name.argument``."""

OF_ALL: dict[str, Figures] = {"wicks": WICKS, "lows": LOWS, **LOSSES}
"""Figures of the whole run: ``subject.name`` or ``subject.name.argument``."""

OF_ASSETS: Figures = {"index_drift": index_drift}
"""Figures of one asset: ``ASSET.name``."""

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "quantile": ("5", "10", "25", "75", "90", "95", "99"),
    "share_over": ("50", "60", "80", "90", "99"),
    "below_books": ("50", "90"),
    "share_of_top": ("10", "100"),
    "share_between": (),
    "share_in": (),
    "back_at": (),
    "minutes_below": (),
    "lead": (),
    "apart_from_depth": (),
}
"""Figures with an argument, and those it is listed with."""

SHORT = {"median_wick": "wicks.median"}
"""Names that stand for others."""

WHOLE = ("gateway.sent", "gateway.refused")
"""What is counted of the whole run alone."""


def lookup(run: "Run", name: str, times: tuple[str, str] | None = None) -> Value:
    """Return a measure of a run, of the window between two times of day if given.

    UnknownMeasure if there is none of the name, NoFigure if this run cannot tell, as
    of a window that is not in the run.
    """
    known = run.measures()
    name = SHORT.get(name, name)
    if times is None and name in known:
        value: Value = known[name]
        return value
    part = None if times is None else window(times, run.scenario.config.start)
    around = chain_measure(run, name, part)
    if around is not None:
        _expect_inside(run, part)
        return around
    found = _find(run, name, part)
    wrong = _misused(run, name)
    if found is None and wrong:
        raise UnknownMeasure(f"{name!r} {wrong}")
    if times is not None and (name in WHOLE or (found is None and name in known)):
        raise UnknownMeasure(f"{name!r} is not taken of a window; leave that out")
    if found is None:
        raise UnknownMeasure(f"{name!r} is no measure of the run{_near(run, name)}")
    figure, look = found
    _expect_inside(run, part)
    try:
        return figure(look)
    except UnknownMeasure as error:
        raise UnknownMeasure(f"{name!r} {error}") from None


def _expect_inside(run: "Run", part: Window | None) -> None:
    config = run.scenario.config
    if part is not None and not part.begin < part.end <= config.duration:
        whole = f"{clock(config.start)} to {clock(config.start + config.duration)}"
        raise NoFigure(f"the window is not in the run, {whole}")


def _find(
    run: "Run", name: str, part: Window | None
) -> tuple[Callable[[Look], Value], Look] | None:
    subject, figure, argument = _parts(name)
    number, figures = _of(run, subject)
    if figure not in figures or bool(argument) != (figure in ARGUMENTS):
        return None
    return figures[figure], Look(run, part, number, argument)


def _parts(name: str) -> tuple[str, str, str]:
    subject, _, rest = name.partition(".")
    figure, _, argument = rest.partition(".")
    return subject, figure, argument


def _of(run: "Run", subject: str) -> tuple[int, Figures]:
    # Number of a market or asset, and the figures there are of it.
    names = run.names
    if subject in names.markets:
        return names.markets.index(subject), OF_MARKETS
    if subject in names.assets:
        return names.assets.index(subject), OF_ASSETS
    return -1, OF_ALL.get(subject, {})


def _misused(run: "Run", name: str) -> str:
    # What is wrong behind the name of a figure that there is.
    subject, figure, argument = _parts(name)
    if figure not in _of(run, subject)[1]:
        return ""
    if argument:
        return "takes nothing behind its name"
    return "needs something behind its name, after a dot"


def _near(run: "Run", name: str) -> str:
    subject = name.partition(".")[0]
    known = list(run.measures())
    if subject in run.names.markets:
        known += [f"{subject}.{figure}" for figure in OF_MARKETS]
    known += [f"{group}.{figure}" for group in OF_ALL for figure in OF_ALL[group]]
    known += SHORT
    known += chain_names(run)
    return suggest(name, dict.fromkeys(known), listed=0)


def listed(run: "Run") -> Iterator[tuple[str, Value]]:
    """Yield the figures of watched markets, of all pairs, and of the venue.

    Those that this run cannot tell are left out.
    """
    watched = run.scenario.config.record.markets
    subjects = [(market, OF_MARKETS) for market in watched]
    subjects += list(OF_ALL.items())
    subjects += [(asset, OF_ASSETS) for asset in run.scenario.config.oracles]
    for subject, figures in subjects:
        for figure in figures:
            for argument in ARGUMENTS.get(figure, ("",)):
                name = f"{subject}.{figure}.{argument}".rstrip(".")
                found = _find(run, name, None)
                assert found is not None
                try:
                    yield name, found[0](found[1])
                except NoFigure:
                    continue
    yield from chain_listed(run)
