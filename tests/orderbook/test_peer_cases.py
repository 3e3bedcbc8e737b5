"""Sequences from the test suites of other order books, with their expected trades.

The cases are a file beside the calibration data: ids are chosen by its clients, and
owners may be missing. In two of them stops watch the best opposite price, as some
venues have it, and not the last trade: a client who sets these prices for the mark and
the index gets the same.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from book_state import sides
from numpy.typing import NDArray
from reference_data import vectors_folder

from flashwick.orderbook.orders import (
    PRICE_MAX,
    EventKind,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

Json = dict[str, Any]

NO_OWNER = 1_000
"""Account of orders without an owner: they prevent no self-trade."""


class Client:
    """Speaks the cases' language to a book, and remembers which id is which order."""

    def __init__(self, books: ReferenceBooks, watches_quotes: bool) -> None:
        self.books = books
        self.watches_quotes = watches_quotes
        self.ids: dict[int, int] = {}  # of the case -> issued
        self.accounts: dict[int, int] = {}  # of the case's id -> account
        self.fills: list[Any] = []
        self.triggered: list[int] = []
        self.quote()

    def send(self, step: Json) -> int:
        """Send one step; an order id or lots, or minus the reason of a refusal."""
        self.triggered = []
        if step["op"] in ("limit", "market", "stop"):
            answer = self.new(step)
        else:
            answer = int(getattr(self, step["op"])(step))
            self.fills = []
        self.quote()
        self.fills += list(self.books.take_fills())
        self.triggered += [
            self.named(int(row["order_id"]))
            for row in self.books.take_events()
            if row["kind"] == EventKind.TRIGGERED
        ]
        return answer

    def new(self, step: Json) -> int:
        """A new order; an id that is live in the case is a duplicate."""
        if self.books.order(self.ids.get(step["id"], 0)):
            return -Reason.DUPLICATE_ID
        results, fills = self.books.process(self.message(step))
        self.fills = list(fills)
        if not results["accepted"][0]:
            return -int(results["reason"][0])
        order_id = self.ids[step["id"]] = int(results["order_id"][0])
        self.accounts[step["id"]] = step.get("owner", NO_OWNER)
        if step["op"] == "stop" and order_id not in self.books.dormant(0)["id"]:
            self.triggered = [step["id"]]
        return order_id

    def message(self, step: Json) -> NDArray[np.void]:
        """The row of a new order; a stop without a limit is a market order."""
        kind, price = step["op"], step.get("price", 0)
        flags = Flag.POST_ONLY if step.get("post_only") else Flag(0)
        if kind == "stop":
            kind, price = (
                ("limit" if "limit" in step else "market"),
                step.get("limit", 0),
            )
            if self.watches_quotes:
                sells = step["side"] == "sell"
                flags = Flag.TRIGGER_MARK if sells else Flag.TRIGGER_INDEX
        batch = messages(1)
        batch["kind"] = Kind[kind.upper()]
        batch["account"] = step.get("owner", NO_OWNER)
        batch["side"] = Side[step["side"].upper()]
        batch["price"] = price
        batch["qty"] = step["qty"]
        batch["tif"] = TimeInForce[step.get("tif", "GTC")]
        batch["display"] = step.get("display", 0)
        batch["trigger"] = step.get("trigger", 0)
        batch["flags"] = flags
        return batch

    def quote(self) -> None:
        """Where stops watch quotes: what a seller would get, what a buyer would pay.

        An empty side sets off every stop, like a price at the end of the range.
        """
        if self.watches_quotes:
            bid, ask = self.books.best(0)
            self.books.set_trigger_price(0, Flag.TRIGGER_MARK, bid or 1)
            self.books.set_trigger_price(0, Flag.TRIGGER_INDEX, ask or PRICE_MAX)

    def cancel(self, step: Json) -> int:
        """Cancel by the case's id."""
        return self.books.cancel(0, *self.reach(step))

    def modify(self, step: Json) -> int:
        """A new price, new open quantity, or both."""
        account, order_id = self.reach(step)
        _, _, _, price, qty = self.books.order(order_id) or (0, 0, 0, 1, 1)
        price, qty = step.get("price", price), step.get("qty", qty)
        return self.books.replace(0, account, order_id, price, qty)

    def reduce(self, step: Json) -> int:
        """Less open quantity at the same price; a cancel when nothing would be left."""
        account, order_id = self.reach(step)
        order = self.books.order(order_id)
        if order is None or step["by"] >= order[4]:
            return self.books.cancel(0, account, order_id)
        return self.books.replace(0, account, order_id, order[3], order[4] - step["by"])

    def reach(self, step: Json) -> tuple[int, int]:
        """Account and issued id; without an owner anyone may reach the order."""
        account = step.get("owner", self.accounts.get(step["id"], NO_OWNER))
        return account, self.ids.get(step["id"], 2**40)

    def trades(self) -> list[Json]:
        """The fills of the last step in the cases' words."""
        return [
            {
                "maker": self.named(int(fill["maker_order"])),
                "taker": self.named(int(fill["taker_order"])),
                "price": int(fill["price"]),
                "qty": int(fill["qty"]),
            }
            for fill in self.fills
        ]

    def named(self, order_id: int) -> int:
        """The case's latest id for an issued one."""
        return {issued: case for case, issued in self.ids.items()}[order_id]

    def final(self, market: int, side: int) -> list[Json]:
        """The levels of a side in the cases' words."""
        levels: list[Json] = []
        for row in self.books.orders(market, side).tolist():
            order_id, price, qty = row[:3]
            if not levels or levels[-1]["price"] != price:
                levels.append({"price": price, "qty": 0, "orders": []})
            levels[-1]["qty"] += qty
            levels[-1]["orders"].append(self.named(order_id))
        return levels


def check_step(client: Client, step: Json) -> None:
    """Send a step and compare the answer, the trades and the lots cancelled."""
    books, expected = client.books, step["expect"]
    before = books.order(client.ids.get(step["id"], 0))
    answer = client.send(step)
    books._check()
    assert (answer > 0) == (expected["result"] == "accepted")
    if answer < 0:
        assert Reason(-answer).name.lower() == expected["reason"]
    assert client.trades() == expected["trades"]
    assert client.triggered == expected.get("triggered", [])
    if step["op"] == "stop":
        waits = client.ids[step["id"]] in books.dormant(0)["id"]
        assert waits == (expected.get("reason") == "pending")
    if "cancelled_qty" in expected:
        had = before[4] if before else step["qty"]
        after = books.order(client.ids[step["id"]])
        left = after[4] if after else 0
        traded = sum(trade["qty"] for trade in client.trades())
        assert had - traded - left == expected["cancelled_qty"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case; without the file, one that says so."""
    folder = vectors_folder()
    if folder is None:
        absent = pytest.mark.skip("FLASHWICK_VECTORS names no folder")
        metafunc.parametrize("case", [pytest.param(None, marks=absent)])
        return
    cases = json.loads((folder / "book_cases.json").read_text())["cases"]
    metafunc.parametrize("case", cases, ids=[case["name"] for case in cases])


def test_a_peer_case_gives_the_expected_trades_and_book(
    make_books: Callable[..., ReferenceBooks], case: Json
) -> None:
    """Step by step the answers and trades, and in the end the queues, are its own."""
    books = make_books()
    config = case.get("config", {})
    mode = SelfTrade[config.get("stp", "none").upper()]
    for owner in sorted({step.get("owner", 0) for step in case["steps"]}):
        books.set_self_trade(owner, mode)
    client = Client(books, config.get("stop_trigger") == "best_quote")
    for step in case["steps"]:
        check_step(client, step)
    for side, name in zip(sides(books), ("bids", "asks"), strict=True):
        assert client.final(*side) == case["final_book"][name]
    pending = [client.named(int(order_id)) for order_id in books.dormant(0)["id"]]
    assert sorted(pending) == sorted(case["final_book"]["pending_stops"])
