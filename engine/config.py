"""What a scenario file may say: one class for each table of the file.

Times are seconds, money is US dollars, prices and quantities are those of the market.
Every table of participants has `enabled`, the switch that turns that mechanism off and
leaves the rest, and every random draw, as it was.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, field, frozen
from attrs.validators import and_, ge, gt, in_, le, optional

from ..margin.prices import IndexRule
from .defi import settings
from .kinds import Distribution, fraction, not_negative, positive


@frozen(kw_only=True)
class Asset:
    """A coin: how it divides, and what it is worth outside."""

    price: float = field(validator=positive)  # outside, USD, at the start
    decimals: int = field(default=8, validator=and_(ge(0), le(12)))
    volatility: float = field(default=0.0, validator=not_negative)  # of a year
    impact: float = field(default=0.0, validator=not_negative)  # outside, per USD 1 m
    follows: str | None = None  # moves with this asset, its own moves on top
    beta: float = field(default=1.0, validator=not_negative)  # of following it


@frozen(kw_only=True)
class CircuitBreaker:
    """What stops a market for a while when its price moves too far too fast."""

    share: float = field(validator=and_(gt(0), le(1)))  # of the window's first price
    window: float = field(default=300.0, validator=positive)  # tumbling
    phase: str = field(default="call", validator=in_(("halted", "call")))
    pause: float = field(default=60.0, validator=positive)  # until it opens again


@frozen(kw_only=True)
class Market:
    """A book. Its name is BASE/QUOTE, or BASE/QUOTE:PERP for a linear perpetual."""

    tick: str  # price step, decimal, e.g. "0.001"
    lot: str  # quantity step, decimal
    last: str | None = None  # last price before the start; the outside price if absent
    price_band: float | None = field(default=None, validator=optional(fraction))
    circuit_breaker: CircuitBreaker | None = None
    # Facts of the past; what they are for is said by who names them.
    depth_usd: float | None = field(default=None, validator=optional(positive))
    volume_usd: float | None = field(default=None, validator=optional(positive))
    high: float | None = field(default=None, validator=optional(positive))


@frozen(kw_only=True)
class Transfers:
    """The channel between the venue and the outside markets."""

    open: bool = True
    latency: float = field(default=30.0, validator=not_negative)
    capacity_usd: float = field(default=5e6, validator=not_negative)  # a minute


@frozen(kw_only=True)
class Gateway:
    """How messages reach the books."""

    rate: float = field(default=200_000.0, validator=positive)  # messages a second
    latency: dict[str, float] = Factory(dict)  # seconds, median, by participant table
    jitter: float = field(default=0.25, validator=not_negative)  # of the latency
    queue: int = field(default=1_000_000, validator=positive)  # longer is rejected
    cancels_first: bool = False  # of what waits


@frozen(kw_only=True)
class MarketMakers:
    """A fleet of margined market makers, each quoting ladders from one account."""

    enabled: bool = True
    count: int = field(default=4, validator=positive)
    markets: tuple[str, ...] = ()
    books: int | None = field(default=None, validator=optional(positive))  # each quotes
    equity_usd: float = field(default=1e7, validator=positive)  # of the median maker
    dispersion: float = field(default=0.3, validator=not_negative)  # of equity, log
    collateral: dict[str, float] = Factory(dict)  # asset: share of equity
    mix: float = field(default=0.2, validator=not_negative)  # of those shares, log
    inventory: dict[str, float] = Factory(dict)  # spot inventory: share of equity
    stock: float = field(default=0.0, validator=not_negative)  # the same, own books
    hedge: float = field(default=1.0, validator=not_negative)  # short perp / inventory
    interval: float = field(default=1.0, validator=positive)
    levels: int = field(default=6, validator=positive)
    half_spread_bp: float = field(default=5.0, validator=positive)
    reach: float = field(default=0.1, validator=fraction)  # of price, the last level
    size_usd: float = field(default=50_000.0, validator=positive)  # a level, first
    growth: float = field(default=1.4, validator=positive)  # from level to level
    scale: dict[str, float] = Factory(dict)  # market: of size and limit there
    share: float | None = field(  # of each market's depth_usd, all makers together
        default=None, validator=optional(positive)
    )
    anchor: float = field(default=0.8, validator=fraction)  # on the outside price
    frozen_anchor: float = field(default=0.2, validator=fraction)  # with transfers cut
    memory: float = field(default=4.0, validator=positive)  # of the venue's price
    inventory_limit_usd: float = field(default=2e6, validator=positive)
    skew_bp: float = field(default=10.0, validator=not_negative)  # at the limit
    beta: float = field(default=0.15, validator=not_negative)  # size per USD 1 m forced
    gamma: float = field(default=20.0, validator=not_negative)  # size per volatility
    withdraw: bool = True
    caution: float = field(default=0.0, validator=not_negative)  # of the limits, log
    withdraw_at: float = field(default=1.5, validator=not_negative)  # health
    withdraw_volatility: float = field(default=0.02, validator=positive)  # fall
    withdraw_sigmas: float | None = field(default=None, validator=optional(positive))
    # USD m sold by force on the venue in 10 wakes
    withdraw_forced: float | None = field(default=None, validator=optional(positive))
    patience: float = field(default=1.0, validator=positive)  # gateway delay, seconds
    leave: float | None = field(default=None, validator=optional(ge(1)))  # of limits
    half_life: float = field(default=1500.0, validator=positive)  # of coming back
    return_size: float = field(default=0.3, validator=fraction)


@frozen(kw_only=True)
class Traders:
    """A population of leveraged perpetual traders."""

    enabled: bool = True
    count: int = field(default=1000, validator=positive)
    markets: tuple[str, ...] = ()
    by_volume: float = field(default=0.0, validator=not_negative)  # power of it
    long_share: float = field(default=0.85, validator=fraction)
    leverage: float = field(default=8.0, validator=positive)  # median
    dispersion: float = field(default=0.5, validator=not_negative)  # of leverage, log
    size_usd: float = field(default=5_000.0, validator=positive)  # median notional
    tail: float = field(default=1.5, validator=gt(1))  # Pareto exponent of the size
    collateral: dict[str, float] = Factory(lambda: {"USDT": 1.0})
    interval: float = field(default=2.0, validator=positive)
    top_up: float = field(default=0.2, validator=fraction)  # who adds margin
    top_up_delay: float = field(default=60.0, validator=not_negative)
    stop: float = field(default=0.1, validator=fraction)  # who has a stop
    stop_at: float = field(default=0.08, validator=fraction)  # adverse move


@frozen(kw_only=True)
class Pair:
    """What is known of one base of a universe; the rest of it is drawn."""

    price: float = field(validator=positive)  # USD, before the start
    high: float | None = field(default=None, validator=optional(positive))
    volume_usd: float | None = field(default=None, validator=optional(positive))


@frozen(kw_only=True)
class DepthLaw:
    """Depth by volume: ``usd`` x (volume / ``volume_usd``) ** ``elasticity``."""

    usd: float = field(validator=positive)  # within 1 % of the price, both sides
    volume_usd: float = field(validator=positive)  # of the market that has it
    elasticity: float = field(validator=not_negative)


@frozen(kw_only=True)
class MoreBooks:
    """Further books of the bases with the largest volumes."""

    count: int = field(validator=positive)  # of bases, from the largest
    volume: Distribution  # over that of the first book
    price_band: float | None = field(default=None, validator=optional(fraction))


@frozen(kw_only=True)
class Universe:
    """Many alike assets and their markets, drawn once for all runs."""

    draw: int = field(default=0, validator=not_negative)  # of this draw; no run's seed
    count: int = field(validator=positive)  # of bases, those of `pairs` among them
    pairs: dict[str, Pair] = Factory(dict)
    prefix: str = "ALT"  # of the names of the others
    quote: str = "USDT"
    price: Distribution  # USD, before the start
    high: Distribution  # of the day, over that price
    volume_usd: Distribution
    depth: DepthLaw
    scale: float = field(default=1.0, validator=positive)  # of volumes and depths
    books: dict[str, MoreBooks] = Factory(dict)  # by quote
    perpetuals: MoreBooks | None = None
    digits: int = field(default=4, validator=and_(ge(1), le(8)))  # of a price in ticks
    lot_usd: float = field(default=2.0, validator=positive)  # a lot is worth less
    atom_usd: float = field(default=1e-7, validator=positive)  # an atom is worth more
    follows: str | None = None
    beta: Distribution | None = None
    volatility: Distribution | None = None
    outside_depth: float | None = field(default=None, validator=optional(positive))
    oracle: IndexRule | None = None
    collateral: tuple[tuple[int, float], ...] = ()  # rates, each up to a rank
    brackets: tuple[tuple[int, str], ...] = ()  # of a perpetual, each up to a rank


@frozen(kw_only=True)
class Population:
    """Accounts that are only there: many holdings and positions, drawn at the start."""

    enabled: bool = True
    count: int = field(default=10_000, validator=positive)
    equity_usd: Distribution
    collateral: dict[str, float] = Factory(lambda: {"USDT": 1.0})
    mix: float = field(default=0.0, validator=not_negative)  # of those shares, log
    markets: tuple[str, ...] = ()
    by_volume: float = field(default=0.0, validator=not_negative)  # power of it
    positions: int = field(default=1, validator=positive)  # of an account
    leverage: Distribution
    long_share: float = field(default=0.85, validator=fraction)
    distance: float = field(default=0.0, validator=fraction)  # to any liquidation


@frozen(kw_only=True)
class Holders:
    """Holders who sell a part of their coins when the price falls."""

    enabled: bool = True
    count: int = field(default=50, validator=positive)
    assets: dict[str, float] = Factory(dict)  # asset: USD held by all together
    markets: tuple[str, ...] = ()  # whose coins they hold too
    held_usd: float = field(default=0.0, validator=not_negative)  # of those, by volume
    interval: float = field(default=2.0, validator=positive)
    threshold: float = field(default=0.03, validator=fraction)  # drawdown that scares
    sell: float = field(default=0.2, validator=fraction)  # of the holding, at once
    hazard: float = field(default=0.05, validator=fraction)  # to act, a wake


@frozen(kw_only=True)
class Whales:
    """Large borrowers elsewhere who sell late, once called for margin."""

    enabled: bool = True
    count: int = field(default=12, validator=positive)
    assets: dict[str, float] = Factory(dict)  # asset: USD held by all together
    markets: tuple[str, ...] = ()  # whose coins they hold too
    held_usd: float = field(default=0.0, validator=not_negative)  # of those, by volume
    dispersion: float = field(default=0.5, validator=not_negative)  # of size, log
    elsewhere: bool = False  # the coins come through the channel first
    watch: str | None = None  # asset whose fall calls; each coin's own if absent
    fall: Distribution  # of the index from its high, at which one is called
    delay: Distribution  # seconds until it answers
    sell: float = field(default=1.0, validator=fraction)  # of what it holds
    clips: int = field(default=10, validator=positive)
    over: float = field(default=120.0, validator=not_negative)  # s, of all clips
    interval: float = field(default=1.0, validator=positive)


@frozen(kw_only=True)
class LiquidationBots:
    """Those who liquidate loans elsewhere and sell the collateral on the venue."""

    enabled: bool = True
    assets: dict[str, float] = Factory(dict)  # asset: USD of it pledged elsewhere
    markets: tuple[str, ...] = ()  # whose coins are pledged too
    held_usd: float = field(default=0.0, validator=not_negative)  # of those, by volume
    elsewhere: bool = False  # the coins come through the channel first
    threshold: float = field(default=0.1, validator=fraction)  # fall of the first loan
    full: float = field(default=0.6, validator=fraction)  # fall of the last one
    interval: float = field(default=1.0, validator=positive)


@frozen(kw_only=True)
class StaleBids:
    """Good-till-cancel bids far below the price, left long ago."""

    enabled: bool = True
    count: int = field(default=40, validator=positive)  # a market
    markets: tuple[str, ...] = ()
    nearest: float = field(default=0.15, validator=fraction)  # below the price
    farthest: float = field(default=0.999, validator=fraction)
    usd: float = field(default=100_000.0, validator=positive)  # a market, all together
    share: float | None = field(default=None, validator=optional(positive))  # of depth
    dispersion: float = field(default=0.0, validator=not_negative)  # of both, log
    decline: float = field(default=0.0, validator=not_negative)  # of size, power


@frozen(kw_only=True)
class BargainHunters:
    """Buyers who come late and buy what is far below the outside price."""

    enabled: bool = True
    count: int = field(default=20, validator=positive)
    markets: tuple[str, ...] = ()
    usd: float = field(default=5e5, validator=positive)  # each
    wait: float = field(default=0.0, validator=not_negative)  # until its money is there
    delay: float = field(default=20.0, validator=not_negative)  # mean, after that
    discount: float = field(default=0.1, validator=fraction)
    clip_usd: float = field(default=20_000.0, validator=positive)
    above: float | None = field(default=None, validator=optional(fraction))  # last
    patience: float | None = field(default=None, validator=optional(positive))  # s
    interval: float = field(default=1.0, validator=positive)


@frozen(kw_only=True)
class Arbitrage:
    """An arbitrageur between the venue and the outside market."""

    enabled: bool = True
    markets: tuple[str, ...] = ()
    usd: float = field(default=2e6, validator=positive)  # quote on the venue
    coins_usd: float = field(default=1e6, validator=not_negative)  # of each base
    share: float | None = field(default=None, validator=optional(positive))  # of depth
    coins: dict[str, float] = Factory(dict)  # coin: in place of coins_usd or share
    redeem: dict[str, float] = Factory(dict)  # coin: seconds until its issuer pays
    threshold: float = field(default=0.003, validator=fraction)
    clip_usd: float = field(default=50_000.0, validator=positive)
    interval: float = field(default=0.5, validator=positive)


@frozen(kw_only=True)
class CrossArbitrage:
    """An arbitrageur between the books of each coin on the venue."""

    enabled: bool = True
    markets: tuple[str, ...] = ()
    usd: float = field(default=2e6, validator=positive)  # USDT on the venue
    coins_usd: float = field(default=1e6, validator=not_negative)  # of each asset
    share: float | None = field(default=None, validator=optional(positive))  # of depth
    coins: dict[str, float] = Factory(dict)  # coin: in place of coins_usd or share
    threshold: float = field(default=0.003, validator=fraction)
    clip_usd: float = field(default=50_000.0, validator=positive)
    passive: bool = False  # rests orders too
    interval: float = field(default=0.5, validator=positive)


@frozen(kw_only=True)
class Background:
    """Everyday takers: small market orders, buys and sells alike."""

    enabled: bool = True
    markets: tuple[str, ...] = ()
    rate: float = field(default=1.0, validator=positive)  # orders a second and market
    by_volume: float = field(default=0.0, validator=not_negative)  # power of it
    size_usd: float = field(default=500.0, validator=positive)  # median
    slippage: float | None = field(default=None, validator=optional(fraction))
    usd: float = field(default=5e6, validator=positive)  # what they own in all
    interval: float = field(default=1.0, validator=positive)


@frozen(kw_only=True)
class Ladder:
    """Resting orders at the start, as observed: [price, quantity] in time order."""

    market: str
    side: str = field(validator=in_(("buy", "sell")))
    orders: tuple[tuple[str, str], ...]
    source: str = ""


@frozen(kw_only=True)
class Shock:
    """One exogenous event of the timeline.

    ``kind``: `order` (market, side, qty or usd, over, slices), `flow` (markets or
    weights, side, usd, over or profile, slices), `outside` (asset, move), `path`
    (asset, points), `transfers` (open, way), `gateway` (rate; latency and reject of
    classes), `transaction` (who, steps, over, slices), `vote` (feed or asset and
    price, or on and set); never a price of a book.
    """

    at: float = field(validator=not_negative)
    kind: str = field(
        validator=in_(
            (
                "order",
                "flow",
                "outside",
                "path",
                "transfers",
                "gateway",
                "transaction",
                "vote",
            )
        )
    )
    market: str | None = None
    markets: tuple[str, ...] = ()
    weights: dict[str, float] = Factory(dict)  # market: share of the USD, any unit
    side: str = field(default="sell", validator=in_(("buy", "sell")))
    qty: str | None = None
    usd: float | None = field(default=None, validator=optional(positive))
    over: float = field(default=0.0, validator=not_negative)  # seconds
    profile: tuple[tuple[float, float], ...] = ()  # seconds, rate: linear between
    slices: int = field(default=1, validator=positive)
    dispersion: float = field(default=0.0, validator=not_negative)  # of slices, log
    asset: str | None = None
    move: float | None = field(default=None, validator=optional(gt(-1)))
    points: tuple[tuple[float, float], ...] = ()  # seconds, move: linear between
    open: bool | None = None
    way: str = field(default="both", validator=in_(("both", "in", "out")))
    rate: float | None = field(default=None, validator=optional(positive))
    classes: tuple[str, ...] = ()  # tables of senders, all if none is named
    latency: float | None = field(default=None, validator=optional(positive))  # factor
    reject: float | None = field(default=None, validator=optional(fraction))  # orders
    who: str | None = None  # a wallet
    steps: tuple[settings.Step, ...] = ()  # all of them or none
    feed: str | None = None
    price: float | None = field(default=None, validator=optional(positive))
    on: str | None = None  # a place whose terms are voted on
    set: dict[str, float] = Factory(dict)  # term: value
    note: str = ""


@frozen(kw_only=True)
class Record:
    """What a run keeps beside trades and events."""

    interval: float = field(default=1.0, validator=positive)
    depth: float = field(default=0.1, validator=fraction)  # of the outside price
    markets: tuple[str, ...] = ()  # watched: each second, their messages by minute
    messages: str = field(default="all", validator=in_(("all", "traded")))


@frozen(kw_only=True)
class Target:
    """A figure the scenario is checked against.

    Either ``value`` (within ``tolerance``, absolute) or ``band``. ``over``: a band must
    hold for the `median` of the seeds or for `all` of them. With ``variation`` the
    figure is that of the named variation, with ``relative`` its ratio to the base run.
    ``window`` are two times of day, from and to, that the figure is taken between.
    ``split`` says whether parameters were fitted to it or it was only looked at after.
    """

    id: str
    measure: str
    value: float | None = None
    tolerance: float = field(default=0.0, validator=not_negative)
    band: tuple[float, float] | None = None
    over: str = field(default="median", validator=in_(("median", "all")))
    variation: str | None = None
    relative: bool = False
    window: tuple[str, str] | None = None  # "21:09", "22:00"
    split: str | None = field(
        default=None, validator=optional(in_(("calibrated", "checked")))
    )
    required: bool = True
    unit: str = ""
    source: str = ""


@frozen(kw_only=True)
class Scenario:
    """A whole scenario, as the file says it. `flashwick.load` reads one."""

    base: str | None = None  # the scenario that this file starts from
    changes: dict[str, Any] = Factory(dict)  # of it, by place
    name: str
    title: str = ""
    about: str = ""
    duration: float = field(validator=positive)
    start: float = field(default=0.0, validator=not_negative)  # seconds after 00:00 UTC
    insurance_fund_usd: float = field(default=0.0, validator=not_negative)
    assets: dict[str, Asset]
    markets: dict[str, Market] = Factory(dict)
    universe: dict[str, Universe] = Factory(dict)
    groups: dict[str, tuple[str, ...]] = Factory(dict)  # of markets, "@name" in lists
    oracles: dict[str, IndexRule] = Factory(dict)
    rules: dict[str, Any] = Factory(lambda: {"preset": "binance-pm"})
    transfers: Transfers = Factory(Transfers)
    gateway: Gateway = Factory(Gateway)
    market_makers: dict[str, MarketMakers] = Factory(dict)
    traders: dict[str, Traders] = Factory(dict)
    population: dict[str, Population] = Factory(dict)
    holders: dict[str, Holders] = Factory(dict)
    whales: dict[str, Whales] = Factory(dict)
    liquidation_bots: dict[str, LiquidationBots] = Factory(dict)
    stale_bids: dict[str, StaleBids] = Factory(dict)
    bargain_hunters: dict[str, BargainHunters] = Factory(dict)
    arbitrage: dict[str, Arbitrage] = Factory(dict)
    cross_arbitrage: dict[str, CrossArbitrage] = Factory(dict)
    background: dict[str, Background] = Factory(dict)
    chain: settings.Chain = Factory(settings.Chain)
    wallets: dict[str, dict[str, float]] = Factory(dict)  # units of assets
    pools: dict[str, settings.Pool] = Factory(dict)
    feeds: dict[str, settings.Feed] = Factory(dict)
    lending: dict[str, settings.Lending] = Factory(dict)
    lending_pools: dict[str, settings.LendingPool] = Factory(dict)
    vaults: dict[str, settings.Vault] = Factory(dict)
    issuers: dict[str, settings.Issuer] = Factory(dict)
    staking: dict[str, settings.Staking] = Factory(dict)
    stables: dict[str, settings.Stable] = Factory(dict)
    savings: dict[str, settings.Savings] = Factory(dict)
    loops: dict[str, settings.Loops] = Factory(dict)
    loans: dict[str, settings.Loans] = Factory(dict)
    liquidators: dict[str, settings.Liquidators] = Factory(dict)
    redeemers: dict[str, settings.Redeemers] = Factory(dict)
    cycles: dict[str, settings.Cycles] = Factory(dict)
    runners: dict[str, settings.Runners] = Factory(dict)
    ladders: tuple[Ladder, ...] = ()
    shocks: tuple[Shock, ...] = ()
    record: Record = Factory(Record)
    seeds: int = field(default=1, validator=positive)  # that verify runs
    checked_share: float = field(default=0.7, validator=fraction)  # that must hold
    variations: dict[str, dict[str, Any]] = Factory(dict)
    switches: dict[str, dict[str, Any]] = Factory(dict)  # what turns a mechanism off
    targets: tuple[Target, ...] = ()
