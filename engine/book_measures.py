"""Measures of one market: how it fell, came back, and who quoted it."""

from collections.abc import Callable

import numpy as np

from ..orderbook.orders import Side
from .census import BUY, SELL
from .chance import log
from .facts import fall
from .look import Bools, Floats, Look, NoFigure
from .prints import NANO, in_seconds, usd_at

CLOSE_S = 5.0
"""Length of the bins whose last trades are compared, seconds."""

TIGHT, WIDE = 0, 2
"""Bands of the depth of watched markets: 25 bp and half of the price."""

EMPTY = 0.1
"""A book is a vacuum while it has less than this share of its bid depth before."""


# -- PRICES, from the trades


def closes(look: Look) -> tuple[Floats, Floats, Bools]:
    """The last trade of each 5 s of the clock, when those end, and which count.

    A close counts if the trade does, not if the end of its 5 s does: that of a window's
    last 5 s is the window's, and that of the 5 s before it is not.
    """
    rows = look.run.prints.of(look.number)
    start = look.run.scenario.config.start
    bins = ((look.run.prints.time[rows] + start) // CLOSE_S).astype(np.int64)
    last = np.flatnonzero(np.append(bins[1:] != bins[:-1], True)[: len(bins)])
    ends = np.asarray((bins[last] + 1) * CLOSE_S - start, np.float64)
    inside = look.inside(look.run.prints.time[rows[last]])
    return look.run.prints.price[rows[last]], ends, inside


def lowest_close(look: Look) -> tuple[float, float]:
    """The lowest of them that counts, and when it was."""
    price, end, inside = closes(look)
    if not inside.any():
        raise NoFigure(f"{look.name} did not trade then")
    at = np.flatnonzero(inside)[np.argmin(price[inside])]
    return float(price[at]), float(end[at])


def low_5s(look: Look) -> float:
    """Lowest 5 s close over the price before, less 1."""
    return lowest_close(look)[0] / look.before - 1.0


def low_5s_time(look: Look) -> float:
    """When that was, seconds after midnight."""
    return look.time_of_day(lowest_close(look)[1])


def move_5s(look: Look) -> float:
    """Largest change between neighbouring 5 s closes, absolute logarithm."""
    price, _, inside = closes(look)
    if not inside[1:].any():
        raise NoFigure(f"{look.name} has not two closes then")
    moves = np.abs(log(price[1:] / price[:-1]))
    return float(moves[inside[1:]].max())


def path(look: Look) -> float:
    """The last trade up to the end of the window, over the price before, less 1."""
    rows = look.run.prints.of(look.number)
    rows = rows[look.run.prints.time[rows] < look.end]
    if len(rows) == 0:
        raise NoFigure(f"{look.name} had not traded by then")
    return float(look.run.prints.price[rows[-1]]) / look.before - 1.0


def trough(look: Look) -> float:
    """Lowest trade."""
    return float(look.run.prints.price[look.low])


def low_time(look: Look) -> float:
    """When that was, seconds after midnight."""
    return look.time_of_day(float(look.run.prints.time[look.low]))


def drop(look: Look) -> float:
    """Fall from the price before to the lowest trade, share of the first."""
    return fall(look.before, trough(look))


def back_at(look: Look) -> float:
    """Seconds from the lowest trade to the next at a price or above it."""
    return _until(look, look.value())


def half_life_s(look: Look) -> float:
    """Seconds from the lowest trade until half of the fall was regained."""
    low = trough(look)
    if not low < look.before:
        raise NoFigure(f"{look.name} did not fall then")
    return _until(look, low + 0.5 * (look.before - low))


def _until(look: Look, price: float) -> float:
    # Infinite if it never came back.
    trades = look.run.prints
    rows = trades.of(look.number)
    later = rows[rows > look.low]
    back = later[trades.price[later] >= price]
    wait = trades.time[back[0]] - trades.time[look.low] if len(back) else np.inf
    return float(wait)


def minutes_below(look: Look) -> float:
    """Minutes in which the last trade was below a price."""
    trades, run = look.run.prints, look.run
    rows = trades.of(look.number)
    if len(rows) == 0:
        raise NoFigure(f"{look.name} did not trade")
    end = min(look.end, run.scenario.config.duration)
    edges = np.append(trades.time[rows], end)
    edges = np.clip(edges, look.begin, end)
    below = trades.price[rows] < look.value()
    return float(np.diff(edges)[below].sum()) / 60.0


def excess_over_outside(look: Look) -> float:
    """How far the lowest trade was below the price outside then, share of that."""
    series, trades = look.run.series, look.run.prints
    names = look.run.names
    at = int(np.searchsorted(series.time * NANO, trades.time[look.low], "right")) - 1
    base, quote = names.base[look.number], names.quote[look.number]
    outside = series.outside[max(0, at)]
    return 1.0 - trough(look) / float(outside[base] / outside[quote])


def excess_over_books(look: Look) -> float:
    """How far its low was below the median low of the base's other books, in USD."""
    names = look.run.names
    base = names.base[look.number]
    others = [
        market
        for market in range(len(names.markets))
        if names.base[market] == base
        and market != look.number
        and not names.perpetual[market]
    ]
    lows = []
    for market in others:
        try:
            lows.append(low_usd(look.of(market)))
        except NoFigure:
            continue
    if not lows:
        raise NoFigure(f"{look.name} is the only book of its base that traded")
    return 1.0 - low_usd(look) / float(np.median(lows))


def low_usd(look: Look) -> float:
    """The lowest trade in US dollars, at the index of its quote then."""
    quote = np.array([look.run.names.quote[look.number]])
    at = np.array([int(look.run.prints.time[look.low] / NANO)])
    return trough(look) * float(usd_at(look.run.series, quote, at)[0])


def mark_at_spot_low(look: Look) -> float:
    """Mark of a perpetual at the sample nearest to the lowest trade of its spot."""
    names, series = look.run.names, look.run.series
    spot = look.name.removesuffix(":PERP")
    if spot == look.name or spot not in names.markets:
        raise NoFigure(f"{look.name} is no perpetual with a spot market")
    low = look.run.prints.time[look.of(names.markets.index(spot)).low]
    time, mark = series.time * NANO, series.mark[:, look.number]
    if look.number in series.watched.markets:
        time, mark = look.seconds, look.watched.mark[:, look.column]
    return float(mark[np.argmin(np.abs(time - low))])


# -- WHERE THE FALL STOPPED


def stopped_by(look: Look) -> str:
    """Table of the account whose order met the lowest trade."""
    return look.run.group(int(look.run.prints.maker[look.low]))


def stopped_age_s(look: Look) -> float:
    """How long that order had been there, seconds."""
    trades = look.run.prints
    placed = look.run.log.placed(trades.maker_order[[look.low]])[0]
    if placed < 0:
        raise NoFigure("it is not known when the order was placed")
    return float(trades.time[look.low] - placed * NANO)


# -- VOLUME


def volume_usd(look: Look) -> float:
    """US dollars traded."""
    return float(look.run.prints.usd[look.rows].sum())


def forced_sold_usd(look: Look) -> float:
    """US dollars that the liquidation engine sold."""
    trades, rows = look.run.prints, look.rows
    sold = trades.forced[rows] & (trades.side[rows] == Side.SELL)
    return float(trades.usd[rows[sold]].sum())


def forced_share(look: Look) -> float:
    """Share of the volume that the liquidation engine traded."""
    return look.run.prints.forced_share(look.rows)


# -- DEPTH AND SPREAD


def vacuum_s(look: Look) -> float:
    """Seconds with less than a tenth of the bid depth there was before."""
    series, before = look.run.series, float(look.run.depth_before[look.number])
    if not before > 0:
        raise NoFigure(f"{look.name} had no bids before the first shock")
    end = min(look.end, look.run.scenario.config.duration)
    edges = np.clip(np.append(series.time * NANO, end), look.begin, end)
    empty = series.bid_depth[:, look.number] < EMPTY * before
    return float(np.diff(edges)[empty].sum())


def _depth(look: Look, band: int) -> Floats:
    # Both sides. Before the first quotes there is nothing to speak of.
    depth = look.watched.depth[:, look.column, :, band].sum(axis=1)
    quoted = np.isfinite(_spread(look))
    return np.where(np.cumsum(quoted) > 0, depth, np.nan)


def _spread(look: Look) -> Floats:
    # Of the middle; NaN while a side is empty.
    bid, ask = look.watched.bid[:, look.column], look.watched.ask[:, look.column]
    return np.asarray((ask - bid) / (0.5 * (ask + bid)))


def depth_min(look: Look) -> float:
    """Least minute of depth within 25 bp, over the median minute before."""
    return float(look.over_base(_depth(look, TIGHT))[0].min())


def depth_median(look: Look) -> float:
    """Median minute of depth within 25 bp, over that before."""
    return float(np.median(look.over_base(_depth(look, TIGHT))[0]))


def least_depth_time(look: Look) -> float:
    """Middle of the minute with the least depth within 25 bp, seconds of the run."""
    depth, begins = look.over_base(_depth(look, TIGHT))
    return float(begins[np.argmin(depth)]) + 30.0


def depth_usd(look: Look) -> float:
    """Mean US dollars resting within half of the price, both sides."""
    depth = _depth(look, WIDE)[look.inside(look.seconds)]
    if not np.isfinite(depth).any():
        raise NoFigure("there is no sample in the window")
    return float(np.nanmean(depth))


def depth_change(look: Look) -> float:
    """The same over that before the first shock, less 1."""
    early = _depth(look, WIDE)[look.seconds < look.run.start]
    if not np.isfinite(early).any():
        raise NoFigure("there is no sample before the first shock")
    return depth_usd(look) / float(np.nanmean(early)) - 1.0


def spread_max(look: Look) -> float:
    """Widest minute of the spread, over the median minute before."""
    return float(look.over_base(_spread(look))[0].max())


def spread_widest(look: Look) -> float:
    """Widest spread of a second with both sides, share of the middle."""
    spread = _spread(look)[look.inside(look.seconds)]
    if not np.isfinite(spread).any():
        raise NoFigure("there is no second with both sides")
    return float(np.nanmax(spread))


def premium_min(look: Look) -> float:
    """Lowest minute of middle over index, less 1, of a perpetual."""
    watched, k = look.watched, look.column
    middle = 0.5 * (watched.bid[:, k] + watched.ask[:, k])
    premium = middle / watched.index[:, k] - 1.0
    ran = look.seconds < look.run.scenario.config.duration
    premium = np.where(look.inside(look.seconds) & ran, premium, np.nan)
    if not np.isfinite(premium).any():
        raise NoFigure("there is no second with both sides")
    return float(look.by_minute(premium)[0].min())


# -- WHO QUOTED


def _per_minute(look: Look, counts: Floats) -> float:
    """Mean of counts by minute over that before the first shock."""
    begins = in_seconds(look.watched.minute)
    middle = begins + 30.0
    end = look.run.scenario.config.duration
    early = (begins >= 0.0) & (middle <= look.run.start)
    late = look.inside(middle) & (middle > look.run.start) & (middle < end)
    base = float(counts[early].mean()) if early.any() else 0.0
    if not base > 0:
        raise NoFigure("nothing was sent in a minute before the first shock")
    if not late.any():
        raise NoFigure("there is no minute in the window")
    return float(counts[late].mean()) / base


def makers_active(look: Look) -> float:
    """Makers that sent any message there, a minute, over that before."""
    sent = look.watched.makers[:, look.column, :, 2]
    return _per_minute(look, (sent > 0).sum(axis=1).astype(np.float64))


def makers_buy_orders(look: Look) -> float:
    """Bids that makers sent there, new or changed, a minute, over that before."""
    sent = look.watched.makers[:, look.column, :, BUY]
    return _per_minute(look, sent.sum(axis=1).astype(np.float64))


def sell_order_share(look: Look) -> float:
    """Share of orders to sell among all orders there."""
    inside = look.inside(in_seconds(look.watched.minute) + 30.0)
    sent = look.watched.sent[:, look.column][inside].sum(axis=(0, 1))
    if not sent[BUY] + sent[SELL]:
        raise NoFigure(f"nobody sent an order to {look.name} then")
    return float(sent[SELL] / (sent[BUY] + sent[SELL]))


Figures = dict[str, Callable[[Look], float | str]]

TRADED: Figures = {
    figure.__name__: figure
    for figure in (
        low_5s,
        low_5s_time,
        move_5s,
        path,
        trough,
        low_time,
        drop,
        back_at,
        half_life_s,
        minutes_below,
        excess_over_outside,
        excess_over_books,
        mark_at_spot_low,
        stopped_by,
        stopped_age_s,
        volume_usd,
        forced_sold_usd,
        forced_share,
        vacuum_s,
    )
}
"""Those that any market has."""

WATCHED: Figures = {
    figure.__name__: figure
    for figure in (
        depth_min,
        depth_median,
        depth_usd,
        depth_change,
        spread_max,
        spread_widest,
        premium_min,
        makers_active,
        makers_buy_orders,
        sell_order_share,
    )
}
"""Those of markets in ``record.markets``."""
