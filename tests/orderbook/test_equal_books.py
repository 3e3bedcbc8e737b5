"""The compiled book equals the readable one after every step of any sequence."""

from collections import Counter
from typing import Any, ClassVar

import numpy as np
import strategies as fw
from book_state import state
from hypothesis import Phase as Stage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledger_model import ModelLedger, Terms, ledger_of

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import (
    ALL_MARKETS,
    EventKind,
    Flag,
    Kind,
    Phase,
    Reason,
    TimeInForce,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

Fields = dict[str, int]
picks = st.integers(0, 50)

REACHED = (
    "trade",
    "auction",
    "refill",
    "reduce-only",
    "result REDUCE_ONLY",
    "result SELF_TRADE",
    "result FOK_UNFILLABLE",
    "result PRICE_BAND",
    "breaker",
    "event TRIGGERED OK",
    "event CANCELLED SELF_TRADE",
    "event CANCELLED REDUCE_ONLY",
)
"""What the sequences are there for, as `met` counts it."""

PERPETUALS = (Terms(0, 0, True, 1, 1),) * fw.MARKETS


class EqualBooks(RuleBasedStateMachine):
    """Two engines of two markets each; every rule does the same to both."""

    met: ClassVar[Counter[str]] = Counter()  # what happened in all runs

    @initialize(
        listens=st.booleans(),
        modes=st.tuples(*[fw.modes] * len(fw.ACCOUNTS)),
        price=fw.dense_prices,
    )
    def opens(self, listens: bool, modes: tuple[int, ...], price: int) -> None:
        """Half of the time positions are kept, so that reduce-only orders enter."""
        self.positions: ModelLedger | None = None
        self.books = (ReferenceBooks(), Books())
        if listens:
            self.positions = ModelLedger(PERPETUALS, fw.ACCOUNTS.stop)
            ledger = ledger_of(PERPETUALS, assets=1, accounts=len(fw.ACCOUNTS))
            self.books = (ReferenceBooks(self.positions), Books(ledger))
        for market in range(fw.MARKETS):
            assert [books.add_market() for books in self.books] == [market, market]
            self.both("set_last_price", market, price)
        for account, mode in zip(fw.ACCOUNTS, modes, strict=True):
            self.both("set_self_trade", account, mode)

    def both(self, name: str, *arguments: Any, **fields: Any) -> Any:
        """Call both; the answer, which must be one."""
        a, b = (getattr(books, name)(*arguments, **fields) for books in self.books)
        assert a == b
        return a

    def process(self, *rows: Fields) -> None:
        """Send a batch to both; results and fills are equal, field by field."""
        batch = messages(len(rows))
        for row, fields in zip(batch, rows, strict=True):
            for name, value in fields.items():
                row[name] = value
        a, b = (books.process(batch) for books in self.books)
        for mine, yours in zip(a, b, strict=True):
            assert mine.tolist() == yours.tolist()
        for fields, result in zip(batch, a[0], strict=True):
            if result["accepted"]:
                self.met[f"result {Reason(result['reason']).name}"] += 1
            if fields["kind"] <= Kind.MARKET and fields["tif"] == TimeInForce.FOK:
                # All or nothing; one that waits has not been filled at all. Reduce-only
                # "all" is what the position leaves of it.
                reduces = fields["flags"] & Flag.REDUCE_ONLY
                clipped = result["cancelled"] if reduces else 0
                assert result["filled"] in (0, fields["qty"] - clipped)
        self.count_fills(a[1])

    def count_fills(self, fills: np.ndarray) -> None:
        """Note what the trades of a batch, or of single calls, were."""
        auction = fills["flags"] & Flag.AUCTION > 0
        reduces = (fills["flags"] | fills["maker_flags"]) & Flag.REDUCE_ONLY > 0
        pairs = fills[~auction][["message", "maker_order", "taker_order"]]
        self.met["trade"] += len(fills)
        self.met["auction"] += int(auction.sum())
        self.met["reduce-only"] += int(reduces.sum())
        # Two orders meet again only after an iceberg has shown its next slice.
        self.met["refill"] += len(pairs) - len(np.unique(pairs))

    def same(self, name: str, *arguments: Any) -> np.ndarray:
        """Call both; the answers are equal arrays."""
        a, b = (getattr(books, name)(*arguments) for books in self.books)
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()
        return a

    def named(self, pick: int) -> Fields:
        """An order, resting or dormant, chosen by ``pick``; or one that never was."""
        rows = [self.books[0].account_orders(account) for account in fw.ACCOUNTS]
        live = np.sort(np.concatenate(rows), order="id")
        if not len(live):
            return {"order_id": pick, "account": fw.ACCOUNTS[0], "market": 0}
        row = live[pick % len(live)]
        return {
            "order_id": int(row["id"]),
            "account": int(row["account"]),
            "market": int(row["market"]),
        }

    # -- MESSAGES

    @rule(orders=st.lists(fw.new_orders, min_size=1, max_size=12))
    def sends_new_orders(self, orders: list[Fields]) -> None:
        """A batch of orders; the book issues the ids."""
        self.process(*orders)

    @rule(order=fw.new_orders, ahead=st.integers(-1, 5))
    def names_its_own_id(self, order: Fields, ahead: int) -> None:
        """An explicit id, behind, next to or ahead of the last."""
        self.process(order | {"order_id": self.books[0].last_id + ahead})

    @rule(order=fw.limit_orders | fw.icebergs | fw.stop_orders)
    def calls_limit(self, order: Fields) -> None:
        """One limit order by the method."""
        self.both("limit", **{k: v for k, v in order.items() if k != "kind"})

    @rule(order=fw.market_orders | fw.market_stops)
    def calls_market(self, order: Fields) -> None:
        """One market order by the method."""
        odd = ("kind", "price", "tif", "display")
        fields = {k: v for k, v in order.items() if k not in odd}
        self.both("market", **fields, protection=order["price"])

    @rule(pick=picks, by_method=st.booleans())
    def cancels(self, pick: int, by_method: bool) -> None:
        """Cancel one order, in a batch or by the method."""
        if by_method:
            self.both("cancel", **self.named(pick))
        else:
            self.process({"kind": Kind.CANCEL} | self.named(pick))

    @rule(
        pick=picks,
        price=st.none() | fw.prices,
        qty=fw.quantities,
        trigger=st.just(0) | fw.dense_prices,
        by_method=st.booleans(),
    )
    def replaces(
        self, pick: int, price: int | None, qty: int, trigger: int, by_method: bool
    ) -> None:
        """Replace one order, half of the time at its own price."""
        named = self.named(pick)
        found = self.books[0].order(named["order_id"])
        new = {"price": price or (found[3] if found else 100), "qty": qty}
        new["trigger"] = trigger
        if by_method:
            self.both("replace", **named, **new)
        else:
            # Side, time in force, flags and display of a replace mean nothing.
            odd = {"side": 1, "tif": 2, "flags": 255, "display": -1}
            self.process({"kind": Kind.REPLACE} | odd | named | new)

    @rule(
        account=fw.accounts,
        market=st.just(ALL_MARKETS) | fw.markets,
        side=st.integers(0, 2),
    )
    def cancels_all(self, account: int, market: int, side: int) -> None:
        """Cancel by account, market and side."""
        self.both("cancel_all", account, market, side)

    @rule(order=fw.new_orders, pick=picks, odd=fw.odd_fields)
    def sends_odd_values(self, order: Fields, pick: int, odd: Fields) -> None:
        """Fields at and beyond their bounds, alone and together."""
        self.process(order | odd, {"kind": Kind.REPLACE} | self.named(pick) | odd)

    @rule()
    def takes_fills(self) -> None:
        """The single calls' fills are handed over once, and equal."""
        self.count_fills(self.same("take_fills"))
        assert [len(books.take_fills()) for books in self.books] == [0, 0]

    # -- SCENES: WHERE ORDERS ARE SURE TO MEET

    @rule(market=fw.markets, orders=fw.crowds)
    def trades(self, market: int, orders: list[Fields]) -> None:
        """Many orders at few prices in an open market."""
        self.both("set_phase", market, Phase.OPEN)
        self.process(*(order | {"market": market} for order in orders))

    @rule(market=fw.markets, orders=fw.crowds, reference=st.just(0) | fw.dense_prices)
    def holds_an_auction(
        self, market: int, orders: list[Fields], reference: int
    ) -> None:
        """They rest and cross, until the market opens."""
        self.takes_fills()
        self.both("set_reference", market, reference)
        self.both("set_phase", market, Phase.CALL)
        self.process(*(order | {"market": market} for order in orders))
        self.both("indicative", market)
        self.both("set_phase", market, Phase.OPEN)
        self.takes_fills()

    def clears(self, market: int) -> None:
        """Open a market without orders, band or breaker, last trade at 100."""
        self.both("set_circuit_breaker", market, 0)
        self.both("set_price_band", market, 0)
        self.both("set_phase", market, Phase.OPEN)
        for account in fw.ACCOUNTS:
            self.both("cancel_all", account, market)
        self.both("set_reference", market, 0)
        self.both("set_last_price", market, fw.REFERENCE)

    @rule(
        market=fw.markets,
        traders=fw.traders,
        edge=fw.at_an_edge,
        lots=st.tuples(st.integers(1, 9), st.integers(1, 9)),
        tif=fw.lifetimes,
        breaks=st.booleans(),
    )
    def meets_an_edge(
        self,
        market: int,
        traders: list[int],
        edge: tuple[int, int],
        lots: tuple[int, int],
        tif: int,
        breaks: bool,
    ) -> None:
        """A trade where a band or a breaker just lets it pass, or just does not."""
        (side, price), (maker, taker, *_) = edge, traders
        self.clears(market)
        self.both("limit", market, maker, 1 - side, price, lots[0])
        self.both("limit", market, maker, 1 - side, price, 1)
        if breaks:
            self.both("set_circuit_breaker", market, fw.BAND_PPM, 2**62)
        else:
            self.both("set_price_band", market, fw.BAND_PPM)
        who = {"market": market, "account": taker, "side": side}
        self.process(who | {"price": price, "qty": lots[1], "tif": tif})
        self.met["breaker"] += self.both("phase", market) != Phase.OPEN
        self.both("set_circuit_breaker", market, 0)
        self.both("set_price_band", market, 0)

    @rule(
        market=fw.markets,
        traders=fw.traders,
        side=fw.sides,
        lots=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    )
    def loses_a_position(
        self, market: int, traders: list[int], side: int, lots: tuple[int, int]
    ) -> None:
        """Whoever holds one has an order to reduce it, and reduces it otherwise."""
        (holder, maker, taker, _), other, (held, gone) = traders, 1 - side, lots
        above = 2 if other else -2
        self.clears(market)
        self.both("limit", market, maker, other, fw.REFERENCE, held)
        self.both("market", market, holder, side, held)
        far = fw.REFERENCE + above
        self.both("limit", market, holder, other, far, held, flags=Flag.REDUCE_ONLY)
        self.both("limit", market, maker, side, fw.REFERENCE - above, gone)
        self.both("market", market, holder, other, gone)
        self.both("market", market, taker, side, held)

    @rule(
        market=fw.markets,
        stops=fw.stop_crowds,
        phase=fw.phases,
        path=st.lists(fw.dense_prices, min_size=1, max_size=2),
        crowd=fw.crowds,
    )
    def sets_off_stops(
        self,
        market: int,
        stops: list[Fields],
        phase: int,
        path: list[int],
        crowd: list[Fields],
    ) -> None:
        """Last price and mark move, in an open market or before it opens."""
        self.both("set_phase", market, Phase.OPEN)
        self.both("set_last_price", market, fw.REFERENCE)
        self.both("set_trigger_price", market, Flag.TRIGGER_MARK, fw.REFERENCE)
        self.process(*(order | {"market": market} for order in stops))
        self.same("dormant", market)
        self.both("set_phase", market, phase)
        for price in path:
            self.both("set_last_price", market, price)
            self.both("set_trigger_price", market, Flag.TRIGGER_MARK, price)
        self.same("dormant", market)
        if phase != Phase.HALTED:
            self.process(*(order | {"market": market} for order in crowd))
        self.both("set_phase", market, Phase.OPEN)
        self.takes_fills()

    # -- MARKETS

    @rule(account=fw.accounts, mode=fw.modes)
    def chooses_self_trade(self, account: int, mode: int) -> None:
        """An account changes its self-trade mode."""
        self.both("set_self_trade", account, mode)

    @rule(market=fw.markets, ppm=st.sampled_from([0, 1, 30_000, 1_000_000]))
    def sets_band(self, market: int, ppm: int) -> None:
        """A band of nothing, of a tick, of some ticks, of all."""
        self.both("set_price_band", market, ppm)

    @rule(market=fw.markets, price=st.just(0) | fw.prices)
    def sets_reference(self, market: int, price: int) -> None:
        """A reference, or back to the last price."""
        self.both("set_reference", market, price)

    @rule(market=fw.markets, price=fw.prices)
    def sets_last_price(self, market: int, price: int) -> None:
        """A last price without a trade."""
        self.both("set_last_price", market, price)

    @rule(market=fw.markets, flag=fw.watched, price=fw.prices, time=fw.times)
    def sets_trigger_price(self, market: int, flag: int, price: int, time: int) -> None:
        """A mark or an index, which may set off orders."""
        self.both("set_trigger_price", market, flag, price, time)

    @rule(
        market=fw.markets,
        ppm=st.sampled_from([0, 1, 30_000, 1_000_000]),
        window_ns=st.sampled_from([1, 10, 2**62]),
        phase=st.sampled_from([Phase.HALTED, Phase.CALL]),
    )
    def sets_breaker(self, market: int, ppm: int, window_ns: int, phase: int) -> None:
        """A breaker that trips at any move, at some, or only at a doubling."""
        self.both("set_circuit_breaker", market, ppm, window_ns, phase)

    @rule(market=fw.markets, phase=fw.phases, time=fw.times)
    def sets_phase(self, market: int, phase: int, time: int) -> None:
        """Halt, call, or open again."""
        self.both("set_phase", market, phase, time)

    @rule(market=fw.markets, time=fw.times)
    def uncrosses(self, market: int, time: int) -> None:
        """An auction, whatever the phase."""
        self.both("uncross", market, time)

    @rule(on=st.booleans())
    def records_depth(self, on: bool) -> None:
        """The tape of levels, on and off."""
        self.both("record_depth", on)

    # -- QUERIES

    @rule(market=fw.markets, side=fw.sides, qty=fw.quantities, levels=picks)
    def asks_for_depth(self, market: int, side: int, qty: int, levels: int) -> None:
        """Sweeps and cut depth."""
        self.both("sweep", market, side, qty)
        a, b = (books.depth(market, side, levels) for books in self.books)
        for mine, yours in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, yours)

    @rule(
        side=fw.sides,
        prices=st.tuples(*[fw.prices] * fw.MARKETS),
        qtys=st.tuples(*[fw.quantities] * fw.MARKETS),
        levels=st.integers(0, 5),
        ppm=st.sampled_from([0, 9_000, 30_000, 1_000_000]),
        first=picks,
    )
    def asks_for_all_markets(
        self,
        side: int,
        prices: tuple[int, ...],
        qtys: tuple[int, ...],
        levels: int,
        ppm: int,
        first: int,
    ) -> None:
        """Volumes, sweeps, depths and places in queues."""
        self.same("volume_within", side, prices)
        some = list(range(len(prices))) * 2
        self.same("volume_within", side, prices[::-1] * 2, some[::-1])
        self.same("volume_at", side, prices)
        self.same("sweeps", side, qtys)
        self.same("depths", levels)
        self.same("depth_within", ppm)
        self.same("all_orders")
        self.same("queue_positions", range(first - 1, first + 20))

    # -- ALWAYS

    @invariant()
    def is_one_book(self) -> None:
        """Every view of both is equal, and each is sound in itself."""
        a, b = self.books
        a._check()
        b._check()
        assert state(a) == state(b)
        self.same("take_deltas")
        for event in self.same("take_events"):
            kind, reason = EventKind(event["kind"]), Reason(event["reason"])
            self.met[f"event {kind.name} {reason.name}"] += 1
        for market in range(fw.MARKETS):
            self.same("dormant", market)
            self.both("phase", market)
            self.both("indicative", market)
        for account in fw.ACCOUNTS:
            self.same("account_orders", account)
        self.same("orders_of", fw.ACCOUNTS)
        for order_id in range(max(0, a.last_id - 20), a.last_id + 2):
            self.both("order", order_id)


TestEqualBooks = EqualBooks.TestCase
TestEqualBooks.settings = settings(max_examples=80, stateful_step_count=50)


def test_the_sequences_reach_what_they_are_there_for() -> None:
    """A few of them already have every rarer thing that a book does."""
    EqualBooks.met.clear()
    run_state_machine_as_test(
        EqualBooks,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            derandomize=True,
            phases=[Stage.generate],
        ),
    )
    assert [name for name in REACHED if not EqualBooks.met[name]] == []
