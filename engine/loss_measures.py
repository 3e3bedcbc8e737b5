"""Measures of the whole venue: forced trades, deleveraging, makers, gateway."""

from math import fsum

import numpy as np

from . import facts
from .book_measures import Figures
from .look import Floats, Look, NoFigure, UnknownMeasure
from .prints import NANO, in_seconds
from .reading.venue_files import build_rules

SUSTAINED_S = 60.0
"""Forced trades go on if this long there are some ..."""

SUSTAINED = 5
"""... in so many cycles of the liquidation engine ..."""

SUSTAINED_SHARE = 3e-5
"""... each with this much of all that is traded by force in the run.

Without it the few of 21:00 on 10 October 2025 count. With it the liquidations on
Hyperliquid (hl_liq_adl_per_second) go on from 21:13:13 and the first deleveraging is
171 s later, as reported; so does any share from 1e-6 to this, the largest.
"""


# -- FORCED TRADES AND DELEVERAGING


def going_on(time: Floats, usd: Floats, cycle_s: float) -> float:
    """When forced trades began to go on: 60 s with 5 cycles of some size or more.

    Times in s, shape (trades,); sizes in US dollars. NaN if they never went on.
    """
    # A cycle's own time may lie a rounding below so many of them.
    cycle = np.floor(time / cycle_s + 1e-6).astype(np.int64)
    each, where = np.unique(cycle, return_inverse=True)
    size = np.bincount(where, usd, len(each))
    times = each[size >= SUSTAINED_SHARE * size.sum()]
    ahead = times[SUSTAINED - 1 :] - times[: 1 - SUSTAINED]
    enough = np.flatnonzero(ahead * cycle_s < SUSTAINED_S)
    return float(times[enough[0]] * cycle_s) if len(enough) else float("nan")


def sustained(look: Look) -> float:
    """When forced trades began to go on, in s of the run."""
    run = look.run
    cycle_s = build_rules(run.scenario.config.rules).liquidation.cycle_s
    trades = run.prints
    began = going_on(trades.time[trades.forced], trades.usd[trades.forced], cycle_s)
    if np.isnan(began):
        raise NoFigure("forced trades did not go on for long")
    return began


def peak_minute(look: Look) -> float:
    """Start of the minute with most traded by force or taken over, after midnight."""
    run = look.run
    trades, (_, taken) = run.prints, run.log.rare("takeover")
    time = np.concatenate([trades.time[trades.forced], taken["time"] * NANO])
    usd = np.concatenate([trades.usd[trades.forced], taken["value"]])
    inside = look.inside(time)
    if not inside.any():
        raise NoFigure("nothing was traded by force then")
    minute = ((time[inside] + run.scenario.config.start) // 60.0).astype(np.int64)
    return 60.0 * float(np.argmax(np.bincount(minute, usd[inside])))


def from_shocks(look: Look) -> float:
    """Share of the USD traded by force whose chain of causes ends in a shock."""
    run = look.run
    rows = np.flatnonzero(run.prints.forced & look.inside(run.prints.time))
    if len(rows) == 0:
        raise NoFigure("nothing was traded by force then")
    usd, event = run.prints.usd[rows], run.prints.event[rows]
    found = run.links.ancestry(event)
    shocks = run.log.rare("shock")[0]
    reached = np.isin(found.root[found.of(event)], shocks)
    return fsum(usd[reached].tolist()) / fsum(usd.tolist())


def _closed(look: Look) -> np.ndarray:
    _, rows = look.run.log.rare("adl")
    rows = rows[look.inside(in_seconds(rows["time"]))]
    if len(rows) == 0:
        raise NoFigure("nobody was deleveraged then")
    return rows


def delay_s(look: Look) -> float:
    """Seconds from when forced trades began to go on to the first deleveraging."""
    return float(_closed(look)["time"][0]) * NANO - sustained(look)


def duration_s(look: Look) -> float:
    """Seconds from the first deleveraging to the last."""
    time = _closed(look)["time"]
    return float(time[-1] - time[0]) * NANO


def gap_s(look: Look) -> float:
    """Median seconds between bursts, which are neighbouring seconds with some."""
    second = np.unique(_closed(look)["time"] // 10**9)
    begins = second[np.diff(second, prepend=-2) > 1]
    if len(begins) < 2:
        raise NoFigure("there was but one burst of deleveraging")
    return float(np.median(np.diff(begins)))


def share_of_top(look: Look) -> float:
    """Share of the US dollars deleveraged borne by so many accounts, the largest."""
    rows = _closed(look)
    _, who = np.unique(rows["counterparty"], return_inverse=True)
    borne = np.sort(np.bincount(who, facts.deleveraged_usd(look.run, rows)))[::-1]
    return float(borne[: int(look.value())].sum() / borne.sum())


def share_in(look: Look) -> float:
    """Share of the US dollars deleveraged that was in these assets."""
    rows, names = _closed(look), look.run.names
    wanted = look.argument.split(",")
    unknown = [name for name in wanted if name not in names.assets]
    if unknown:
        text = f"needs assets behind its name (got {unknown[0]!r})"
        raise UnknownMeasure(text)
    bases = [names.assets.index(name) for name in wanted]
    usd = facts.deleveraged_usd(look.run, rows)
    own = np.isin(np.array(names.base)[rows["market"]], bases)
    return float(usd[own].sum() / usd.sum())


def in_profit_share(look: Look) -> float:
    """Share of the deleveraged accounts whose closed position was in profit."""
    rows, words = _closed(look), look.run.log.words
    if "in profit" not in words and "at a loss" not in words:
        raise NoFigure("the venue does not say who was in profit")
    gained = rows["text"] == (words.index("in profit") if "in profit" in words else -1)
    who = np.unique(rows["counterparty"])
    return len(np.unique(rows["counterparty"][gained])) / len(who)


def draw_usd(look: Look) -> float:
    """What the insurance fund lost from before the first shock to its lowest."""
    series, before = look.run.series, facts.venue(look.run).fund_before
    fund = series.fund_usd[look.inside(in_seconds(series.time))]
    if not np.isfinite(before) or len(fund) == 0:
        raise NoFigure("the fund was not sampled")
    return max(0.0, before - float(fund.min()))


def index_drift(look: Look) -> float:
    """Largest distance of an index from ``ratio`` of its ``underlying``, share."""
    run = look.run
    asset = run.names.assets[look.number]
    rule = run.scenario.config.oracles.get(asset)
    if rule is None or not rule.ratio or rule.underlying not in run.names.assets:
        raise NoFigure(f"[oracles.{asset}] has no ratio and underlying")
    series = run.series
    other = series.index[:, run.names.assets.index(rule.underlying)]
    away = np.abs(series.index[:, look.number] / (rule.ratio * other) - 1.0)
    away = away[look.inside(in_seconds(series.time))]
    if not np.isfinite(away).any():
        raise NoFigure(f"{asset} had no index then")
    return float(np.nanmax(away))


# -- MARKET MAKERS


def _at_worst(look: Look) -> tuple[int, int]:
    # Samples of the makers: the last before the first shock, and of least equity.
    series = look.run.series
    if len(series.maker_accounts) == 0 or len(series.maker_time) == 0:
        raise NoFigure("there are no market makers")
    start = facts.last_before(look.run, series.maker_time)
    inside = np.flatnonzero(look.inside(in_seconds(series.maker_time)))
    if len(inside) == 0:
        raise NoFigure("there is no sample in the window")
    equity = series.maker_equity.sum(axis=1)
    return start, int(inside[np.argmin(equity[inside])])


def _middle(values: Floats) -> float:
    # Of those that have equity to be levered on.
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        raise NoFigure("no market maker has equity")
    return float(np.median(finite))


def leverage_trough(look: Look) -> float:
    """Median leverage of the makers when all together had least equity."""
    return _middle(look.run.series.maker_leverage[_at_worst(look)[1]])


def leverage_after(look: Look) -> float:
    """The same at the last sample."""
    _at_worst(look)
    series = look.run.series
    inside = look.inside(in_seconds(series.maker_time))
    return _middle(series.maker_leverage[inside][-1])


def leverage_by_collateral(look: Look) -> float:
    """Share of the rise of leverage to then that repriced collateral alone caused."""
    start, worst = _at_worst(look)
    series = look.run.series
    before = _middle(series.maker_leverage[start])
    then = _middle(series.maker_leverage[worst])
    if not then > before:
        raise NoFigure("leverage did not rise")
    return (then - _middle(series.maker_leverage_unrepriced[worst])) / (then - before)


# -- GATEWAY


def delay_max_s(look: Look) -> float:
    """Longest that a message would have waited at the gateway, of the samples."""
    return float(_delays(look).max())


def delay_mean_s(look: Look) -> float:
    """Mean of the same."""
    return float(_delays(look).mean())


def _delays(look: Look) -> Floats:
    series = look.run.series
    found = series.gateway_delay[look.inside(in_seconds(series.time))]
    if len(found) == 0:
        raise NoFigure("there is no sample in the window")
    return found


def sent(look: Look) -> float:
    """Messages that reached the books."""
    return float(look.run.log.sent)


def refused(look: Look) -> float:
    """Messages that the gateway refused."""
    if "refused_by_gateway" not in look.run.outcome:
        raise NoFigure("the run has no gateway")
    return float(look.run.outcome["refused_by_gateway"])


LOSSES: dict[str, Figures] = {
    "forced": {"peak_minute": peak_minute, "from_shocks": from_shocks},
    "adl": {
        "delay_s": delay_s,
        "duration_s": duration_s,
        "gap_s": gap_s,
        "share_of_top": share_of_top,
        "share_in": share_in,
        "in_profit_share": in_profit_share,
    },
    "fund": {"draw_usd": draw_usd},
    "makers": {
        "leverage_trough": leverage_trough,
        "leverage_after": leverage_after,
        "leverage_by_collateral": leverage_by_collateral,
    },
    "gateway": {
        "delay_max_s": delay_max_s,
        "delay_mean_s": delay_mean_s,
        "sent": sent,
        "refused": refused,
    },
}
