"""Sequences from the test suites of other order books, with their expected trades.

The cases are a file beside the calibration data: ids are chosen by its clients, owners
may be missing, and some cases need order types that this book does not have.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from book_state import sides
from reference_data import vectors_folder

from flashwick.orderbook.orders import (
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

NOT_COVERED = {
    "stop": "the book has no stop orders: agents send an order when its price is met",
    "stop_limit": "the book has no stop orders",
    "iceberg": "the book has no hidden quantity",
}
NO_OWNER = 1_000
"""Account of orders without an owner: they prevent no self-trade."""


class Client:
    """Speaks the cases' language to a book, and remembers which id is which order."""

    def __init__(self, books: ReferenceBooks) -> None:
        self.books = books
        self.ids: dict[int, int] = {}  # of the case -> issued
        self.accounts: dict[int, int] = {}  # of the case's id -> account
        self.fills: list[Any] = []

    def send(self, step: Json) -> int:
        """Send one step; an order id or lots, or minus the reason of a refusal."""
        if step["op"] in ("limit", "market"):
            return self.new(step)
        answer = int(getattr(self, step["op"])(step))
        self.fills = list(self.books.take_fills())
        return answer

    def new(self, step: Json) -> int:
        """A new order; an id that is live in the case is a duplicate."""
        if self.books.order(self.ids.get(step["id"], 0)):
            return -Reason.DUPLICATE_ID
        batch = messages(1)
        batch["kind"] = Kind[step["op"].upper()]
        batch["account"] = step.get("owner", NO_OWNER)
        batch["side"] = Side[step["side"].upper()]
        batch["price"] = step.get("price", 0)
        batch["qty"] = step["qty"]
        batch["tif"] = TimeInForce[step.get("tif", "GTC")]
        batch["flags"] = Flag.POST_ONLY if step.get("post_only") else 0
        results, fills = self.books.process(batch)
        self.fills = list(fills)
        if not results["accepted"][0]:
            return -int(results["reason"][0])
        self.ids[step["id"]] = int(results["order_id"][0])
        self.accounts[step["id"]] = int(batch["account"][0])
        return self.ids[step["id"]]

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
    parameters = []
    for case in cases:
        why = [NOT_COVERED[word] for word in case["features"] if word in NOT_COVERED]
        marks = [pytest.mark.skip(why[0])] if why else []
        parameters.append(pytest.param(case, id=case["name"], marks=marks))
    metafunc.parametrize("case", parameters)


def test_a_peer_case_gives_the_expected_trades_and_book(
    make_books: Callable[..., ReferenceBooks], case: Json
) -> None:
    """Step by step the answers and trades, and in the end the queues, are its own."""
    books = make_books()
    mode = SelfTrade[case.get("config", {}).get("stp", "none").upper()]
    for owner in sorted({step.get("owner", 0) for step in case["steps"]}):
        books.set_self_trade(owner, mode)
    client = Client(books)
    for step in case["steps"]:
        check_step(client, step)
    for side, name in zip(sides(books), ("bids", "asks"), strict=True):
        assert client.final(*side) == case["final_book"][name]
