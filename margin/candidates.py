"""Who may be deleveraged, read from a venue's accounts."""

import numpy as np

from ..cython_ext.ledger import SYSTEM_ACCOUNTS
from .adl import Candidates
from .forced import Forced

MOST = 0.999
"""Share of an account's equity that a price worse than mark may take from it."""


def candidates(
    forced: Forced, account: int, market: int, side: int, ticks: int
) -> Candidates:
    """Accounts with a position of ``side`` that may close it at a price, in ticks.

    Not the account itself nor those of the venue. An account gives no more lots than
    its equity pays for at that price. O(accounts + positions of candidates).
    """
    venue = forced.venue
    held = venue.ledger.lots(market) * side
    held[:SYSTEM_ACCOUNTS] = 0
    held[account] = 0
    who = np.flatnonzero(held > 0)
    values, lots = venue.risk.revalue(), held[who]
    equity = values["equity"][who].copy()
    maintenance = values["maintenance"][who].copy()
    mark = forced.price(market)
    lot, tick = float(venue.lot[market]), float(venue.tick[market])
    quote = forced.index(int(venue.quote[market]))
    entry, pnl, unrealised, margin = np.zeros((4, len(who)))
    for i, other in enumerate(who.tolist()):
        for h in forced.positions(other):
            gain = forced.profit(h)
            unrealised[i] += gain
            if h.market == market and h.lots * side > 0:
                unit = h.lots * float(venue.specs[market].quote_unit)
                entry[i], pnl[i] = h.cost / unit * tick, gain
                margin[i] = forced.maintenance(market, h.lots)
    # What a position would leave is the equity that its margin stands for.
    some = maintenance > 0.0
    share = np.where(some, margin / np.where(some, maintenance, 1.0), 0.0)
    left = np.minimum(share, 1.0) * equity / (lots * lot * quote if quote else np.inf)
    return Candidates(
        side=side,
        mark=mark,
        account=who,
        lots=_affordable(lots, equity, side * (mark - ticks * tick) * lot * quote),
        notional=np.asarray(lots * (lot * mark * quote), np.float64),
        entry=entry,
        bankruptcy=mark - side * left,
        pnl=pnl,
        equity=equity,
        wallet=equity - unrealised,
        maintenance=maintenance,
    )


def _affordable(
    lots: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    equity: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    cost: float,
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    # Of a price better than the mark, everyone can have all.
    if cost <= 0.0:
        return lots
    most = np.maximum(equity, 0.0) * MOST / cost
    return np.minimum(lots.astype(np.float64), most).astype(np.int64)
