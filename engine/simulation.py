"""The simulation: one venue, its participants, the outside world, and a clock.

Everything happens in the order of (time, priority, sequence). Before an entry of the
clock runs, the gateway hands the books what it served up to then.
"""

import gc
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import CLAIMS, FEES, INSURANCE
from ..margin.markets import MarketSpec
from ..margin.prices import IndexRule
from .agents import SECOND, Agent
from .arbitrage import Arbitrageur, CrossArbitrageur
from .bidders import BargainHunters, ladder, stale_bids
from .chance import Stream, exp, log
from .config import Scenario as Config
from .delayed import LiquidationBots, Whales
from .events import NO_CAUSE
from .exchange import Exchange
from .gateway import Gateway
from .makers import MarketMakers
from .outside import Channel, Outside
from .population import Population
from .record import Names, Recorder
from .shocks import strikes
from .takers import Background, Holders
from .traders import Traders
from .venue_files import build_rules

if TYPE_CHECKING:
    from .run import Run
    from .scenario import LoadedScenario

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Progress = Callable[[float, float], None]

DAY = 86_400 * SECOND
SYSTEM_NAMES = ("outside", "fees", "insurance fund", "clearing", "claims")

POSITION_MAX = 2**59
"""Most atoms of its quote that a position is worth at the start; the ledger takes
twice as much."""

MANY_ACCOUNTS = 100_000
"""Of more than this the memory is given back as soon as a run is over."""

SHOCK, PRICES, SETTLE, RECORD, RISK, AGENTS = range(6)
"""Priorities: what happens first among the things of one moment."""


class World:
    """A running simulation. `simulate` makes one, runs it, and returns the run."""

    def __init__(self, scenario: "LoadedScenario", seed: int) -> None:
        self.config: Config = scenario.config
        self.seed = seed
        self.now = 0
        self._heap: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self._groups: list[str] = ["venue"]
        self._group_of: list[tuple[int, int, int]] = []  # first, count, group
        self.exogenous_usd = 0.0
        self.messages = 0
        self.shock_accounts: list[int] = []
        self.gateway_event = NO_CAUSE  # the last shock to it
        self._build_venue()
        self._build_participants()
        self._build_timeline()

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
        exchange.liquidator.deleveraging.draw = lambda n: int(draws.integers(1, n)[0])
        exchange.prices.outside = self.outside.price
        exchange.prices.outside_event = self.outside.event
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
        accounts = [maker.accounts for maker in self.makers]
        self.maker_accounts: Integers = np.concatenate(
            [np.empty(0, np.int64), *accounts]
        )
        self._open_positions()
        for population in self.populations:
            population.keep_distance()
        self.exchange.liquidator.scan(0)
        self._warn_of_ruin()
        self._warn_of_no_asks()
        for agent in (*self.makers, *self.traders):
            agent.start()
        for agent in (*self.makers, *self.traders, *others):
            self.schedule_agent(agent)

    def _warn_of_ruin(self) -> None:
        low = np.array(list(self.exchange.liquidator.cases), np.int64)
        for group in (*self.makers, *self.traders, *self.populations):
            ruined = int(np.isin(group.accounts, low).sum())
            if ruined:
                warnings.warn(
                    f"{group.group}.{group.name}: {ruined:,} of "
                    f"{len(group.accounts):,} accounts start in liquidation; lower "
                    "what they owe (leverage, inventory, shares above 1), or give "
                    "them collateral that counts for more",
                    stacklevel=6,
                )

    def _warn_of_no_asks(self) -> None:
        # Who rests a share of the depth, both sides, needs coins in some account.
        exchange = self.exchange
        for maker in self.makers:
            if maker.settings.share is None:
                continue
            spot = ~exchange.perpetual[maker.markets]
            bases = exchange.base[maker.markets]
            coins = exchange.ledger.balances_in(maker.accounts, bases)
            held = coins[maker.maker, maker.column] > 0
            spot &= np.isin(np.arange(len(spot)), maker.column)
            spot[maker.column[held]] = False
            empty = maker.markets[spot].tolist()
            if empty:
                others = f" and {len(empty) - 1:,} more" if empty[1:] else ""
                warnings.warn(
                    f"market_makers.{maker.name}: none of its accounts has coins to "
                    f"sell in {exchange.markets[empty[0]]}{others}, so it quotes no "
                    "asks there; give them collateral, inventory or stock",
                    stacklevel=6,
                )

    def _fleet(self, kind: type, tables: dict[str, Any]) -> list[Any]:
        return [
            kind(self, name, settings)
            for name, settings in tables.items()
            if settings.enabled
        ]

    def _open_positions(self) -> None:
        """Open the positions everyone starts with, each long against a short.

        Traders and hedging makers have theirs; a well-margined account, the other side
        of the market, has the rest, or several do if it is more than one can hold.
        """
        exchange = self.exchange
        rests = self.open_accounts("counterparties", 1)
        lots: dict[int, list[tuple[Integers, Integers]]] = {}
        for maker in self.makers:
            for name, usd in maker.hedges().items():
                market = exchange.market_number[name]
                unit = self.usd[market] * exchange.lot[market]
                short = -(usd / unit).astype(np.int64)
                own = short != 0
                lots.setdefault(market, []).append((maker.accounts[own], short[own]))
        for group in (*self.traders, *self.populations):
            accounts, markets, sizes = group.positions()
            order = np.argsort(markets, kind="stable")
            found, first = np.unique(markets[order], return_index=True)
            for market, own in zip(
                found.tolist(), np.split(order, first[1:]), strict=False
            ):
                lots.setdefault(market, []).append((accounts[own], sizes[own]))
        for market, parts in lots.items():
            sizes = np.concatenate([n for _, n in parts])
            price = round(self.fair[market] / exchange.tick[market])
            rest = -int(sizes.sum())
            atoms = abs(rest) * price * exchange.specs[market].quote_unit
            needed = -(-atoms // POSITION_MAX)
            if needed > len(rests):
                more = self.open_accounts("counterparties", needed - len(rests))
                rests = np.concatenate([rests, more])
            others = rests[: max(1, needed)]
            shares = np.full(len(others), rest // len(others))
            shares[: rest % len(others)] += 1
            number = exchange.asset_number["USDT"]
            for account, share in zip(others.tolist(), shares.tolist(), strict=True):
                usd = float(abs(share) * self.usd[market] * exchange.lot[market])
                atoms = int(usd / exchange.atom[number])
                exchange.ledger.deposit(account, number, atoms)
            accounts = np.concatenate([*(a for a, _ in parts), others])
            sizes = np.concatenate([sizes, shares])
            exchange.ledger.open_positions(market, accounts, sizes, price)

    def _build_timeline(self) -> None:
        for time, strike in strikes(self):
            self.schedule(time, SHOCK, strike)
        self._every(SECOND, PRICES, self._move_prices)
        cycle = int(self.exchange.rules.liquidation.cycle_s * SECOND)
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
        def again(now: int) -> None:
            action(now)
            self.schedule(now + step, priority, again)

        self.schedule(first, priority, again)

    def schedule_agent(self, agent: Agent) -> None:
        """Wake an agent at its interval from now on."""
        self._every(agent.interval_ns, AGENTS, agent.wake)

    def run(self, on_progress: Progress | None = None) -> None:
        """Run to the end of the scenario."""
        end = int(self.config.duration * SECOND)
        shown = -1

        def tell(time: int, step: int) -> None:
            nonlocal shown
            if on_progress is not None and time > shown:
                on_progress(time / end, time / SECOND)
                shown = time + step

        def tell_of_a_cycle(done: int, cases: int) -> None:
            # Time stands still in it; told is how far through the cycle it is.
            cycle = self.exchange.rules.liquidation.cycle_s * SECOND
            tell(min(end, self.now + int(cycle * done / cases)), 0)

        self.exchange.liquidator.tell = tell_of_a_cycle
        while self._heap and self._heap[0][0] <= end:
            time, _, _, action = heappop(self._heap)
            self._deliver(time)
            self.now = self.exchange.now = time
            if self._seen != self.exchange.batches:
                self._refresh_market()
            action(time)
            self._reopen_later()
            tell(time, end // 200)
        self._deliver(end)
        self.recorder.sample(end)
        if on_progress is not None:
            on_progress(1.0, end / SECOND)

    def _reopen_later(self) -> None:
        # Markets whose circuit breaker tripped open again after their pause.
        exchange = self.exchange
        while exchange.tripped:
            market, when = exchange.tripped.pop(0)
            name = exchange.markets[market]
            breaker = self.config.markets[name].circuit_breaker
            assert breaker is not None
            opens = max(self.now, when + int(breaker.pause * SECOND))
            self.schedule(opens, SHOCK, partial(self._open_market, name))

    def _open_market(self, name: str, now: int) -> None:
        self.exchange.set_phase(name, "open")

    def _deliver(self, until: int) -> None:
        batch = self.gateway.due(until)
        if len(batch):
            self.messages += len(batch)
            _, fills = self.exchange.process(batch)
            if len(fills) and self.shock_accounts:
                own = fills[np.isin(fills["taker"], self.shock_accounts)]
                self.exogenous_usd += fsum(self.exchange.notional_usd(own))
        for what, count in self.gateway.turned_away().items():
            self.exchange.log.add(
                "refusal", until, self.gateway_event, value=float(count), text=what
            )

    # -- WHAT HAPPENS BY ITSELF

    def _move_prices(self, now: int) -> None:
        if now:
            self.outside.step(1.0, now)
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
        prices = exchange.books.top()[:, [0, 2, 4]] * exchange.tick[:, None]
        self.bid, self.ask, self.last = prices[:, 0], prices[:, 1], prices[:, 2]
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
        return np.concatenate(
            [np.empty(0), *(maker.quoting() for maker in self.makers)]
        )

    def collateral_lost(self) -> Floats:
        """Return what repricing took from each maker's collateral, US dollars."""
        return np.concatenate(
            [np.empty(0), *(maker.collateral_lost() for maker in self.makers)]
        )

    def account_classes(self) -> NDArray[np.uint8]:
        """Return the class of each account: its number in the names' ``classes``."""
        of = np.zeros(self.exchange.ledger.n_accounts, np.uint8)
        for first, count, group in self._group_of:
            of[first : first + count] = group
        return of

    def names(self) -> Names:
        """Return what the numbers in events mean."""
        exchange = self.exchange
        names = dict(enumerate(SYSTEM_NAMES))
        for maker in self.makers:
            for i, account in enumerate(maker.accounts.tolist()):
                names[account] = f"maker {maker.name}-{i + 1}"
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


def simulate(
    scenario: "LoadedScenario", seed: int = 0, on_progress: Progress | None = None
) -> "Run":
    """Run a scenario from its start to its end; the same seed gives the same bytes."""
    from .run import Run

    world = World(scenario, seed)
    world.run(on_progress)
    exchange = world.exchange
    outcome = {
        "conserved": float(not exchange.ledger.totals().any()),
        "messages": float(world.messages),
        "trades": float(exchange.books.trades),
        "refused_by_margin": float(exchange.risk.refused),
        "refused_by_gateway": float(world.gateway.refused),
        "fees_usd": exchange.risk.account(FEES)["equity"],
        "claims_usd": -exchange.risk.account(CLAIMS)["equity"],
    }
    run = Run(
        scenario=scenario,
        seed=seed,
        log=exchange.log,
        names=world.names(),
        series=world.recorder.series(),
        outcome=outcome,
    )
    # A world refers to itself: its accounts would stay until Python looks for it.
    del world, exchange
    if len(run.names.account_class) > MANY_ACCOUNTS:
        gc.collect()
    return run
