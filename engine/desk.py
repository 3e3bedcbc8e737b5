"""The risk desk of a venue: `flashwick.margin.desk` in the units of people."""

from collections.abc import Iterable, Mapping
from math import inf, isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..margin import desk
from .arguments import expect, refuse
from .orders import OrderError, unknown
from .pricing import STABLE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from .accounts import Accounts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JOINT = "*"
"""In a direction: every asset that is no dollar."""


class Sides(NamedTuple):
    """The nearest values below and above the present one; None where there is none."""

    below: float | None
    above: float | None


@frozen(kw_only=True, eq=False)
class LiquidationMap:
    """What would be liquidated at each move of some prices, US dollars.

    Rows are ``moves``, ascending, -0.1 for prices a tenth lower. An account counts from
    the first listed move, away from 0, that brings it to the level. ``positions`` has a
    column for each perpetual, ``coins`` one for each asset that a spot market sells;
    both are worth what they are at the row's prices.
    """

    what: str
    moves: Floats
    accounts: Integers
    markets: tuple[str, ...]
    positions: Floats = field(repr=False)
    assets: tuple[str, ...]
    coins: Floats = field(repr=False)

    @property
    def total(self) -> Floats:
        """Positions and coins together, by move."""
        return np.asarray(self.positions.sum(axis=1) + self.coins.sum(axis=1))

    def rows(self) -> list[dict[str, float]]:
        """One row for each move, its columns by name; zeros are left out."""
        columns = [*self.markets, *self.assets]
        values = np.column_stack([self.positions, self.coins])
        return [
            {"move": move, "accounts": count}
            | {name: usd for name, usd in zip(columns, row, strict=True) if usd}
            for move, count, row in zip(
                self.moves.tolist(),
                self.accounts.tolist(),
                values.tolist(),
                strict=True,
            )
        ]


@frozen(kw_only=True)
class Concentration:
    """Who holds the collateral in one asset; shares are of 1."""

    asset: str
    usd: float
    share: float  # of all collateral
    holders: int
    herfindahl: float  # sum of squared shares of the holders: 1 if one has it all
    top: dict[int, float]  # share of each of the largest holders, by account


class Desk:
    """Questions about all accounts of a venue, at the prices of its last update.

    `Exchange.desk` is one. Nothing it is asked changes anything.
    """

    def __init__(self, venue: "Accounts") -> None:
        self._venue = venue

    def _prices(self) -> desk.Prices:
        atom, lot, lot_quote = self._venue.prices.risk_prices()
        quote = self._venue.quote
        return desk.Prices(atom=atom, lot=lot, lot_quote=lot_quote, quote=quote)

    def _direction(self, direction: Mapping[str, float]) -> desk.Direction:
        told = "weights by name, as in {'BTC': 1}"
        expect("direction", direction, Mapping, told)
        venue, units = self._venue, self._venue.units
        assets, alone = np.zeros(len(units.assets)), {}
        for name, weight in direction.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not isfinite(weight):
                raise OrderError(
                    f"{name}: the weight must be a number (got {weight!r})"
                )
            if name == JOINT:
                assets[[a not in STABLE for a in units.assets]] = weight
            elif name in units.asset_number:
                assets[units.asset_number[name]] = weight
            elif name in units.market_number and venue.perpetual[units.market(name)]:
                alone[units.market(name)] = weight
            else:
                perpetuals = [s.name for s in units.specs if s.perpetual]
                known = (*units.assets, *perpetuals, JOINT)
                raise OrderError(unknown("asset or perpetual", name, known))
        markets = assets[units.base]
        for market, weight in alone.items():
            markets[market] = weight
        if not assets.any() and not markets.any():
            raise OrderError(
                f"'direction' must move something (got {dict(direction)!r})"
            )
        return desk.Direction(assets=assets, markets=markets)

    # -- LIQUIDATION

    def liquidation_move(
        self, account: int, direction: Mapping[str, float], level: float | None = None
    ) -> Sides:
        """Return how far prices have to move together for an account to be liquidated.

        ``direction`` weighs assets, with the perpetuals on them, and single perpetuals:
        at the move -0.1 along ``{"ATOM": 1, "WBETH": 0.5}`` ATOM is a tenth lower and
        WBETH a twentieth. ``"*"`` stands for every asset that is no dollar. ``level``
        is the health to reach, by default that of the rules. Exact to the last digits
        of a price; both are 0 if the account is at the level already.
        """
        venue = self._venue
        venue._known(account)
        _check_level(level)
        moves = desk.liquidation_moves(
            venue.ledger,
            venue.risk,
            self._prices(),
            account,
            self._direction(direction),
            venue.rules.thresholds.liquidate if level is None else level,
        )
        return Sides(*moves)

    def liquidation_price(self, account: int, name: str) -> Sides:
        """Return the prices at which an account is liquidated if only one moves.

        ``name`` is a perpetual, for its mark, or an asset, for its index and the marks
        of the perpetuals on it.
        """
        venue = self._venue
        moves = self.liquidation_move(account, {name: 1.0})
        if name in venue.asset_number:
            price = float(venue.index[venue.asset_number[name]])
        else:
            price = float(venue.mark[venue.market_number[name]])
        return Sides(*(None if by is None else price * (1.0 + by) for by in moves))

    def liquidation_prices(self, account: int) -> dict[str, Sides]:
        """Return those of everything an account has or owes, dollars left out."""
        view = self._venue.account(account)
        names = [name for name in view.balances if name not in STABLE]
        return {
            name: self.liquidation_price(account, name)
            for name in [*names, *view.positions]
        }

    def liquidation_map(
        self,
        moves: Iterable[float],
        direction: Mapping[str, float] | None = None,
        level: float | None = None,
    ) -> LiquidationMap:
        """Return what would be liquidated at each move of prices along a direction.

        ``direction`` is as in `liquidation_move`; without one all assets that are no
        dollars move alike. O(moves × accounts).
        """
        _check_level(level)
        venue, units = self._venue, self._venue.units
        direction = {JOINT: 1.0} if direction is None else direction
        way, wanted = self._direction(direction), np.array(_moves(moves), np.float64)
        least, most = way.reach(-1, venue.quote), way.reach(1, venue.quote)
        inside = (wanted >= least) & (wanted <= most)
        if len(wanted) == 0 or not inside.all():
            wrong = wanted[~inside].tolist()[:1] or "none"
            raise OrderError(
                f"'moves' must be numbers from {least:g} to {most:g}, where no price "
                f"is below 0 (got {wrong})"
            )
        found = desk.liquidation_map(
            venue.ledger,
            venue.risk,
            self._prices(),
            way,
            wanted,
            venue.rules.thresholds.liquidate if level is None else level,
        )
        sold = np.zeros(len(units.assets), np.bool_)
        sold[venue.base[~venue.perpetual]] = True
        perpetual = np.flatnonzero(venue.perpetual)
        return LiquidationMap(
            what=", ".join(
                f"{'all assets' if name == JOINT else name}"
                + ("" if weight == 1 else f" × {weight:g}")
                for name, weight in direction.items()
            ),
            moves=found.moves,
            accounts=found.accounts,
            markets=tuple(units.markets[m] for m in perpetual.tolist()),
            positions=found.by_market[:, perpetual],
            assets=tuple(units.assets[a] for a in np.flatnonzero(sold).tolist()),
            coins=found.by_asset[:, sold],
        )

    def liquidation_maps(self, moves: Iterable[float]) -> dict[str, LiquidationMap]:
        """Return the map of each asset that is no dollar, and of all together (``*``).

        O(assets × moves × accounts).
        """
        listed = _moves(moves)
        names = [name for name in self._venue.assets if name not in STABLE]
        return {
            name: self.liquidation_map(listed, {name: 1.0}) for name in (*names, JOINT)
        }

    def figure(self, *maps: LiquidationMap) -> "Figure":
        """Return the picture of liquidation maps: US dollars against the move."""
        from .pages.desk_figures import map_figure

        return map_figure(maps)

    # -- COLLATERAL

    def concentration(self, top: int = 5) -> list[Concentration]:
        """Return how the collateral in each asset is spread, the largest asset first.

        What accounts owe does not count, and sub-accounts count with their parent.
        O(assets × accounts).
        """
        if not isinstance(top, int) or isinstance(top, bool) or top < 1:
            raise OrderError(
                f"'top' must be a whole number of at least 1 (got {top!r})"
            )
        venue = self._venue
        owners = venue.family.owners(venue.ledger.n_accounts)
        found = desk.concentration(venue.ledger, self._prices(), top, owners)
        return [
            Concentration(
                asset=venue.assets[row.asset],
                usd=row.usd,
                share=row.share,
                holders=row.holders,
                herfindahl=row.herfindahl,
                top=dict(row.top),
            )
            for row in found
        ]

    def effect(self, overrides: Mapping[str, Any]) -> desk.Effect:
        """Return what other rules would do to the accounts before they are in force.

        ``overrides`` are as in `Rules.build`, laid over the rules of the venue: a
        haircut is ``{"collateral": {"WBETH": 0.5}}``. O(accounts).
        """
        venue = self._venue
        rules = venue.rules.changed(overrides)
        other = venue.risk_under(rules)
        return desk.effect(venue.risk, other, venue.rules, rules, self._prices())


def _moves(moves: Iterable[float]) -> list[float]:
    told = "moves of prices, as in [-0.1, -0.2]"
    expect("moves", moves, Iterable, told)
    listed = list(moves)
    if not all(isinstance(move, Real) for move in listed):
        refuse("moves", listed, told)
    return listed


def _check_level(level: float | None) -> None:
    if level is not None and not (isinstance(level, Real) and 0.0 <= level < inf):
        raise OrderError(f"'level' must be a number, at least 0 (got {level!r})")
