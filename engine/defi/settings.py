"""What a scenario may say of the systems around the exchange, and of their users.

Amounts are whole units of the asset they are of, shares fractions of one, times
seconds. Every table of users has `enabled`, as those of the exchange's participants.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, field, frozen
from attrs.validators import ge, in_, lt, optional

from ...margin.prices import IndexRule
from ..kinds import Distribution, below_one, fraction, not_negative, positive, share
from .pool_vault import CHECKED, VALUED

least_below_one: Any = (ge(0), lt(1))

USERS = (
    "liquidators",
    "loops",
    "loans",
    "runners",
    "redeemers",
    "cycles",
    "issuers",
)
"""Tables of those who act in a block, in this order if no other is given."""


@frozen(kw_only=True)
class Chain:
    """The clock of the protocols, and who acts when in a block."""

    interval: float = field(default=1.0, validator=positive)  # of a block, seconds
    order: tuple[str, ...] = ()  # tables of users; as they stand below if absent


@frozen(kw_only=True)
class Step:
    """One action of a transaction at a protocol.

    ``do`` is the action's name, ``on`` the place; ``give`` is the asset that goes in,
    ``get`` the one that comes out, where a place has several. Without ``amount`` it is
    all there is, or as much as the place lets go.
    """

    do: str
    on: str | None = None
    give: str | None = None
    get: str | None = None
    amount: float | None = field(default=None, validator=optional(positive))
    least: float = field(default=0.0, validator=not_negative)  # that must come out
    of: str | None = None  # whose position, if not one's own
    to: str | None = None  # who gets it, if somebody else


# -- PROTOCOLS


@frozen(kw_only=True)
class Pool:
    """An automated market maker and what it holds at the start."""

    kind: str = field(validator=in_(("constant_product", "stableswap", "concentrated")))
    reserves: dict[str, float] = Factory(dict)
    fee: float = field(default=0.003, validator=least_below_one)
    amplification: int | None = field(default=None, validator=optional(positive))
    off_peg: float | None = field(default=None, validator=optional(ge(1)))
    assets: tuple[str, ...] = ()  # of a concentrated pool
    price: float | None = field(default=None, validator=optional(positive))
    ranges: tuple[tuple[float, float, float], ...] = ()  # from, to, worth at the price


@frozen(kw_only=True)
class Feed(IndexRule):
    """A price that others rely on: of ``asset`` in ``quote``, US dollars if absent.

    It is made as an index of the exchange is, and by the same keys.
    """

    asset: str | None = None  # the feed's name if absent
    quote: str | None = None
    live: bool = False  # asked anew in the midst of a transaction


@frozen(kw_only=True)
class Lending:
    """An isolated lending market with an adaptive rate, as Morpho's."""

    loan: str
    collateral: str
    feed: str
    lltv: float = field(validator=below_one)
    supplied: float = field(default=0.0, validator=not_negative)  # by lenders, at first
    rate: float = field(default=0.04, validator=positive)  # a year, at the target
    rate_least: float = field(default=0.001, validator=positive)
    rate_most: float = field(default=2.0, validator=positive)  # at the target
    rate_cap: float | None = field(default=None, validator=optional(positive))
    target: float = field(default=0.9, validator=below_one)
    fee: float = field(default=0.0, validator=not_negative)
    least_loan: float = field(default=0.0, validator=not_negative)
    when_down: str = field(default="block", validator=in_(("block", "deep", "allow")))


@frozen(kw_only=True)
class Reserve:
    """An asset of a shared lending pool."""

    feed: str
    supplied: float = field(default=0.0, validator=not_negative)  # by lenders, at first
    ltv: float = field(default=0.0, validator=least_below_one)
    threshold: float = field(default=0.0, validator=least_below_one)
    bonus: float = field(default=0.0, validator=not_negative)
    protocol_fee: float = field(default=0.1, validator=fraction)
    reserve_factor: float = field(default=0.1, validator=fraction)
    optimal: float = field(default=0.9, validator=below_one)
    base: float = field(default=0.0, validator=not_negative)
    slope_1: float = field(default=0.055, validator=not_negative)
    slope_2: float = field(default=0.4, validator=not_negative)
    supply_cap: int = field(default=0, validator=not_negative)
    borrow_cap: int = field(default=0, validator=not_negative)
    borrowable: bool = True


@frozen(kw_only=True)
class Mode:
    """An efficiency mode of a shared pool."""

    ltv: float = field(validator=below_one)
    threshold: float = field(validator=below_one)
    bonus: float = field(default=0.0, validator=not_negative)
    collateral: tuple[str, ...]
    borrowable: tuple[str, ...]


@frozen(kw_only=True)
class LendingPool:
    """A shared lending pool, as Aave's."""

    reserves: dict[str, Reserve]
    modes: dict[str, Mode] = Factory(dict)
    when_down: str = field(default="block", validator=in_(("block", "deep", "allow")))


@frozen(kw_only=True)
class Vault:
    """Deposits that a curator lends up to ``caps``, or that have a stake in a pool.

    The shares of the second are worth what its cash and its stake are worth in the
    pool at that moment; it refuses deposits while the pool's shares are further than
    ``tolerance`` from their price of the start.
    """

    asset: str
    caps: dict[str, float] = Factory(dict)  # market of [lending]: units
    withdraw_first: tuple[str, ...] = ()
    deposited: float = field(default=0.0, validator=not_negative)
    pool: str | None = None  # a stableswap of [pools]
    supply: float = field(default=0.0, validator=not_negative)  # shares
    held: float = field(default=0.0, validator=not_negative)  # units in cash
    stake: float = field(default=0.0, validator=least_below_one)  # of the pool's shares
    valued: str = field(default="withdrawal", validator=in_(VALUED))
    tolerance: float | None = field(default=None, validator=optional(below_one))
    checked: str = field(default="unit", validator=in_(CHECKED))  # for the tolerance


@frozen(kw_only=True)
class Issuer:
    """A synthetic dollar: stable assets, coins, and shorts of them on the exchange."""

    token: str
    stable: str
    supply: float = field(validator=positive)
    stable_held: float = field(default=0.0, validator=not_negative)
    hedges: dict[str, float] = Factory(dict)  # coin: units held, and short
    margin: float = field(default=0.0, validator=not_negative)  # on the exchange
    mint_cap: float = field(default=1e9, validator=not_negative)  # a block
    redeem_cap: float = field(default=1e9, validator=not_negative)
    rehedge: bool = True
    enabled: bool = True  # without, nobody mints or redeems


@frozen(kw_only=True)
class Staking:
    """A staked coin with a queue, or a staked dollar with a cooldown."""

    kind: str = field(validator=in_(("coin", "dollar")))
    asset: str  # what is staked
    token: str
    supply: float = field(validator=positive)
    ratio: float = field(default=1.0, validator=positive)
    delay: float = field(default=604_800.0, validator=not_negative)
    per_day: float = field(default=1e9, validator=positive)  # of the queue


@frozen(kw_only=True)
class Savings:
    """Deposits with a promised yield that a reserve tops up, as Anchor's."""

    asset: str
    reserve: float = field(default=0.0, validator=not_negative)
    promised: float = field(validator=not_negative)  # a year
    earned: float = field(default=0.0, validator=not_negative)  # a year
    factor: float = field(default=1.0, validator=share)  # of the reserve, an epoch
    epoch: float = field(default=10_800.0, validator=positive)


@frozen(kw_only=True)
class Stable:
    """A coin with a mechanism of its own.

    ``kind``: `fractional` (share, backing, target, fees; after Iron), `reserve` (stuck,
    recovered, hours; a bank's money), `peg_module` (ceiling, fees; after Maker's),
    `terra` (share is its LUNA, base, recovery, spread).
    """

    kind: str = field(validator=in_(("fractional", "reserve", "peg_module", "terra")))
    coin: str
    backing: str | None = None
    share: str | None = None
    supply: float = field(default=0.0, validator=not_negative)
    held: float = field(default=0.0, validator=not_negative)  # of the backing
    feed: str | None = None  # of the share
    coin_feed: str | None = None
    target: float = field(default=0.75, validator=fraction)
    mint_fee: float = field(default=0.003, validator=fraction)
    redeem_fee: float = field(default=0.004, validator=fraction)
    stuck: float = field(default=0.0, validator=not_negative)
    recovered: float = field(default=1.0, validator=fraction)
    hours: tuple[tuple[int, int], ...] = ()  # of a week, in which it redeems
    day: int = field(default=0, validator=(ge(0), lt(7)))  # of the start; 0 is Monday
    ceiling: float = field(default=0.0, validator=not_negative)
    base: float = field(default=50e6, validator=positive)  # SDR
    recovery: int = field(default=36, validator=positive)  # blocks
    block: float | None = field(default=None, validator=optional(positive))  # seconds
    spread: float = field(default=0.02, validator=least_below_one)
    sdr: float = field(default=1.0, validator=positive)  # units of the coin


# -- USERS


@frozen(kw_only=True)
class Loops:
    """Borrowers who pledge an asset for money with which they bought more of it.

    Their positions are there at the start, debt over collateral spread evenly from the
    first to the second of ``ltv``. They leave, by a flash loan or by rounds, where the
    yield is gone or the price too low, and sell a part when somebody else calls them.
    """

    enabled: bool = True
    on: str  # a market of [lending]
    pool: str  # of [pools], to sell in
    book: str | None = None  # a market of the exchange for what pays no debt
    clip: float | None = field(default=None, validator=optional(positive))  # a block
    count: int = field(default=10, validator=positive)
    collateral: float = field(validator=positive)  # units, of all together
    ltv: tuple[float, float]
    earns: float = field(default=0.0, validator=not_negative)  # a year, the collateral
    leave_below: float | None = None  # a year, of the equity
    leave_at: float | None = field(default=None, validator=optional(positive))  # price
    delay: Distribution | None = None


@frozen(kw_only=True)
class Loans:
    """Loans of the exchange's desk to whales against coins, called for margin.

    Who is called answers after a delay: with money it has, then with what its loop
    frees, as far as there is one. At the last level the lender sells the coins.
    """

    enabled: bool = True
    count: int = field(default=6, validator=positive)
    collateral: str
    loan: str = "USDT"
    usd: float = field(validator=positive)  # of the coins, of all together
    ltv: tuple[float, float]
    initial: float = field(default=0.72, validator=share)
    call: float = field(default=0.77, validator=share)
    liquidate: float = field(default=0.91, validator=share)
    cash: float = field(default=0.0, validator=fraction)  # of the debt
    delay: Distribution
    loop: str | None = None  # a table of [loops], whose members they are
    slice: float = field(default=0.2, validator=share)  # of a forced sale, a block


@frozen(kw_only=True)
class Liquidators:
    """Bots that liquidate in a lending market whenever selling the collateral pays."""

    enabled: bool = True
    on: str
    give: str | None = None  # collateral they take, of a shared pool
    get: str | None = None  # debt they repay, of a shared pool
    pool: str | None = None  # to sell in at once, or
    book: str | None = None  # to sell in after a transfer, with money of their own
    money: float = field(default=0.0, validator=not_negative)  # units of the debt
    keep: float = field(default=0.98, validator=share)  # of the book's price
    cost: float = field(default=0.0, validator=not_negative)  # units of the debt


@frozen(kw_only=True)
class Redeemers:
    """Who buys an issuer's token on the exchange below par and has it redeemed."""

    enabled: bool = True
    issuer: str
    book: str
    money: float = field(validator=positive)  # units of the stable asset
    cost: float = field(default=0.003, validator=least_below_one)
    clip: float = field(default=50_000.0, validator=positive)  # units of the token


@frozen(kw_only=True)
class Cycles:
    """Who does a circle of steps, from an asset back to it, as large as pays best."""

    enabled: bool = True
    asset: str
    most: float = field(validator=positive)  # units, at once
    cost: float = field(default=0.0, validator=not_negative)  # units
    steps: tuple[Step, ...]
    book: str | None = None  # to sell in, after a transfer, with money of their own
    money: float = field(default=0.0, validator=not_negative)  # units
    keep: float = field(default=0.98, validator=share)  # of the book's price


@frozen(kw_only=True)
class Runners:
    """Members who each do the same steps once a figure has passed a level of their own.

    ``watch`` is a series of the chain. Steps without an amount are tried again until
    nothing is left: who leaves a market without cash waits for it. With a ``book`` they
    sell its coin on the exchange, what they hold of it as what their steps bring.
    """

    enabled: bool = True
    count: int = field(default=10, validator=positive)
    holds: dict[str, float] = Factory(dict)  # units, of all together
    start: tuple[Step, ...] = ()  # done at the start, before anything happens
    watch: str
    below: Distribution | None = None
    above: Distribution | None = None
    delay: Distribution | None = None
    dispersion: float = field(default=0.5, validator=not_negative)  # of size, log
    steps: tuple[Step, ...] = ()
    book: str | None = None  # a market of the exchange where they sell its coin
