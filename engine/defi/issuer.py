"""A synthetic dollar: backed by coins and short perpetuals that cancel their price."""

from collections.abc import Mapping
from math import fsum
from typing import NamedTuple, Self

import attrs

from .protocol import (
    ISSUED,
    Transfer,
    require,
    require_amount,
    require_known,
    transfers,
)

Prices = Mapping[str, float]
"""Atoms of the stable asset for one atom of each coin."""


class Short(NamedTuple):
    """A short perpetual: atoms of the coin, and the mean price it was opened at."""

    size: int
    entry: float

    def profit(self, mark: float) -> float:
        """What it has gained since, atoms of the stable asset."""
        return self.size * (self.entry - mark)


Shorts = Mapping[tuple[str, str], Short]
"""Shorts by venue and coin."""


@attrs.frozen(kw_only=True)
class SyntheticDollar:
    """What the issuer holds and owes, in atoms; its token is worth its net assets.

    ``stable`` pays redemptions; ``spot`` lies with a custodian, hedged by ``shorts``
    on venues, whose results and funding gather in ``margin``. Whitelisted holders mint
    and redeem at par, up to a cap in each block; the gatekeeper may set both caps to 0.
    Beyond the stable assets nothing is redeemed until coins are sold and shorts closed.

    Source: ethena-labs/bbp-public-assets f3e56d5f, ``EthenaMinting.sol``;
    https://docs.ethena.fi.
    """

    account: str
    token: str
    stable_asset: str
    minters: tuple[str, ...]
    mint_cap: int
    redeem_cap: int
    stable: int = 0
    supply: int = 0
    reserve: int = 0
    spot: Mapping[str, int] = attrs.field(factory=dict)
    shorts: Shorts = attrs.field(factory=dict)
    margin: Mapping[str, int] = attrs.field(factory=dict)
    block: int = 0
    minted: int = 0
    redeemed: int = 0

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.stable_asset: self.stable, **self.spot}

    def nav(self, prices: Prices, marks: Prices | None = None) -> float:
        """Net assets: stable, coins at their prices, margin and results of shorts.

        Marks are the prices, where they are not given: a staked coin may trade below
        what its short is marked at.
        """
        marks = prices if marks is None else marks
        coins = fsum(atoms * prices[coin] for coin, atoms in self.spot.items())
        results = fsum(
            row.profit(marks[coin]) for (_, coin), row in self.shorts.items()
        )
        return fsum((self.stable, coins, sum(self.margin.values()), results))

    def backing(self, prices: Prices, marks: Prices | None = None) -> float:
        """Net assets for one token."""
        require(self.supply > 0, "supply", "be above 0", self.supply)
        return self.nav(prices, marks) / self.supply

    def delta(self, ratios: Prices | None = None) -> dict[str, float]:
        """Coins that are not hedged; ``ratios`` are a staked coin's in the coin."""
        ratios = ratios or {}
        found = {
            coin: atoms * ratios.get(coin, 1.0) for coin, atoms in self.spot.items()
        }
        for (_, coin), row in self.shorts.items():
            found[coin] = found.get(coin, 0.0) - row.size
        return found

    def exposure_by_venue(self, marks: Prices) -> dict[str, float]:
        """What the failure of each venue would take: results, and margin there."""
        found = {venue: float(atoms) for venue, atoms in self.margin.items()}
        for (venue, coin), row in self.shorts.items():
            found[venue] = found.get(venue, 0.0) + row.profit(marks[coin])
        return found

    # -- ACTIONS OF HOLDERS

    def mint(
        self, who: str, atoms: int, block: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Give stable assets for as many tokens."""
        now = self._in_block(who, atoms, block)
        right = now.minted + atoms <= self.mint_cap
        must = f"be within the block's cap, {self.mint_cap}"
        require(right, "atoms", must, atoms)
        after = attrs.evolve(
            now,
            stable=now.stable + atoms,
            supply=now.supply + atoms,
            minted=now.minted + atoms,
        )
        moves = transfers(
            Transfer(self.stable_asset, who, self.account, atoms),
            Transfer(self.token, ISSUED, who, atoms),
        )
        return after, moves

    def redeem(
        self, who: str, atoms: int, block: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Give tokens for as many stable assets, while there are any."""
        now = self._in_block(who, atoms, block)
        right = now.redeemed + atoms <= self.redeem_cap
        must = f"be within the block's cap, {self.redeem_cap}"
        require(right, "atoms", must, atoms)
        must = f"be at most the stable assets, {self.stable}"
        require(atoms <= self.stable, "atoms", must, atoms)
        must = f"be at most the supply, {self.supply}"
        require(atoms <= self.supply, "atoms", must, atoms)
        after = attrs.evolve(
            now,
            stable=now.stable - atoms,
            supply=now.supply - atoms,
            redeemed=now.redeemed + atoms,
        )
        moves = transfers(
            Transfer(self.token, who, ISSUED, atoms),
            Transfer(self.stable_asset, self.account, who, atoms),
        )
        return after, moves

    def _in_block(self, who: str, atoms: int, block: int) -> Self:
        require_amount("atoms", atoms)
        require_known("who", who, dict.fromkeys(self.minters))
        require(block >= self.block, "block", f"not be before {self.block}", block)
        if block == self.block:
            return self
        return attrs.evolve(self, block=block, minted=0, redeemed=0)

    def gated(self) -> Self:
        """After the gatekeeper has stopped minting and redeeming."""
        return attrs.evolve(self, mint_cap=0, redeem_cap=0)

    # -- ACTIONS OF THE ISSUER

    def hedge(
        self, seller: str, venue: str, coin: str, atoms: int, price: float
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Buy coins and short as many perpetuals, at one price."""
        require_amount("atoms", atoms)
        cost = round(atoms * price)
        must = f"cost at most the stable assets, {self.stable}"
        require(cost <= self.stable, "atoms", must, atoms)
        old = self.shorts.get((venue, coin), Short(0, 0.0))
        size = old.size + atoms
        entry = (old.size * old.entry + atoms * price) / size
        after = attrs.evolve(
            self,
            stable=self.stable - cost,
            spot={**self.spot, coin: self.spot.get(coin, 0) + atoms},
            shorts={**self.shorts, (venue, coin): Short(size, entry)},
        )
        moves = transfers(
            Transfer(self.stable_asset, self.account, seller, cost),
            Transfer(coin, seller, self.account, atoms),
        )
        return after, moves

    def unhedge(
        self, buyer: str, venue: str, coin: str, atoms: int, price: float, mark: float
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Sell coins at a price and close as many shorts at the mark."""
        require_amount("atoms", atoms)
        has = self.spot.get(coin, 0)
        require(atoms <= has, "atoms", f"be at most the {has} {coin}", atoms)
        paid = int(atoms * price)
        after = self.close(venue, coin, atoms, mark)
        after = attrs.evolve(
            after,
            stable=after.stable + paid,
            spot={**after.spot, coin: has - atoms},
        )
        moves = transfers(
            Transfer(coin, self.account, buyer, atoms),
            Transfer(self.stable_asset, buyer, self.account, paid),
        )
        return after, moves

    def close(self, venue: str, coin: str, atoms: int, price: float) -> Self:
        """After shorts were closed at a price, by the issuer or by deleveraging.

        What the exchange's deleveraging closes leaves the coins unhedged.
        """
        require_amount("atoms", atoms)
        has = self.shorts.get((venue, coin), Short(0, 0.0))
        must = f"be at most the {has.size} short on {venue}"
        require(atoms <= has.size, "atoms", must, atoms)
        gain = round(atoms * (has.entry - price))
        shorts = {**self.shorts, (venue, coin): has._replace(size=has.size - atoms)}
        if not shorts[venue, coin].size:
            del shorts[venue, coin]
        margin = {**self.margin, venue: self.margin.get(venue, 0) + gain}
        return attrs.evolve(self, shorts=shorts, margin=margin)

    def funded(self, coin: str, rate: float, mark: float) -> Self:
        """After a funding payment on every venue; above 0 it pays the shorts."""
        margin = dict(self.margin)
        for (venue, name), row in self.shorts.items():
            if name == coin:
                paid = round(rate * row.size * mark)
                margin[venue] = margin.get(venue, 0) + paid
        return attrs.evolve(self, margin=margin)

    def settled(self, venue: str, marks: Prices) -> tuple[Self, tuple[Transfer, ...]]:
        """After a venue has paid out results and margin, or was paid losses.

        Refused if the stable assets do not cover the losses.
        """
        after, margin = dict(self.shorts), dict(self.margin)
        paid = margin.pop(venue, 0)
        for (name, coin), row in self.shorts.items():
            if name == venue:
                paid += round(row.profit(marks[coin]))
                after[name, coin] = row._replace(entry=marks[coin])
        must = f"cover losses of {-paid} on {venue}"
        require(self.stable + paid >= 0, "stable", must, self.stable)
        state = attrs.evolve(
            self, shorts=after, margin=margin, stable=self.stable + paid
        )
        asset, account = self.stable_asset, self.account
        if paid >= 0:
            return state, transfers(Transfer(asset, venue, account, paid))
        return state, transfers(Transfer(asset, account, venue, -paid))

    def without_venue(
        self, venue: str, marks: Prices, *, custody: bool
    ) -> tuple[Self, float]:
        """After a venue has failed, and what that lost.

        Its shorts are gone: results that were not settled, and the hedge. With
        ``custody`` off the exchange the margin is safe, otherwise it is lost as well.
        """
        shorts = {key: row for key, row in self.shorts.items() if key[0] != venue}
        gone = [(key[1], row) for key, row in self.shorts.items() if key[0] == venue]
        lost = max(0.0, fsum(row.profit(marks[coin]) for coin, row in gone))
        margin = dict(self.margin)
        if not custody:
            lost += margin.pop(venue, 0)
        return attrs.evolve(self, shorts=shorts, margin=margin), lost

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.stable, self.supply, *self.spot.values()) >= 0
        assert all(row.size > 0 for row in self.shorts.values())
