"""What a risk desk asks: liquidation prices, liquidation maps, concentration, haircuts.

Nothing here changes an account, and nothing here trades: the answers hold for the
moment, and a liquidation that moves the price is not followed further.
"""

from collections.abc import Callable
from math import fsum

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..cython_ext.ledger import SYSTEM_ACCOUNTS, Ledger
from ..cython_ext.risk import Risk
from .rules import Rules

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RISE_MAX = 1e6
"""How many times today's price a price is followed when it rises."""


@frozen(kw_only=True, eq=False)
class Prices:
    """Prices at which accounts are valued, as the risk pass takes them.

    ``atom`` is US dollars of an atom by asset, ``lot`` of a lot by market, and
    ``lot_quote`` quote atoms of a lot; ``quote`` the quote asset of each market.
    """

    atom: Floats
    lot: Floats
    lot_quote: Floats
    quote: Integers

    def moved(self, direction: "Direction", by: float) -> "Prices":
        """Return the prices further along a direction."""
        atom = 1.0 + by * direction.assets
        lot = 1.0 + by * direction.markets
        quote = np.where(atom > 0.0, atom, 1.0)[self.quote]
        return Prices(
            atom=self.atom * atom,
            lot=self.lot * lot,
            lot_quote=self.lot_quote * lot / quote,
            quote=self.quote,
        )


@frozen(kw_only=True, eq=False)
class Direction:
    """A way for prices to move together.

    At a move ``t`` each asset's index is ``1 + t × weight`` times today's, and each
    perpetual's mark likewise, both in US dollars.
    """

    assets: Floats
    markets: Floats

    def reach(self, side: int, quotes: Integers) -> float:
        """Return how far prices can go: until one is worth nothing, or a million-fold.

        ``side`` is -1 for moves below 0 and 1 for those above; ``quotes`` are assets
        that must keep some worth, for positions are stated in them.
        """
        weights = side * np.concatenate([self.assets, self.markets])
        end = RISE_MAX / float(np.abs(weights).max(initial=1e-12))
        fastest = float(-weights.min(initial=0.0))
        if fastest > 0.0:
            end = min(end, 1.0 / fastest)
        while (1.0 + side * end * self.assets[quotes] <= 0.0).any():
            end = float(np.nextafter(end, 0.0))
        return side * end


# -- LIQUIDATION PRICE


def liquidation_moves(
    ledger: Ledger,
    risk: Risk,
    prices: Prices,
    account: int,
    direction: Direction,
    level: float,
) -> tuple[float | None, float | None]:
    """Return the nearest moves, below and above 0, at which health is at most a level.

    None where no price of that side brings it there; 0.0 if it is there already.

    Along a direction all worths are straight lines. Collateral counts for ever less of
    a worth and margin asks for ever more, in dollars or in coins, so that adjusted
    equity less ``level`` margins is concave, whatever tiers and debts there are: once
    it is gone it stays gone. So the end of each side says whether there is a move, and
    bisection finds it to the last digits of a price. O(holdings).
    Risk units break that where positions are settled in their own underlying, or hedge
    each other in different dollars, and so may a rule of one's own: the health crosses
    at the move found, but it may cross nearer as well.
    """

    def low(move: float) -> bool:
        then = prices.moved(direction, move)
        values = risk.at(then.atom, then.lot, then.lot_quote, [account])
        return bool(values["health"][0] <= level)

    if low(0.0):
        return 0.0, 0.0
    held = ledger.positions_of(account)["market"]
    ends = [direction.reach(side, np.unique(prices.quote[held])) for side in (-1, 1)]
    below, above = (_first(low, end) if low(end) else None for end in ends)
    return below, above


def _first(low: Callable[[float], bool], end: float) -> float:
    safe, fell = 0.0, end
    while abs(fell - safe) > 2.0**-53 * max(1.0, abs(fell)):
        middle = 0.5 * (safe + fell)
        if middle in (safe, fell):
            break
        if low(middle):
            fell = middle
        else:
            safe = middle
    return fell


# -- LIQUIDATION MAP


@frozen(kw_only=True, eq=False)
class LiquidationMap:
    """What would be liquidated at each move of the prices.

    Rows are moves, ascending. An account counts from the listed move on, away from 0,
    at which it is first at the level; notional is in US dollars at that row's prices:
    its positions by market, its coins by asset.
    """

    moves: Floats
    accounts: Integers
    by_market: Floats = field(repr=False)
    by_asset: Floats = field(repr=False)


def liquidation_map(
    ledger: Ledger,
    risk: Risk,
    prices: Prices,
    direction: Direction,
    moves: Floats,
    level: float,
) -> LiquidationMap:
    """Value all accounts at each move, and sum what those at the level hold.

    O(moves × accounts).
    """
    moves = np.unique(moves)
    shape = len(moves), ledger.n_markets
    lots, atoms = np.zeros(shape), np.zeros((len(moves), ledger.n_assets))
    accounts = np.zeros(len(moves), np.int64)
    for side in (-1, 1):
        rows = np.flatnonzero(moves * side >= 0.0)[::side]
        first = _first_row(risk, prices, direction, moves[rows], level)
        accounts[rows] = _accumulated(first, np.ones_like(first), len(rows))
        for m in range(ledger.n_markets):
            held = np.abs(ledger.lots(m))
            lots[rows, m] = _accumulated(first, held, len(rows))
        for a in range(ledger.n_assets):
            held = np.maximum(ledger.amounts(a), 0)
            atoms[rows, a] = _accumulated(first, held, len(rows))
    then = [prices.moved(direction, float(move)) for move in moves]
    return LiquidationMap(
        moves=moves,
        accounts=accounts,
        by_market=lots * np.array([p.lot for p in then]).reshape(shape),
        by_asset=atoms * np.array([p.atom for p in then]).reshape(atoms.shape),
    )


def _first_row(
    risk: Risk, prices: Prices, direction: Direction, moves: Floats, level: float
) -> Integers:
    # Of each account, the first of the moves at which it is at the level; their
    # number where it never is.
    first = np.full(risk.ledger.n_accounts, len(moves), np.int64)
    for i, move in enumerate(moves.tolist()):
        then = prices.moved(direction, move)
        health = risk.at(then.atom, then.lot, then.lot_quote)["health"]
        first[(health <= level) & (first == len(moves))] = i
    first[:SYSTEM_ACCOUNTS] = len(moves)
    return first


def _accumulated(first: Integers, held: Integers, rows: int) -> Integers:
    # In integers, which add up the same in any order.
    total = np.zeros(rows + 1, np.int64)
    np.add.at(total, first, held)
    return np.cumsum(total[:-1])


# -- CONCENTRATION


@frozen(kw_only=True)
class Concentration:
    """Who holds the collateral in one asset."""

    asset: int
    usd: float  # worth at index
    share: float  # of all collateral
    holders: int
    herfindahl: float  # sum of squared shares of the holders: 1 if one has it all
    top: tuple[tuple[int, float], ...]  # account and its share, largest first


def concentration(
    ledger: Ledger, prices: Prices, top: int, owners: Integers
) -> list[Concentration]:
    """Return how each asset's positive balances are spread, the largest asset first.

    ``owners`` names the account that each account belongs to. O(assets × accounts).
    """
    spread = []
    for a in range(ledger.n_assets):
        held = np.maximum(ledger.amounts(a), 0)
        held[:SYSTEM_ACCOUNTS] = 0
        merged = np.zeros_like(held)
        np.add.at(merged, owners, held)
        if merged.any():
            usd = int(merged.sum()) * float(prices.atom[a])
            spread.append((a, usd, merged))
    every = fsum(usd for _, usd, _ in spread)
    spread.sort(key=lambda entry: (-entry[1], entry[0]))
    return [
        _concentration(a, usd, usd / every if every else 0.0, held, top)
        for a, usd, held in spread
    ]


def _concentration(
    asset: int, usd: float, share: float, held: Integers, top: int
) -> Concentration:
    top = min(top, len(held))
    largest = np.flatnonzero(held >= max(1, np.partition(held, -top)[-top]))
    largest = largest[np.argsort(-held[largest], kind="stable")][:top]
    shares = held / int(held.sum())
    return Concentration(
        asset=asset,
        usd=usd,
        share=share,
        holders=int(np.count_nonzero(held)),
        herfindahl=fsum(np.square(shares[held > 0]).tolist()),
        top=tuple(zip(largest.tolist(), shares[largest].tolist(), strict=True)),
    )


# -- A CHANGE OF RULES


@frozen(kw_only=True, eq=False)
class Effect:
    """What other rules would do to the accounts, before they are in force."""

    lost_usd: float  # adjusted equity, all accounts together
    lost: Floats = field(repr=False)  # by account
    breached: Integers  # accounts that would be liquidated, and are not now
    reduce_only: Integers  # of the others, those that could only reduce
    warned: Integers  # of the others, those that would be warned
    health: Floats = field(repr=False)  # under the other rules, by account


def effect(risk: Risk, other: Risk, now: Rules, then: Rules, prices: Prices) -> Effect:
    """Value all accounts under two sets of rules and compare.  O(accounts)."""
    at = prices.atom, prices.lot, prices.lot_quote
    before, after = risk.at(*at), other.at(*at)
    lost = np.maximum(before["adjusted"] - after["adjusted"], 0.0)
    lost[:SYSTEM_ACCOUNTS] = 0.0
    found, known = [], np.zeros(len(lost), np.bool_)
    known[:SYSTEM_ACCOUNTS] = True
    for name in ("liquidate", "reduce_only", "warn"):
        low = after["health"] <= getattr(then.thresholds, name)
        known |= before["health"] <= getattr(now.thresholds, name)
        found.append(np.flatnonzero(low & ~known))
        known |= low
    return Effect(
        lost_usd=fsum(lost.tolist()),
        lost=lost,
        breached=found[0],
        reduce_only=found[1],
        warned=found[2],
        health=after["health"],
    )
