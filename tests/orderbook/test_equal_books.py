"""The compiled book equals the readable one after every step of any sequence."""

from typing import Any

import numpy as np
import strategies as fw
from book_state import state
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import ALL_MARKETS, Kind, Phase, TimeInForce, messages
from flashwick.orderbook.reference import ReferenceBooks

Fields = dict[str, int]
picks = st.integers(0, 50)


class EqualBooks(RuleBasedStateMachine):
    """Two engines of two markets each; every rule does the same to both."""

    def __init__(self) -> None:
        super().__init__()
        self.books = (ReferenceBooks(), Books())
        for _ in range(fw.MARKETS):
            assert [books.add_market() for books in self.books] in ([0, 0], [1, 1])

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
            if fields["kind"] <= Kind.MARKET and fields["tif"] == TimeInForce.FOK:
                # All or nothing; one that waits has not been filled at all.
                assert result["filled"] in (0, fields["qty"])

    def same(self, name: str, *arguments: Any) -> None:
        """Call both; the answers are equal arrays."""
        a, b = (getattr(books, name)(*arguments) for books in self.books)
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()

    def named(self, pick: int) -> Fields:
        """An order, resting or dormant, chosen by ``pick``; or one that never was."""
        accounts = range(fw.ACCOUNTS)
        rows = [self.books[0].account_orders(account) for account in accounts]
        live = np.sort(np.concatenate(rows), order="id")
        if not len(live):
            return {"order_id": pick, "account": 0, "market": 0}
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
        a, b = (books.take_fills() for books in self.books)
        assert a.tolist() == b.tolist()
        assert [len(books.take_fills()) for books in self.books] == [0, 0]

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
        self.same("take_events")
        self.same("take_deltas")
        for market in range(fw.MARKETS):
            self.same("dormant", market)
            self.both("phase", market)
            self.both("indicative", market)
        for account in range(fw.ACCOUNTS):
            self.same("account_orders", account)
        for order_id in range(max(0, a.last_id - 20), a.last_id + 2):
            self.both("order", order_id)


TestEqualBooks = EqualBooks.TestCase
TestEqualBooks.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None
)
