"""Agents of one's own for tests; other processes import them from here."""

from typing import Any

import numpy as np

import flashwick as fw
from flashwick.engine.own import Agent, Fill, Refusal


class WickBuyer(Agent):
    """Rests bids far below the price and offers what they get for more."""

    name = "wick-buyer"
    deposits = {"USDT": 90_000}  # noqa: RUF012 (as a user writes it)

    def __init__(self, **settings: Any) -> None:
        self.fills: list[Fill] = []
        self.refusals: list[Refusal] = []
        self.wakes: list[float] = []
        for name, value in settings.items():
            setattr(self, name, value)

    def start(self) -> None:
        """Bid at shares of the outside price."""
        price = self.outside("ATOM")
        for share in (0.7, 0.4, 0.1):
            self.buy("ATOM/USDT", 20_000 / (share * price), share * price)

    def wake(self) -> None:
        """Remember when, and what it has."""
        self.wakes.append(self.time)
        self.balances = self.view().balances

    def filled(self, fill: Fill) -> None:
        """Offer what was bought at twice the price."""
        self.fills.append(fill)
        if fill.side == "buy":
            self.sell("ATOM/USDT", fill.qty, 2 * fill.price)

    def refused(self, refusal: Refusal) -> None:
        """Remember it."""
        self.refusals.append(refusal)


class Idle(Agent):
    """Has money and does nothing with it."""

    deposits = {"USDT": 1_000}  # noqa: RUF012


class Gambler(Agent):
    """Sells and buys by chance, in two accounts."""

    deposits = ({"ATOM": 1_000}, {"USDT": 10_000})
    interval = 0.5

    def wake(self) -> None:
        """Toss a coin."""
        if self.random.uniform(1)[0] < 0.5:
            self.sell("ATOM/USDT", 5)
        else:
            self.buy("ATOM/USDT", 5, account=self.accounts[1])


class Batches(Agent):
    """Sends one batch in the books' own units, and cancels it."""

    deposits = {"USDT": 10_000}  # noqa: RUF012
    interval = None

    def start(self) -> None:
        """Two bids in one batch."""
        batch = fw.messages(2)
        batch["account"] = self.account
        batch["market"] = self.markets.index("ATOM/USDT")
        batch["price"], batch["qty"] = [1_000, 900], [100, 200]
        self.send(batch)
        self.wake_in(2.5)

    def wake(self) -> None:
        """Cancel the higher one, and everything on the second look."""
        rows = self.open_orders()
        self.seen = [*getattr(self, "seen", []), np.sort(rows["price"]).tolist()]
        if len(rows) == 2:
            self.cancel(int(rows["order_id"][rows["price"].argmax()]))
            self.wake_in(1.0)
        elif len(rows) == 1:
            self.cancel_all("ATOM/USDT", "buy")
            self.wake_in(1.0)


class Faulty(Agent):
    """Fails at its third wake-up."""

    name = "faulty"

    def wake(self) -> None:
        """Divide by zero once."""
        self.count = getattr(self, "count", 0) + 1
        self.half = 1 / (3 - self.count)


def trades_with(scenario: str, seed: int) -> tuple[int, int]:
    """How many trades a run with a wick buyer has, and how many are its own."""
    run = fw.load(scenario).run(seed=seed, agents=[WickBuyer()])
    agent = run.agents["wick-buyer"]
    assert isinstance(agent, WickBuyer)
    return len(run.prints.time), len(agent.fills)
