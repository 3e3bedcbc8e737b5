"""Measures of all pairs together: how deep they fell, and what it went with."""

from collections.abc import Sequence

import numpy as np

from .book_measures import (
    Figures,
    excess_over_outside,
    least_depth_time,
    low_usd,
    lowest_close,
)
from .look import Floats, Look, NoFigure, UnknownMeasure, rank_correlation


def pairs(look: Look) -> list[int]:
    """The spot markets quoted in what most of them are quoted in."""
    names = look.run.names
    spot = [m for m, perpetual in enumerate(names.perpetual) if not perpetual]
    if not spot:
        raise NoFigure("the run has no spot market")
    quotes = [names.quote[market] for market in spot]
    most = max(dict.fromkeys(quotes), key=quotes.count)
    return [market for market, quote in zip(spot, quotes, strict=True) if quote == most]


def fall(look: Look, market: int) -> float:
    """Fall of a market from the high of its day to its lowest trade, share of the high.

    The high is that of the file, ``high``, if the run went no higher.
    """
    return _fall(look, market, _highs(look))


def _fall(look: Look, market: int, highs: Sequence[float]) -> float:
    trades, before = look.run.prints, float(look.run.prices_before[market])
    high, low = max(highs[market], before), before
    if len(trades.of(market)):
        high = max(high, float(trades.highs[market]))
        low = min(low, float(trades.lows(look.begin, look.end)[market]))
    return 1.0 - low / high


def _highs(look: Look) -> list[float]:
    # A second book that names none was as far above as the base's first that does.
    run, names = look.run, look.run.names
    before = run.prices_before
    known = [run.scenario.config.markets[name].high for name in names.markets]
    first: dict[int, tuple[int, float]] = {}
    for market, high in enumerate(known):
        if high is not None:
            first.setdefault(names.base[market], (market, high))
    highs = []
    for market, (base, own) in enumerate(zip(names.base, known, strict=True)):
        if own is None and base in first:
            other, high = first[base]
            own = float(high * (before[market] / before[other]))
        highs.append(0.0 if own is None else own)
    return highs


def falls(look: Look) -> Floats:
    """Of all pairs."""
    highs = _highs(look)
    return np.array([_fall(look, market, highs) for market in pairs(look)])


def mean(look: Look) -> float:
    """Mean fall of all pairs."""
    return float(falls(look).mean())


def median(look: Look) -> float:
    """Median fall."""
    return float(np.median(falls(look)))


def quantile(look: Look) -> float:
    """Fall that so many percent of the pairs do not exceed."""
    percent = look.value()
    if not 0.0 <= percent <= 100.0:
        text = f"needs 0 to 100 percent behind its name (got {look.argument})"
        raise UnknownMeasure(text)
    return float(np.quantile(falls(look), percent / 100.0))


def share_over(look: Look) -> float:
    """Share of the pairs that fell by more than so many percent."""
    return float((falls(look) > look.value() / 100.0).mean())


def share_between(look: Look) -> float:
    """Share of the pairs that fell by so many percent to so many."""
    least, _, most = look.argument.partition(",")
    try:
        low, high = float(least) / 100.0, float(most) / 100.0
    except ValueError:
        text = f"needs two numbers behind its name, as in 60,90 (got {look.argument!r})"
        raise UnknownMeasure(text) from None
    found = falls(look)
    return float(((found >= low) & (found <= high)).mean())


def volume_correlation(look: Look) -> float:
    """Rank correlation of the falls with the US dollars traded."""
    numbers, trades = pairs(look), look.run.prints
    rows = look.inside(trades.time)
    volume = np.bincount(
        trades.market[rows], trades.usd[rows], len(look.run.names.markets)
    )
    whole = Look(look.run, None)
    own = np.asarray(volume[numbers], np.float64)
    return rank_correlation(own, falls(whole))


def depth_correlation(look: Look) -> float:
    """Rank correlation of the falls with the bid depth before the first shock."""
    return rank_correlation(look.run.depth_before[pairs(look)], falls(look))


def _books(look: Look, least: int) -> list[list[int]]:
    # Spot books of each base that has so many; that of the pairs first.
    names, first = look.run.names, pairs(look)
    found: dict[int, list[int]] = {names.base[market]: [market] for market in first}
    for market, base in enumerate(names.base):
        further = base in found and not names.perpetual[market]
        if further and market not in found[base]:
            found[base].append(market)
    books = [markets for markets in found.values() if len(markets) >= least]
    if not books:
        raise NoFigure(f"no base has {least} books")
    return books


def range_over_books(look: Look) -> float:
    """Median over bases with 3 books or more of largest less smallest fall."""
    spread = [np.ptp([fall(look, m) for m in books]) for books in _books(look, 3)]
    return float(np.median(spread))


def below_books(look: Look) -> float:
    """Share of bases whose first book fell below so many percent of the others.

    Of the median low of its other books, in US dollars.
    """
    found = []
    for markets in _books(look, 2):
        try:
            first, *others = (low_usd(look.of(market)) for market in markets)
        except NoFigure:
            continue
        found.append(first < look.value() / 100.0 * float(np.median(others)))
    if not found:
        raise NoFigure("no base traded in two books")
    return float(np.mean(found))


def excess_median(look: Look) -> float:
    """Median over the pairs of how far the low was below the price outside."""
    found = []
    for market in pairs(look):
        try:
            found.append(excess_over_outside(look.of(market)))
        except NoFigure:
            continue
    if not found:
        raise NoFigure("no pair traded then")
    return float(np.median(found))


# -- WHICH CAME FIRST


def lead(look: Look) -> float:
    """Seconds from the low of the second market to that of the first, 5 s closes."""
    first, second = _two(look)
    return lowest_close(look.of(first))[1] - lowest_close(look.of(second))[1]


def _two(look: Look) -> list[int]:
    markets = look.markets()
    if len(markets) != 2:
        text = f"needs two markets behind its name (got {look.argument!r})"
        raise UnknownMeasure(text)
    return markets


def apart_from_depth(look: Look) -> float:
    """Seconds between low and least depth within 25 bp, the most of these markets."""
    return max(
        abs(lowest_close(own)[1] - least_depth_time(own))
        for own in map(look.of, look.markets())
    )


WICKS: Figures = {
    figure.__name__: figure
    for figure in (
        mean,
        median,
        quantile,
        share_over,
        share_between,
        volume_correlation,
        depth_correlation,
        range_over_books,
        below_books,
        excess_median,
    )
}

LOWS: Figures = {"lead": lead, "apart_from_depth": apart_from_depth}
