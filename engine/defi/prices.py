"""What protocols are told prices are: the feeds of a chain, and what moved them."""

from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cython_ext.ledger import EXTERNAL
from ...margin.feeds import Feed, Price
from ...margin.oracles import VOTE, policy_of
from ..agents import Agent
from ..events import NO_CAUSE
from .building import Amounts
from .isolated import IsolatedMarket
from .lending_pool import LendingPool
from .oracles import Oracle
from .protocol import Refused
from .quotes import Midst
from .staking import StakedCoin
from .surroundings import Surroundings

if TYPE_CHECKING:
    from ..simulation import World

MOVED = 1e-9
"""A feed is told of when its price moved by more than this share."""


class Priced(Agent):
    """An agent that keeps the feeds of a scenario, beside the protocols they price."""

    around: Surroundings
    amounts: Amounts

    def __init__(self, world: "World", name: str, interval: float) -> None:
        super().__init__(world, name, interval)
        self._feeds: dict[str, Feed] = {}
        self._values: dict[str, float] = {}
        self._feed_events: dict[str, int] = {}
        self._rules: dict[str, Any] = dict(world.config.feeds)
        self._live = [name for name, rule in self._rules.items() if rule.live]
        self._midst: Mapping[str, Any] | None = None  # states of a transaction
        self._votes: dict[str, tuple[float, int]] = {}  # to be seen by a feed
        self._moved: dict[str, tuple[float, int]] = {}  # largest move of each pool

    def open_feeds(self) -> None:
        """Open the feeds; they have seen the prices of the start for long enough."""
        if any(rule.stale is not None for rule in self._rules.values()):
            self.world.exchange.prices.timed = True
        for name in _in_order(self._rules):
            self._feeds[name] = Feed(policy_of(self._rules[name]))
        self.observe(-max((r.memory_ns for r in self._rules.values()), default=0))
        self.observe(0)

    def state(self, place: str) -> Any:
        """The protocol at a place, as it stands."""
        return (self._midst or self.around.places)[place]

    def vote(self, feed: str, price: float, event: int) -> None:
        """Open a vote on a feed's price; it counts after the feed's delay."""
        self._votes[feed] = price, event

    def usd(self, asset: str) -> float:
        """US dollars of a unit: the exchange's index, or the price outside."""
        exchange = self.world.exchange
        number = exchange.asset_number[asset]
        index = float(exchange.index[number])
        return index if isfinite(index) else float(self.world.outside.price[number])

    def feed_value(self, feed: str, now_ns: int) -> float:
        """What a feed says now, or that of the share of a stable coin's place."""
        place, _, of = feed.partition(" ")
        if of:
            rule = self.world.config.stables[place.partition(".")[2]]
            feed = rule.feed or ""
        price = self._feeds[feed].read(now_ns)
        if not price.live:
            raise Refused(f"'{feed}' must have a live price (got none)")
        return price.value

    def within(self, states: Mapping[str, Any]) -> "Priced | Midst":
        """What prices are in the midst of a transaction: live feeds are asked anew."""
        return Midst(self, states) if self._live else self

    def asked(self, states: Mapping[str, Any], ask: Callable[[], Any], now: int) -> Any:
        """An answer on the states of a transaction, live feeds having seen them."""
        feeds, self._midst = self._feeds, states
        try:
            self._feeds = dict(feeds)
            for name in self._live:
                rule = self._rules[name]
                seen = self.seen(rule, rule.asset or name)
                self._feeds[name] = feeds[name].after(seen, now)
            return ask()
        finally:
            self._feeds, self._midst = feeds, None

    def price_of(self, feed: str) -> float:
        """The last value of a feed, NaN before there is any."""
        return self._values.get(feed, nan)

    def feed_event(self, feed: str) -> int:
        """The event of a feed's last move."""
        return self._feed_events.get(feed, NO_CAUSE)

    def oracle(self, feed: str, when_down: str) -> Oracle:
        """A market's view of a feed."""
        return Oracle(name=feed, feed=self._feeds[feed], when_down=when_down)

    def market_price(self, market: IsolatedMarket, now_ns: int) -> int:
        """The collateral's price as an isolated market has it."""
        rule = self.world.config.lending[market.account.partition(".")[2]]
        return self.oracle(rule.feed, rule.when_down).scaled(
            now_ns,
            collateral_decimals=self.amounts.places(rule.collateral),
            loan_decimals=self.amounts.places(rule.loan),
        )

    def pool_prices(self, pool: LendingPool, now_ns: int) -> Mapping[str, int]:
        """Prices of a shared pool's assets, eight digits."""
        rule = self.world.config.lending_pools[pool.account.partition(".")[2]]
        return {
            asset: self.oracle(row.feed, rule.when_down).in_base(now_ns)
            for asset, row in rule.reserves.items()
        }

    def observe(self, now: int) -> None:
        """Let every feed see the prices as they stand."""
        for name, feed in self._feeds.items():
            rule = self._rules[name]
            asset = rule.asset or name
            seen: dict[str, float | tuple[float, int]] = self.seen(rule, asset)
            vote = self._votes.pop(name, None)
            if vote is not None:
                seen[VOTE] = vote[0]
                self._feed_events[f"{name} {VOTE}"] = vote[1]
            # One that is missing is passed on as such.
            self._feeds[name] = feed.after(seen, now)
            self._tell_feed(name, asset, self._feeds[name].read(now), now)
        self._moved.clear()
        pricing = self.world.exchange.prices
        for row, (source, asset) in enumerate(pricing.places):
            value, other = self._said(source, asset)
            pricing.place_price[row] = self._in(None, value, other)
            pricing.place_event[row] = self._source_event(source, asset)

    def _tell_feed(self, name: str, asset: str, price: Price, now: int) -> None:
        old = self._values.get(name, nan)
        if not isfinite(price.value) or abs(price.value - old) <= MOVED * old:
            return
        self._values[name] = price.value
        if now <= 0:
            return
        number = self.world.exchange.asset_number[asset]
        cause = self._blame(name, asset, price)
        moved = {"asset": number, "old": old, "value": price.value}
        event = self.world.exchange.log.add_many(
            "feed", now, np.array([cause], np.int64), text=name, **moved
        )
        self._feed_events[name] = event

    def _blame(self, name: str, asset: str, price: Price) -> int:
        vote = self._feed_events.get(f"{name} {VOTE}", NO_CAUSE)
        if vote and price.source == VOTE:
            return vote
        rule = self._rules[name]
        sources = [_market_of(rule, source) for source in rule.parts]
        causes = [self._source_event(source, asset) for source in sources]
        return max(causes, default=NO_CAUSE)

    def seen(self, rule: Any, asset: str) -> dict[str, float | tuple[float, int]]:
        """What the sources of a feed say, markets with the time of their last trade."""
        sources = [*rule.parts, *([rule.anchor] if rule.anchor is not None else [])]
        return {source: self._source(source, asset, rule) for source in sources}

    def _source(self, source: str, asset: str, rule: Any) -> float | tuple[float, int]:
        exchange, quote = self.world.exchange, rule.quote
        if source == "outside" and quote is not None:
            outside, number = self.world.outside.price, exchange.asset_number
            return float(outside[number[asset]]) / float(outside[number[quote]])
        if source == "redemption":
            return self._in(quote, rule.ratio, rule.underlying)
        market = _market_of(rule, source)
        value, other = self._said(market, asset)
        if source == "implied":
            value = 1.0 / value if value > 0.0 else nan
            other = exchange.assets[int(exchange.base[exchange.market_number[market]])]
        value = self._in(quote, value, other)
        if rule.stale is None or market not in exchange.market_number:
            return value
        return value, int(exchange.prices.traded_ns[exchange.market_number[market]])

    def _in(self, quote: str | None, value: float, other: str | None) -> float:
        # A price in one asset as one in another; US dollars have no name here.
        if other == quote:
            return value
        value *= 1.0 if other is None else self.usd(other)
        return value if quote is None else value / self.usd(quote)

    def _said(self, source: str, asset: str) -> tuple[float, str | None]:
        # A price, and the asset that it is in.
        exchange = self.world.exchange
        table, _, name = source.partition(".")
        if table == "feeds":
            return self.price_of(name), self._rules[name].quote
        if source == "fixed":
            return nan, None
        if source == "outside":
            return float(self.world.outside.price[exchange.asset_number[asset]]), None
        if source in exchange.market_number:
            number = exchange.market_number[source]
            last = float(exchange.books.last_price(number) * exchange.tick[number])
            return last, exchange.assets[int(exchange.quote[number])]
        state = self.state(source)
        if source.startswith("pools."):
            other = next(a for a in state.assets if a != asset)
            price = state.price(asset, other)
            return self.amounts.rate(price, asset, other), other
        if source.startswith("staking."):
            if isinstance(state, StakedCoin):
                rate = self.amounts.rate(state.ratio, state.token, state.coin)
                return rate, state.coin
            rate = state.price(self.world.now)
            return self.amounts.rate(rate, state.shares_asset, state.asset), state.asset
        if source.startswith("vaults."):
            return state.share_price(self._midst or self.around.places), state.asset
        return self._backing(source), self.world.config.issuers[source[8:]].stable

    def _backing(self, place: str) -> float:
        # What an issuer pays for a token: its net assets, at most par.
        return min(self.backing(place), 1.0)

    def backing(self, place: str) -> float:
        """Net assets of an issuer for each token, in its stable asset; NaN of none."""
        state = self.state(place)
        if not state.supply:
            return nan
        stable = self.usd(state.stable_asset)
        net = self.amounts.units(state.stable_asset, state.stable)
        for coin, atoms in state.spot.items():
            net += self.amounts.units(coin, atoms) * self.usd(coin) / stable
        account = self.around.booking.accounts.get(f"{place} hedge")
        if account is not None:
            net += self.world.exchange.risk.account(account)["equity"] / stable
        return net / self.amounts.units(state.token, state.supply)

    def _source_event(self, source: str, asset: str) -> int:
        table, _, name = source.partition(".")
        exchange = self.world.exchange
        if table == "feeds":
            return self.feed_event(name)
        if source == "outside":
            return int(self.world.outside.event[exchange.asset_number[asset]])
        if source in exchange.market_number:
            return int(exchange.movers.all()[exchange.market_number[source]])
        if source in self._moved:
            return self._moved[source][1]
        return self.around.touched.get(source, NO_CAUSE)

    def last_at(self, place: str) -> int:
        """The event at a place that moved it most, or the last one there."""
        moved = self._moved.get(place)
        return moved[1] if moved else self.around.touched.get(place, NO_CAUSE)

    def last_of(self, figure: str) -> int:
        """The event that a figure of the series is blamed on."""
        table, name = figure.split(".")[:2]
        if table == "feeds":
            return self.feed_event(name)
        return self.last_at(f"{table}.{name}")

    def pool_of(self, asset: str, other: str) -> Any:
        """The first pool in which two assets trade; None if there is none."""
        for place in self.around.places:
            state = self.state(place)
            if place.startswith("pools.") and {asset, other} <= set(state.assets):
                return state
        return None

    def supply_of(self, asset: str) -> int:
        """Atoms of an asset that there are: what the world outside gave."""
        number = self.world.exchange.asset_number[asset]
        return -self.world.exchange.ledger.balance(EXTERNAL, number)


def _market_of(rule: Any, source: str) -> str:
    # The market that a policy asks, or the source itself.
    return str(rule.market) if source in ("own_book", "implied") else source


def _in_order(rules: Mapping[str, Any]) -> list[str]:
    # Feeds after those that they are made of.
    found: dict[str, None] = {}

    def put(name: str) -> None:
        rule = rules[name]
        for _, source in rule.named:
            if source.startswith("feeds.") and source[6:] not in found:
                put(source[6:])
        found[name] = None

    for name in rules:
        if name not in found:
            put(name)
    return list(found)
