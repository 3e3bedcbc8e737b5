"""Tokens that earn: a staked dollar with a cooldown, a staked coin with a queue."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import attrs

from .protocol import (
    ISSUED,
    SECOND_NS,
    Transfer,
    ceil_div,
    require,
    require_amount,
    transfers,
)

DAY_NS = 86_400 * SECOND_NS


class Cooling(NamedTuple):
    """Atoms on their way out, and when they may be taken."""

    atoms: int
    ready_ns: int


@attrs.frozen(kw_only=True)
class StakedDollar:
    """A vault whose rewards vest, and which one leaves after a cooldown.

    A reward counts bit by bit over ``vesting_ns``, and no other may come meanwhile.
    Who leaves gets the price of that moment into a silo, earns nothing any more, and
    takes it after ``cooldown_ns``; a second cooldown starts the clock again for all of
    it.

    Source: ethena-labs/bbp-public-assets f3e56d5f, ``StakedUSDeV2.sol``.
    """

    account: str
    asset: str
    shares_asset: str
    cooldown_ns: int = 7 * DAY_NS
    vesting_ns: int = 8 * 3_600 * SECOND_NS
    held: int = 0
    shares: int = 0
    reward: int = 0
    rewarded_ns: int = 0
    cooling: Mapping[str, Cooling] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse a cooldown that the contract would not take."""
        right = 0 <= self.cooldown_ns <= 90 * DAY_NS
        require(right, "cooldown_ns", "be from 0 to 90 days", self.cooldown_ns)
        require(self.vesting_ns > 0, "vesting_ns", "be above 0", self.vesting_ns)

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.asset: self.held + self.silo}

    @property
    def silo(self) -> int:
        """Atoms on their way out."""
        return sum(row.atoms for row in self.cooling.values())

    def unvested(self, now_ns: int) -> int:
        """The part of the last reward that does not count yet."""
        left = self.vesting_ns - (now_ns - self.rewarded_ns)
        return ceil_div(self.reward * left, self.vesting_ns) if left > 0 else 0

    def assets(self, now_ns: int) -> int:
        """What the shares hold."""
        return self.held - self.unvested(now_ns)

    def price(self, now_ns: int) -> float:
        """Atoms for a share."""
        return (self.assets(now_ns) + 1) / (self.shares + 1)

    # -- ACTIONS

    def deposit(
        self, who: str, atoms: int, now_ns: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Stake atoms for shares."""
        require_amount("atoms", atoms)
        minted = atoms * (self.shares + 1) // (self.assets(now_ns) + 1)
        require(minted > 0, "atoms", "be worth at least one share", atoms)
        after = attrs.evolve(self, held=self.held + atoms, shares=self.shares + minted)
        moves = transfers(
            Transfer(self.asset, who, self.account, atoms),
            Transfer(self.shares_asset, ISSUED, who, minted),
        )
        return after, moves

    def rewarded(
        self, payer: str, atoms: int, now_ns: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Pay a reward in, which vests from now on."""
        require_amount("atoms", atoms)
        left = self.unvested(now_ns)
        require(left == 0, "now_ns", f"be after the vesting of {left}", now_ns)
        after = attrs.evolve(
            self, held=self.held + atoms, reward=atoms, rewarded_ns=now_ns
        )
        return after, transfers(Transfer(self.asset, payer, self.account, atoms))

    def cool_down(
        self, who: str, shares: int, now_ns: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Give shares back; their worth of now waits in the silo."""
        require_amount("shares", shares)
        must = f"be at most the {self.shares} issued"
        require(shares <= self.shares, "shares", must, shares)
        atoms = shares * (self.assets(now_ns) + 1) // (self.shares + 1)
        before = self.cooling.get(who, Cooling(0, 0))
        ready = Cooling(before.atoms + atoms, now_ns + self.cooldown_ns)
        after = attrs.evolve(
            self,
            held=self.held - atoms,
            shares=self.shares - shares,
            cooling={**self.cooling, who: ready},
        )
        return after, transfers(Transfer(self.shares_asset, who, ISSUED, shares))

    def unstake(self, who: str, now_ns: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Take what has cooled down."""
        require(who in self.cooling, "who", "have something in the silo", who)
        row = self.cooling[who]
        must = f"be {row.ready_ns} or later"
        require(now_ns >= row.ready_ns, "now_ns", must, now_ns)
        cooling = {name: left for name, left in self.cooling.items() if name != who}
        after = attrs.evolve(self, cooling=cooling)
        return after, transfers(Transfer(self.asset, self.account, who, row.atoms))

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.held, self.shares, self.reward) >= 0
        assert all(row.atoms >= 0 for row in self.cooling.values())


class Claim(NamedTuple):
    """A place in the queue of a staked coin."""

    who: str
    atoms: int
    ready_ns: int


@attrs.frozen(kw_only=True)
class StakedCoin:
    """A coin that is staked for its holders, redeemed by a queue.

    Its ratio to the coin is what is staked for each token: it grows with rewards and
    falls only by slashing. A book may trade it at any price; a redemption takes
    ``delay_ns``, and longer when more than ``per_day`` want out.
    """

    account: str
    coin: str
    token: str
    delay_ns: int
    per_day: int
    staked: int = 0
    supply: int = 0
    queue: tuple[Claim, ...] = ()

    def __attrs_post_init__(self) -> None:
        """Refuse a queue that nobody leaves."""
        require(self.delay_ns >= 0, "delay_ns", "not be below 0", self.delay_ns)
        require(self.per_day > 0, "per_day", "be above 0 atoms", self.per_day)

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.coin: self.staked + sum(row.atoms for row in self.queue)}

    @property
    def ratio(self) -> float:
        """Coins for a token; 1 before there are any."""
        return self.staked / self.supply if self.supply else 1.0

    def fair(self, price: float) -> float:
        """What a token is worth where a coin has this price."""
        return self.ratio * price

    def mint(self, who: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Stake coins for tokens at the ratio."""
        require_amount("atoms", atoms)
        minted = atoms * self.supply // self.staked if self.supply else atoms
        require(minted > 0, "atoms", "be worth at least one token", atoms)
        staked, supply = self.staked + atoms, self.supply + minted
        after = attrs.evolve(self, staked=staked, supply=supply)
        moves = transfers(
            Transfer(self.coin, who, self.account, atoms),
            Transfer(self.token, ISSUED, who, minted),
        )
        return after, moves

    def rewarded(self, payer: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Coins that staking earned."""
        require_amount("atoms", atoms)
        require(self.supply > 0, "supply", "be above 0", self.supply)
        after = attrs.evolve(self, staked=self.staked + atoms)
        return after, transfers(Transfer(self.coin, payer, self.account, atoms))

    def slashed(self, taker: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Coins that misbehaviour cost."""
        require_amount("atoms", atoms)
        require(atoms < self.staked, "atoms", f"be below {self.staked}", atoms)
        after = attrs.evolve(self, staked=self.staked - atoms)
        return after, transfers(Transfer(self.coin, self.account, taker, atoms))

    def request(
        self, who: str, tokens: int, now_ns: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Give tokens back for a place in the queue, at the ratio of now."""
        require_amount("tokens", tokens)
        must = f"be at most the supply, {self.supply}"
        require(tokens <= self.supply, "tokens", must, tokens)
        atoms = tokens * self.staked // self.supply
        last = self.queue[-1].ready_ns - self.delay_ns if self.queue else now_ns
        start = max(now_ns, last)
        ready = start + ceil_div(atoms * DAY_NS, self.per_day) + self.delay_ns
        staked, supply = self.staked - atoms, self.supply - tokens
        queue = (*self.queue, Claim(who, atoms, ready))
        after = attrs.evolve(self, staked=staked, supply=supply, queue=queue)
        return after, transfers(Transfer(self.token, who, ISSUED, tokens))

    def paid(self, now_ns: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Pay every claim whose time has come."""
        due = [row for row in self.queue if row.ready_ns <= now_ns]
        after = attrs.evolve(self, queue=self.queue[len(due) :])
        moves = (Transfer(self.coin, self.account, row.who, row.atoms) for row in due)
        return after, transfers(*moves)

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.staked, self.supply) >= 0
        times = [row.ready_ns for row in self.queue]
        assert times == sorted(times)
