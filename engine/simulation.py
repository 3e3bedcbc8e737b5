"""The simulation: one venue, its participants, the outside world, and a clock.

Everything happens in the order of (time, priority, sequence). Before an entry of the
clock runs, the gateway hands the books what it served up to then.
"""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import repricing
from ..cython_ext.ledger import INSURANCE
from ..margin.markets import MarketSpec
from ..margin.prices import IndexRule
from .agents import NEVER, SECOND, Agent, Rows
from .arbitrage import Arbitrageur, CrossArbitrageur
from .bidders import BargainHunters, ladder, stale_bids
from .chance import Stream, exp, log
from .config import Scenario as Config
from .defi.chain import Chain
from .delayed import LiquidationBots, Whales
from .events import NO_CAUSE
from .exchange import Exchange
from .gateway import Gateway
from .journal import GATEWAY, Journal
from .makers import Collateral, MarketMakers
from .opening import open_positions
from .outside import Channel, Outside
from .own import Agent as Own
from .population import Population
from .reading.venue_files import build_rules
from .record import Names, Recorder
from .seats import Party
from .shocks import strikes
from .takers import Background, Holders
from .traders import Traders
from .warning import warn_of_no_asks, warn_of_ruin

if TYPE_CHECKING:
    from .playing import Player
    from .scenario import LoadedScenario

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Progress = Callable[[float, float], None]

DAY = 86_400 * SECOND
SYSTEM_NAMES = ("outside", "fees", "insurance fund", "clearing", "claims")

VISITORS = "visitors"
"""Class of accounts that are opened while the exchange runs."""

SHOCK, PRICES, SETTLE, RECORD, RISK, AGENTS = range(6)
"""Priorities: what happens first among the things of one moment."""


class Repeat:
    """What happens again and again, each time an interval after the last."""

    def __init__(
        self, world: "World", step: int, priority: int, action: Callable[[int], None]
    ) -> None:
        self.world, self.step = world, step
        self.priority, self.action = priority, action

    def __call__(self, now: int) -> None:
        """Do it, and put the next time on the clock."""
        self.action(now)
        self.world.schedule(now + self.step, self.priority, self)


class World:
    """A running simulation. `simulate` makes one, runs it, and returns the run.

    Its state is plain data, so that it can be copied and kept: see `state`.
    """

    def __init__(
        self,
        scenario: "LoadedScenario",
        seed: int,
        agents: Sequence[Own] = (),
        player: "Player | None" = None,
    ) -> None:
        self.config: Config = scenario.config
        self.seed = seed
        self.now = 0
        self._heap: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self.steps = 0  # entries of the clock that are done
        self.agents: dict[str, Agent] = {}  # by sender
        self.refused_before = 0  # orders, by gates of earlier rules
        self._groups: list[str] = ["venue"]
        self._group_of: list[tuple[int, int, int]] = []  # first, count, group
        self.owners: list[tuple[int, int, str]] = []  # first, count, sender
        self.journal = Journal() if self.config.record.messages == "all" else None
        self.player = player  # of a stream, in the place of agents
        self.exogenous_usd = 0.0
        self.messages = 0
        self.shock_accounts: list[int] = []
        self.gateway_event = NO_CAUSE  # the last shock to it
        self._build_venue()
        self._build_participants()
        self._build_timeline(agents)
        self.exchange.ledger.pack()
        if self.journal is not None:
            self.journal.begin(self.exchange.log.next_id, self.exchange.books.last_id)
        if player is not None:
            player.begin(self)

    def __getstate__(self) -> dict[str, Any]:
        # All that populations had is in the ledger, and they do nothing.
        return vars(self) | {"populations": []}

    # -- BUILDING

    def _build_venue(self) -> None:
        config = self.config
        decimals = {name: asset.decimals for name, asset in config.assets.items()}
        specs = [
            MarketSpec.define(name, market.tick, market.lot, decimals)
            for name, market in config.markets.items()
        ]
        traded = {asset for spec in specs for asset in (spec.base, spec.quote)}
        # An asset without a market is only a price outside, which others follow.
        alone = {a: IndexRule(policy="outside") for a in decimals if a not in traded}
        self.exchange = exchange = Exchange(
            specs,
            build_rules(config.rules),
            decimals=decimals,
            oracles=alone | config.oracles,
        )
        ordered = {name: config.assets[name] for name in exchange.assets}
        self.outside = Outside(ordered, self.stream("outside"))
        self.channel = Channel(config.transfers)
        self.gateway = Gateway(config.gateway, self.stream)
        exchange.log.traded = config.record.messages == "traded"
        draws = self.stream("adl")
        exchange.liquidator.deleveraging.draw = draws.below
        exchange.prices.outside = self.outside.price
        exchange.prices.outside_event = self.outside.event
        exchange.movers.outside = self.outside.event
        exchange.movers.outside_at = self.outside.at
        exchange.prices.start_ns = int(config.start * SECOND)
        self.refresh_outside()
        for number, (name, market) in enumerate(config.markets.items()):
            exchange.set_price_band(name, market.price_band)
            breaker = market.circuit_breaker
            if breaker is not None:
                exchange.set_circuit_breaker(
                    name, breaker.share, window=breaker.window, phase=breaker.phase
                )
            ticks = round(self.fair[number] / exchange.tick[number])
            if market.last is not None:
                ticks = exchange.specs[number].ticks(market.last)
            exchange.books.set_last_price(number, max(1, ticks))
            assert exchange.markets[number] == name
        exchange.update_prices()
        self._refresh_market()
        number = exchange.asset_number.get("USDT", 0)
        dollars = config.insurance_fund_usd / exchange.atom[number]
        exchange.ledger.deposit(INSURANCE, number, int(dollars))

    def _build_participants(self) -> None:
        config = self.config
        for settings in config.ladders:
            ladder(self, settings)
        for name, stale in config.stale_bids.items():
            if stale.enabled:
                stale_bids(self, name, stale)
        self.makers = self._fleet(MarketMakers, config.market_makers)
        self.traders = self._fleet(Traders, config.traders)
        self.populations = self._fleet(Population, config.population)
        others = [
            *self._fleet(Holders, config.holders),
            *self._fleet(Whales, config.whales),
            *self._fleet(LiquidationBots, config.liquidation_bots),
            *self._fleet(BargainHunters, config.bargain_hunters),
            *self._fleet(Arbitrageur, config.arbitrage),
            *self._fleet(CrossArbitrageur, config.cross_arbitrage),
            *self._fleet(Background, config.background),
        ]
        self.chain = Chain.of(self)
        accounts = [maker.accounts for maker in self.makers]
        self.maker_accounts: Integers = np.concatenate(
            [np.empty(0, np.int64), *accounts]
        )
        open_positions(self)
        for population in self.populations:
            population.keep_distance()
        self.exchange.liquidator.scan(0)
        warn_of_ruin(self)
        warn_of_no_asks(self)
        for agent in (*self.makers, *self.traders):
            agent.start()
        self.collateral = Collateral(self.makers, self.exchange)
        for agent in (*self.makers, *self.traders, *others):
            self.schedule_agent(agent)
        if self.chain is not None:
            self.schedule_agent(self.chain)

    def _fleet(self, kind: type, tables: dict[str, Any]) -> list[Any]:
        return [
            kind(self, name, settings)
            for name, settings in tables.items()
            if settings.enabled
        ]

    def _build_timeline(self, agents: Sequence[Own]) -> None:
        for time, strike in strikes(self):
            self.schedule(time, SHOCK, strike)
        # Their accounts come last: those of all others have the numbers they had.
        self.party = Party(self, agents)
        self.party.begin()
        # Without a market nobody asks for prices between blocks, and with one there is
        # nothing new between those that are longer than a second.
        self.step_ns = SECOND
        if self.chain is not None:
            least = SECOND if self.exchange.markets else 0
            self.step_ns = max(least, self.chain.interval_ns)
        self._every(self.step_ns, PRICES, self._move_prices)
        cycle = int(self.exchange.rules.liquidation.cycle_s * SECOND)
        if self.exchange.markets:
            self._every(cycle, RISK, self._liquidate)
        funding, start = self.exchange.prices.funding_ns, self.exchange.prices.start_ns
        self._every(
            funding, SETTLE, self._settle_funding, first=funding - start % funding
        )
        self._every(DAY, SETTLE, self._charge_interest, first=DAY - start % DAY)
        self.recorder = Recorder(self)
        for seconds, sample in self.recorder.plan():
            self._every(int(seconds * SECOND), RECORD, sample)

    # -- THE CLOCK

    def schedule(self, time: int, priority: int, action: Callable[[int], None]) -> None:
        """Call ``action(now)`` at a time in nanoseconds."""
        heappush(self._heap, (time, priority, self._sequence, action))
        self._sequence += 1

    def _every(
        self, step: int, priority: int, action: Callable[[int], None], first: int = 0
    ) -> None:
        self.schedule(first, priority, Repeat(self, step, priority, action))

    def schedule_agent(self, agent: Agent, first: int = 0) -> None:
        """Wake an agent at its interval from a time on."""
        self.agents[agent.sender] = agent
        self._every(agent.interval_ns, AGENTS, agent.turn, first)

    def run(self, on_progress: Progress | None = None) -> None:
        """Run to the end of the scenario."""
        self.proceed(self.end, on_progress)
        self.close()
        if on_progress is not None:
            on_progress(1.0, self.end / SECOND)

    @property
    def end(self) -> int:
        """When the scenario ends, ns."""
        return int(self.config.duration * SECOND)

    def proceed(self, until: int, on_progress: Progress | None = None) -> None:
        """Do all that is on the clock up to a time."""
        end = self.end
        shown = -1

        def tell(time: int, step: int) -> None:
            nonlocal shown
            if on_progress is not None and time > shown:
                on_progress(time / end, time / SECOND)
                shown = time + step

        def tell_of_a_cycle(done: int, cases: int) -> None:
            # Time stands still in it; told is how far through the cycle it is.
            cycle = self.exchange.rules.liquidation.cycle_s * SECOND
            tell(min(until, self.now + int(cycle * done / cases)), 0)

        liquidator = self.exchange.liquidator
        liquidator.tell = tell_of_a_cycle if on_progress is not None else None
        try:
            while self.next <= until:
                self.step()
                tell(self.now, end // 200)
        finally:
            liquidator.tell = None

    @property
    def next(self) -> int:
        """When the next entry of the clock is, ns."""
        return self._heap[0][0] if self._heap else NEVER

    @property
    def timeline(self) -> list[tuple[int, int, int, Callable[[int], None]]]:
        """The entries of the clock, a heap of time, priority, number and action."""
        return self._heap

    def set_cycle(self, step: int) -> None:
        """Run the liquidation engine each so many ns from its next cycle on."""
        for *_, action in self._heap:
            if isinstance(action, Repeat) and action.action == self._liquidate:
                action.step = step

    def welcome(self) -> None:
        """Take note of accounts that somebody opened at the exchange."""
        known = max(first + count for first, count, _ in self._group_of)
        opened = self.exchange.ledger.n_accounts - known
        if opened > 0:
            if VISITORS not in self._groups:
                self._groups.append(VISITORS)
            self._group_of.append((known, opened, self._groups.index(VISITORS)))
            self.recorder.census.welcome(opened)

    def step(self) -> None:
        """Do the next entry of the clock."""
        time, _, _, action = heappop(self._heap)
        self._deliver(time)
        self.now = self.exchange.now = time
        if self._seen != self.exchange.batches:
            self._refresh_market()
        self.party.tell(time)
        action(time)
        self.party.tell(time)
        self._reopen_later()
        self.steps += 1

    def close(self) -> None:
        """Hand over what is served by the end, and take the last samples."""
        self._deliver(self.end)
        self.party.tell(self.end)
        self.recorder.sample(self.end)

    def _reopen_later(self) -> None:
        # Markets whose circuit breaker tripped open again after their pause.
        exchange = self.exchange
        while exchange.tripped:
            market, when = exchange.tripped.pop(0)
            name = exchange.markets[market]
            breaker = self.config.markets[name].circuit_breaker
            if breaker is None:
                # Somebody set it at the exchange, and has to open the market too.
                continue
            opens = max(self.now, when + int(breaker.pause * SECOND))
            self.schedule(opens, SHOCK, partial(self._open_market, name))

    def _open_market(self, name: str, now: int) -> None:
        self.exchange.set_phase(name, "open")

    def _deliver(self, until: int) -> None:
        log, player = self.exchange.log, self.player
        batch = self.gateway.due(until)
        for part in [batch] if player is None else player.batches(batch, until):
            self._process(part)
        first = log.next_id
        for what, count in self.gateway.turned_away().items():
            log.add("refusal", until, self.gateway_event, value=float(count), text=what)
        if player is not None:
            player.act(GATEWAY, until)
        if self.journal is not None:
            self.journal.note(GATEWAY, until, first, log.next_id)

    def _process(self, batch: Rows) -> None:
        if len(batch) == 0:
            return
        self.messages += len(batch)
        if self.journal is not None:
            self.journal.served(self.exchange.log.next_id, len(batch))
        results, fills = self.exchange.process(batch)
        if len(fills) and self.shock_accounts:
            self._count_shocks(fills)
        if self.player is not None:
            self.player.answered(results)
        self.party.answered(batch, results)

    def _count_shocks(self, fills: Rows) -> None:
        # Their accounts were opened one after another: few fills are looked at twice.
        first, last = self.shock_accounts[0], self.shock_accounts[-1]
        own = fills[(fills["taker"] >= first) & (fills["taker"] <= last)]
        if len(own) and last - first >= len(self.shock_accounts):
            own = own[np.isin(own["taker"], self.shock_accounts)]
        if len(own):
            self.exogenous_usd += fsum(self.exchange.notional_usd(own))

    # -- WHAT HAPPENS BY ITSELF

    def _move_prices(self, now: int) -> None:
        if now:
            self.outside.step(self.step_ns / SECOND, now)
            self.refresh_outside()
        self.exchange.update_prices()

    def refresh_outside(self) -> None:
        """Take over the outside prices as they are now."""
        exchange = self.exchange
        exchange.prices.outside = price = self.outside.price
        self.fair: Floats = price[exchange.base] / price[exchange.quote]
        self.usd: Floats = price[exchange.base]

    def _settle_funding(self, now: int) -> None:
        self.exchange.settle_funding()

    def _charge_interest(self, now: int) -> None:
        self.exchange.charge_interest()

    def _liquidate(self, now: int) -> None:
        self.exchange.liquidator.run(now)

    def _refresh_market(self) -> None:
        exchange = self.exchange
        top = exchange.books.top()
        self.bid, self.ask, self.last = repricing.best(top, exchange.tick, 0.0)
        both = (self.bid > 0) & (self.ask > 0)
        self.middle: Floats = np.where(both, 0.5 * (self.bid + self.ask), self.last)
        self._seen = exchange.batches

    # -- WHAT AGENTS ASK

    def stream(self, name: str) -> Stream:
        """Return the random numbers of a name."""
        return Stream(self.seed, name)

    def volumes(self, markets: Sequence[str], power: float) -> Floats:
        """Return the volumes of markets to a power; power 0 asks for none."""
        if power == 0.0:
            return np.ones(len(markets))
        volumes = [self.config.markets[market].volume_usd for market in markets]
        return exp(power * log(np.array(volumes, np.float64)))

    def open_accounts(self, group: str, count: int) -> Integers:
        """Open accounts of a group and return their numbers."""
        if group not in self._groups:
            self._groups.append(group)
        first = self.exchange.ledger.open_accounts(count)
        self._group_of.append((first, count, self._groups.index(group)))
        return np.arange(first, first + count)

    def blame(self, account: int) -> int:
        """Return the event that cost an account most since it was last healthy."""
        return int(self.exchange.liquidator.blame(account)["cause"])

    def maker_quoting(self) -> Floats:
        """Return the share of its markets in which each market maker bids."""
        shares = [maker.quoting() for maker in self.makers]
        if self.player is not None:
            # What those of a stream would do nobody asks them.
            for k, maker in enumerate(self.makers):
                if self.player.plays(maker.sender):
                    shares[k] = np.full(len(maker.accounts), np.nan)
        return np.concatenate([np.empty(0), *shares])

    def collateral_lost(self) -> Floats:
        """Return what repricing took from each maker's collateral, US dollars."""
        return self.collateral.lost(self.exchange)

    def account_classes(self) -> NDArray[np.uint8]:
        """Return the class of each account: its number in the names' ``classes``."""
        of = np.zeros(self.exchange.ledger.n_accounts, np.uint8)
        for first, count, group in self._group_of:
            of[first : first + count] = group
        return of

    def sound(self) -> bool:
        """Whether every protocol has in the ledger what it says."""
        return self.chain is None or self.chain.sound()

    def names(self) -> Names:
        """Return what the numbers in events mean."""
        exchange = self.exchange
        names = dict(enumerate(SYSTEM_NAMES))
        if self.chain is not None:
            names |= self.chain.names()
        for maker in self.makers:
            for i, account in enumerate(maker.accounts.tolist()):
                names[account] = f"maker {maker.name}-{i + 1}"
        names |= self.party.names()
        return Names(
            assets=exchange.assets,
            markets=exchange.markets,
            tick=exchange.tick,
            lot=exchange.lot,
            base=tuple(exchange.base.tolist()),
            quote=tuple(exchange.quote.tolist()),
            perpetual=tuple(exchange.perpetual.tolist()),
            accounts=names,
            account_class=self.account_classes(),
            classes=tuple(self._groups),
        )
