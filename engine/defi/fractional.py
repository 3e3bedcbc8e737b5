"""A fractional stable coin, as Iron: part collateral, part a share that is minted."""

from typing import NamedTuple, Self

import attrs

from .protocol import (
    ISSUED,
    SECOND_NS,
    Transfer,
    require,
    require_amount,
    transfers,
)

ONE = 10**6
"""Prices and ratios have six digits."""

HOUR_NS = 3_600 * SECOND_NS
_SHARE_DIGITS = 10**12  # between the collateral's 6 digits and the tokens' 18


class Bounds(NamedTuple):
    """Prices between which neither redeeming nor minting earns anything."""

    floor: float
    ceiling: float


@attrs.frozen(kw_only=True)
class FractionalStable:
    """A coin that is minted for collateral and burned shares, and redeemed for both.

    Minting goes by the target ratio, redeeming by the effective one: collateral over
    supply, as of the last refresh. Shares are counted at a lagging average, so that
    redeeming in a fall pays less than a dollar, and minting sells shares too dear.
    Without a price of at least a millionth nothing works any more. Fees are six digits;
    ``scale`` is atoms of the coin for one of the collateral.

    Source: IronFinance/iron-polygon-contracts a47dfd39, ``Pool.sol``, ``Treasury.sol``.
    """

    account: str
    coin: str
    share: str
    collateral: str
    held: int = 0
    supply: int = 0
    target: int = 750_000
    effective: int = 1_000_000
    mint_fee: int = 3_000
    redeem_fee: int = 4_000
    step: int = 2_500
    band: int = 5_000
    refreshed_ns: int | None = None
    scale: int = _SHARE_DIGITS

    def __attrs_post_init__(self) -> None:
        """Refuse ratios and fees that are none."""
        for field in ("target", "effective", "mint_fee", "redeem_fee", "step", "band"):
            share = getattr(self, field)
            require(0 <= share <= ONE, field, "be from 0 to 1,000,000", share)
        require(self.target > 0, "target", "be above 0", self.target)

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.collateral: self.held}

    @staticmethod
    def six_digits(price: float) -> int:
        """A price as the contracts see it: below a millionth it is 0."""
        return int(price * ONE)

    # -- ACTIONS

    def mint(
        self, who: str, collateral: int, share_price: int
    ) -> tuple[Self, int, int, tuple[Transfer, ...]]:
        """Mint coins for collateral atoms and the shares that belong to them.

        Returns the state, the coins and the shares burned, both with 18 digits.
        """
        require_amount("collateral", collateral)
        self._require_price(share_price)
        whole = collateral * self.scale * ONE // self.target
        burned = (whole - collateral * self.scale) * ONE // share_price
        coins = whole - whole * self.mint_fee // ONE
        after = attrs.evolve(
            self, held=self.held + collateral, supply=self.supply + coins
        )
        moves = transfers(
            Transfer(self.collateral, who, self.account, collateral),
            Transfer(self.share, who, ISSUED, burned),
            Transfer(self.coin, ISSUED, who, coins),
        )
        return after, coins, burned, moves

    def redeem(
        self, who: str, coins: int, share_price: int
    ) -> tuple[Self, int, int, tuple[Transfer, ...]]:
        """Redeem coins for collateral and newly minted shares, however many.

        Returns the state, the collateral atoms and the shares minted.
        """
        require_amount("coins", coins)
        self._require_price(share_price)
        must = f"be at most the supply, {self.supply}"
        require(coins <= self.supply, "coins", must, coins)
        worth = coins - coins * self.redeem_fee // ONE
        paid = worth * self.effective // ONE // self.scale
        minted = worth * (ONE - self.effective) // ONE * ONE // share_price
        require(paid <= self.held, "coins", f"be paid by {self.held} held", coins)
        after = attrs.evolve(self, held=self.held - paid, supply=self.supply - coins)
        moves = transfers(
            Transfer(self.coin, who, ISSUED, coins),
            Transfer(self.collateral, self.account, who, paid),
            Transfer(self.share, ISSUED, who, minted),
        )
        return after, paid, minted, moves

    def _require_price(self, share_price: int) -> None:
        must = "be at least a millionth: below it is 0 and the share price is invalid"
        require(share_price > 0, "share_price", must, share_price)

    def refresh(self, coin_price: int, now_ns: int) -> Self:
        """Once an hour: step the target towards the peg, measure what is effective."""
        last = self.refreshed_ns
        if last is not None and now_ns - last < HOUR_NS:
            return self
        target = self.target
        if coin_price > ONE + self.band:
            target = max(target - self.step, self.step)
        elif coin_price < ONE - self.band:
            target = min(target + self.step, ONE)
        effective = ONE
        if self.supply:
            effective = min(ONE, self.held * self.scale * ONE // self.supply)
        return attrs.evolve(
            self, target=target, effective=effective, refreshed_ns=now_ns
        )

    def bounds(self, spot_to_average: float) -> Bounds:
        """Where arbitrage holds the coin, when shares trade at so much of the average.

        As the share goes to 0 both go to the collateral.
        """
        k = spot_to_average
        require(k >= 0.0, "spot_to_average", "not be below 0", k)
        effective, target = self.effective / ONE, self.target / ONE
        redeemed = effective + (1.0 - effective) * k
        minted = target + (1.0 - target) * k
        return Bounds(
            (1.0 - self.redeem_fee / ONE) * redeemed,
            minted / (1.0 - self.mint_fee / ONE),
        )

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.held, self.supply) >= 0
        assert 0 < self.target <= ONE
        assert 0 <= self.effective <= ONE
