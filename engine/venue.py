"""The machinery of one venue, in its own units: books, ledger, prices, risk."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import Books
from ..cython_ext.ledger import INSURANCE, SYSTEM_ACCOUNTS, Ledger
from ..cython_ext.risk import Risk
from ..margin.funding import funding_rate
from ..margin.liquidation import Liquidator
from ..margin.markets import MarketSpec
from ..margin.marks import MarkRule
from ..margin.prices import IndexRule
from ..margin.rules import Rules
from ..orderbook.orders import MESSAGE, RESULT, Flag, Phase, Side, messages
from .arguments import expect, refuse, whole_number
from .events import NO_CAUSE, EventLog
from .family import Family
from .orders import OrderError
from .pricing import Pricing
from .units import Units, known

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]

LIQUIDATION = int(Flag.LIQUIDATION)
TRIGGERS = (int(Flag.TRIGGER_MARK), int(Flag.TRIGGER_INDEX))
"""Prices that orders may wait for beside the last trade; NumPy is slow with enums."""

TRIGGERED = sum(TRIGGERS)

TIME_MAX = 2**63 - 1
"""Latest time, ns: the largest of an int64."""

PHASES = {Phase.OPEN: "opened", Phase.HALTED: "halted", Phase.CALL: "called to auction"}
"""What is said of a market that enters a phase."""


class Venue:
    """Books and ledger that settle together, prices, and the risk engine over them.

    `Exchange` is the same in the units of people.
    """

    def __init__(
        self,
        markets: str | MarketSpec | Iterable[str | MarketSpec],
        rules: str | PathLike[str] | Rules = "binance-pm",
        *,
        decimals: Mapping[str, int] | None = None,
        oracles: Mapping[str, IndexRule] | None = None,
    ) -> None:
        if not isinstance(rules, str | PathLike | Rules):
            raise OrderError(
                "'rules' must be the name of a preset, the path of a file or Rules "
                f"(got {rules!r})"
            )
        self.rules = rules if isinstance(rules, Rules) else Rules.load(rules)
        given = {} if oracles is None else oracles
        expect_rules("oracles", given)
        self.units = units = Units.of(
            markets, {} if decimals is None else decimals, given
        )
        self.specs, self.decimals = units.specs, units.decimals
        self.markets, self.market_number = units.markets, units.market_number
        self.assets, self.asset_number = units.assets, units.asset_number
        self.tick, self.lot, self.atom = units.tick, units.lot, units.atom
        self.base, self.quote = units.base, units.quote
        self.perpetual = units.perpetual
        self.family = Family()
        self.log = EventLog()
        self.now = 0
        self.batches = 0
        self.forced_usd = np.zeros(len(self.specs))
        self.sold_usd = np.zeros(len(self.specs))  # the sales among it
        self.forced_event = NO_CAUSE  # the last batch with a forced trade
        shape = len(TRIGGERS), len(self.specs)
        self._watched = np.zeros(shape, np.bool_)  # whether orders wait for the price
        self._told = np.zeros(shape, np.int64)  # what the books know of it, ticks
        self.told: Callable[[Rows, int], None] | None = None  # of fills, and the first
        self._breakers: list[int] = []  # markets that have a circuit breaker
        self.tripped: list[tuple[int, int]] = []  # market and time of each that tripped
        self._build_core()
        self.prices = Pricing(
            units,
            given,
            self.log,
            funding_ns=max(1, round(self.rules.funding.interval_s * 1e9)),
            marks=MarkRule(
                policy=self.rules.mark.policy,
                samples=self.rules.mark.samples,
                sample_ns=max(1, round(self.rules.mark.sample_s * 1e9)),
                basis_s=self.rules.mark.basis_s,
            ),
        )
        self.movers = self.prices.movers
        self.index_event = self.prices.index_event
        self.mark_event = self.prices.mark_event
        self.index_moves = self.prices.index_moves
        self.mark_moves = self.prices.mark_moves
        self.update_prices()
        self.liquidator = Liquidator(self, self.rules)
        self._warn_of_worthless_margin()

    def _warn_of_worthless_margin(self) -> None:
        worthless = [
            spec.name
            for spec in self.specs
            if spec.perpetual and not self.rules.collateral_of(spec.quote).amount(1, 1)
        ]
        if worthless:
            quote = self.specs[self.market_number[worthless[0]]].quote
            counts = {a: c.amount(1, 1) for a, c in self.rules.collateral.items()}
            best = sorted(counts, key=lambda asset: -counts[asset])[0]
            warnings.warn(
                f"{self.rules.name} counts {quote} for nothing as collateral, so that "
                f"it margins no position in {worthless[0]}; quote it in {best}, or lay "
                f"{{'collateral': {{{quote!r}: 1}}}} over the rules",
                stacklevel=3,
            )

    def _build_core(self) -> None:
        self.ledger = Ledger()
        self.books = Books(self.ledger)
        fees = self.rules.fees
        for _ in self.assets:
            self.ledger.add_asset()
        for spec in self.specs:
            self.books.add_market()
            kind = "perpetual" if spec.perpetual else "spot"
            self.ledger.add_market(
                self.asset_number[spec.base],
                self.asset_number[spec.quote],
                spec.perpetual,
                spec.base_unit,
                spec.quote_unit,
                getattr(fees, f"{kind}_maker_ppm"),
                getattr(fees, f"{kind}_taker_ppm"),
                fees.liquidation_ppm,
            )
        self.risk = self.risk_under(self.rules)
        self.ledger.gate = self.risk

    def risk_under(self, rules: Rules) -> Risk:
        """Return a risk pass over the ledger under rules; it has no prices yet."""
        risk = Risk(
            self.ledger,
            rules.terms(self.assets, self.markets),
            rules.margin_factors(self.markets),
            self.atom,
            self.lot,
            rules.thresholds.order,
            rules.account.open_loss,
            rules.account.lends,
        )
        risk.position_margin = rules.position_margin(self.assets, self.markets)
        risk.books = self.books
        return risk

    # -- MESSAGES

    def process(self, batch: Rows) -> tuple[Rows, Rows]:
        """Take a batch of messages through books and ledger; log and return results.

        ``batch`` is of dtype MESSAGE, in the order of arrival. O(messages + fills).
        """
        if getattr(batch, "dtype", None) != MESSAGE:
            told = "messages, as fw.messages(n) or message(order) returns them"
            refuse("batch", batch, told)
        if (batch["flags"] & LIQUIDATION).any():
            raise OrderError("'flags': only the liquidation engine sends LIQUIDATION")
        return self.execute(batch)

    def execute(self, batch: Rows) -> tuple[Rows, Rows]:
        """As `process`, also for the venue's own orders, which no gate refuses."""
        batch = np.ascontiguousarray(batch)
        self.batches += 1
        self._watch_triggers(batch)
        results, fills = self.books.process(batch)
        self._take(batch, results, fills)
        self.risk.reraise()
        return results, fills

    def _take(
        self, batch: Rows, results: Rows, fills: Rows, cause: int = NO_CAUSE
    ) -> None:
        # Log what the books did, and look at what it means.
        events, sent = self.books.take_events(), self.log.next_id
        first = self.log.add_batch(batch, results, fills, events, cause)
        if self.ledger.overflowed:
            raise OverflowError(
                "a balance left the range of int64; the run cannot go on"
            )
        if len(fills) == 0:
            return
        self.movers.note(fills, first, batch, sent)
        if self.told is not None:
            self.told(fills, first)
        forced = fills[(fills["flags"] & LIQUIDATION) != 0]
        if len(forced):
            usd = self.notional_usd(forced)
            sold = forced["taker_side"] == Side.SELL
            np.add.at(self.forced_usd, forced["market"], usd)
            np.add.at(self.sold_usd, forced["market"][sold], usd[sold])
            self.forced_event = first + len(fills) - 1
        for market in self._breakers:
            own = np.flatnonzero(fills["market"] == market)
            if len(own) and self.books.phase(market) != Phase.OPEN:
                self._tripped(market, int(fills["time"][own[-1]]), first + int(own[-1]))

    def set_books(self, name: str, *arguments: int, cause: int = NO_CAUSE) -> Any:
        """Call a setting of the books by name, and log it and what it set off.

        ``cause`` is the event that the trades it sets off are blamed on.
        """
        self.log.note_call(name, *arguments, cause=cause)
        found = getattr(self.books, name)(*arguments)
        fills = self.books.take_fills()
        if len(fills):
            self.batches += 1
        self._take(messages(0), np.empty(0, RESULT), fills, cause)
        self.risk.reraise()
        return found

    def notional_usd(self, fills: Rows) -> Floats:
        """Return what each fill was worth, in US dollars at the index of its quote."""
        m = fills["market"]
        quote = fills["price"] * self.tick[m] * fills["qty"] * self.lot[m]
        return np.asarray(quote * known(self.index[self.quote[m]]))

    # -- PRICES

    @property
    def now(self) -> int:
        """The time, nanoseconds; ValueError for one that is not from 0 to 2**63 - 1."""
        return self._now

    @now.setter
    def now(self, time: int) -> None:
        # Set at each step of a run: what is plainly right is not looked at twice.
        if type(time) is not int or not 0 <= time <= TIME_MAX:
            time = whole_number("now", time, 0, TIME_MAX, "0 to 2**63 - 1, in ns")
        self._now = time

    @property
    def index(self) -> Floats:
        """US dollars of one unit of each asset; NaN before its first price."""
        return self.prices.index

    def index_in_quote(self, markets: Integers) -> Floats:
        """Return the index of what markets trade, in what each is quoted in."""
        index = self.prices.index
        return np.asarray(index[self.base[markets]] / index[self.quote[markets]])

    @property
    def mark(self) -> Floats:
        """Mark prices by market, in the quote asset; NaN for spot markets."""
        return self.prices.mark

    def update_prices(self) -> None:
        """Compute index and mark prices from books and outside; log what moved."""
        self.prices.update(self.books.top(), self.now)
        self.risk.set_prices(*self.prices.risk_prices())
        self._tell_trigger_prices()

    def _watch_triggers(self, batch: Rows) -> None:
        # Books are told marks and indices where orders wait for them, and no others.
        if not (batch["flags"] & TRIGGERED).any():
            return
        for kind, flag in enumerate(TRIGGERS):
            waiting = (batch["flags"] & flag) != 0
            if waiting.any():
                markets = batch["market"][waiting]
                known = (markets >= 0) & (markets < len(self.markets))
                self._watched[kind, markets[known]] = True
                self._tell_trigger_prices()

    def _tell_trigger_prices(self) -> None:
        if not self._watched.any():
            return
        ticks = self.prices.trigger_ticks()
        due = self._watched & (ticks > 0) & (ticks != self._told)
        for kind, m in np.argwhere(due).tolist():
            cause = int(self.index_event[self.base[m]])
            if kind == 0 and self.mark_event[m] != NO_CAUSE:
                cause = int(self.mark_event[m])
            self._told[kind, m] = ticks[kind, m]
            self.set_books(
                "set_trigger_price",
                m,
                TRIGGERS[kind],
                int(ticks[kind, m]),
                self.now,
                cause=cause,
            )

    # -- PHASES

    def enter_phase(self, market: int, phase: Phase, cause: int = NO_CAUSE) -> None:
        """Open a market, halt it or call its auction, and log it."""
        event = self._phase_event(market, phase, self.now, cause, "")
        self.set_books("set_phase", market, int(phase), self.now, cause=event)

    def set_breaker(self, market: int, ppm: int, window_ns: int, phase: Phase) -> None:
        """Give a market a circuit breaker, or take it away with 0 ppm."""
        self.set_books("set_circuit_breaker", market, ppm, window_ns, int(phase))
        others = [m for m in self._breakers if m != market]
        self._breakers = [*others, market] if ppm else others

    def _tripped(self, market: int, time: int, cause: int) -> None:
        phase = Phase(self.books.phase(market))
        self._phase_event(market, phase, time, cause, " by its circuit breaker")
        self.tripped.append((market, time))

    def _phase_event(
        self, market: int, phase: Phase, time: int, cause: int, how: str
    ) -> int:
        text = f"{self.markets[market]} {PHASES[phase]}{how}"
        return self.log.add("phase", time, cause, market=market, text=text)

    # -- SETTLEMENT

    def settle_funding(self, rates: Mapping[str, float] | None = None) -> float:
        """Settle funding of all perpetuals; return what was paid, US dollars.

        Longs pay the rate times the notional at mark to shorts, and the other way
        round if it is negative. Without rates, a market's is that of the rules for its
        mean premium since the last settlement.
        """
        if rates is not None:
            expect("rates", rates, Mapping, "rates by market")
        else:
            due = funding_rate(self.prices.premiums.mean, self.rules.funding)
            rates = dict(
                zip(self.markets, np.clip(due, -1.0, 1.0).tolist(), strict=True)
            )
        chosen = {self.units.market(name): rate for name, rate in rates.items()}
        if not all(
            isinstance(rate, Real)
            and not isinstance(rate, bool | np.bool_)
            and -1.0 <= rate <= 1.0
            for rate in chosen.values()
        ):
            text = "'rates' must be numbers from -1 to 1"
            raise OrderError(f"{text} (got {dict(rates)!r})")
        self.prices.premiums.restart()
        total = 0.0
        for m, rate in chosen.items():
            if not self.perpetual[m] or not self.mark[m] > 0:
                continue
            self.prices.funding_rate[m] = rate
            ticks = max(1, round(float(self.mark[m] / self.tick[m])))
            paid = self.ledger.pay_funding(m, ticks, round(rate * 1e9))
            quote = self.quote[m]
            usd = float(paid * self.atom[quote] * self.index[quote])
            event = self.log.add(
                "funding",
                self.now,
                market=m,
                value=usd,
                text=f"USD paid, rate {rate:.4%}",
            )
            self.liquidator.funded(m, event, self.now)
            total += usd
        return total

    def charge_interest(self) -> float:
        """Charge a day's interest on what accounts borrowed; return it in US dollars.

        The first dollars of each borrowing, up to the rules' threshold, are free.
        """
        interest, total = self.rules.interest, 0.0
        for a, name in enumerate(self.assets):
            atom_usd = float(self.atom[a] * self.index[a])
            if not atom_usd > 0:
                continue
            free = int(interest.threshold_usd / atom_usd)
            rate = round(interest.daily_rate * 1e9)
            usd = self.ledger.charge_interest(a, rate, free) * atom_usd
            if usd:
                text = f"USD of interest on borrowed {name}"
                self.log.add("interest", self.now, asset=a, value=usd, text=text)
            total += usd
        return total

    def liquidate(self) -> int:
        """Take new prices, run one cycle of liquidations; return how many go on."""
        self.update_prices()
        return self.liquidator.run(self.now)

    @property
    def insurance_fund(self) -> float:
        """What the insurance fund owns, US dollars."""
        return self.risk.account(INSURANCE)["equity"]

    # -- CHECKS

    def _check(self) -> None:
        """Assert every invariant of books and ledger, and that holds match orders."""
        self.books._check()
        self.ledger._check()
        self.family._check()

    def _known(self, account: int, *, user: bool = False) -> None:
        first = SYSTEM_ACCOUNTS if user else 0
        whole = isinstance(account, int | np.integer) and not isinstance(account, bool)
        if not whole or not first <= account < self.ledger.n_accounts:
            opened = self.ledger.n_accounts - SYSTEM_ACCOUNTS
            last = self.ledger.n_accounts - 1
            which = f"accounts are {SYSTEM_ACCOUNTS} to {last}" if opened else "none is"
            raise OrderError(
                f"account {account!r} is not open here; {which} (see open_account)"
            )


def expect_rules(name: str, rules: Mapping[str, IndexRule]) -> None:
    """Refuse what are no index rules by asset; TypeError."""
    told = "rules by asset, as in {'ETH': fw.IndexRule(policy='outside')}"
    expect(name, rules, Mapping, told)
    for asset, rule in rules.items():
        expect(f"{name}[{asset!r}]", rule, IndexRule, "an IndexRule")
