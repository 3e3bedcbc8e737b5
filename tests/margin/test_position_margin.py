"""A rule of one's own for the margin of positions, called by the compiled pass."""

from math import inf, nan

import numpy as np
import pytest
from ledger_model import Terms, ledger_of

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.cython_ext.risk import Risk
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Reason, Side

LONG, SHORT, IDLE = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 3)
USDT, BTC, PERP = 0, 1, 0
Pairs = list[tuple[int, float]]


def tenth(positions: Pairs, equities: Pairs) -> float:
    """A tenth of all positions."""
    return 0.1 * sum(abs(usd) for _, usd in positions)


def venue() -> tuple[Risk, Books]:
    """Ten lots between two accounts with 1,000 dollars each; a third has no position.

    An atom of either asset is a unit of it, a lot is 100 dollars.
    """
    ledger = ledger_of((Terms(BTC, USDT, True, 1, 1),), 2, 3)
    books = Books(ledger)
    books.add_market()
    for account in (LONG, SHORT, IDLE):
        ledger.deposit(account, USDT, 1_000)
    ledger.open_positions(PERP, [LONG, SHORT], [10, -10], 100)
    rules = Rules.preset("binance-pm")
    risk = Risk(
        ledger,
        rules.terms(["USDT", "BTC"], ["BTC/USDT:PERP"]),
        [1.0],
        [1.0, 1.0],
        [1.0],
        1.0,
    )
    risk.set_prices([1.0, 100.0], [100.0], [100.0])
    ledger.gate = risk
    return risk, books


def test_rule_gets_signed_dollars_and_net_equities() -> None:
    """Positions at mark, negative if short; equities with the profit of positions."""
    risk, _ = venue()
    calls: list[tuple[Pairs, Pairs]] = []

    def rule(positions: Pairs, equities: Pairs) -> float:
        calls.append((positions, equities))
        return 7.0

    risk.position_margin = rule
    risk.set_prices([1.0, 90.0], [90.0], [90.0])
    value = risk.account(SHORT)
    assert calls == 2 * [([(PERP, -900.0)], [(USDT, 1_100.0)])]
    assert (value["maintenance"], value["initial"]) == (7.0, 7.0)
    assert risk.account(IDLE)["maintenance"] == 0.0
    assert len(calls) == 2  # an account without positions is not asked about


def test_every_pass_asks_the_rule() -> None:
    """Columns, other prices, thresholds; taken away, the curves decide again."""
    risk, _ = venue()
    before = risk.account(LONG)
    risk.revalue()
    risk.below(1.0)
    risk.position_margin = tenth
    assert risk.revalue()["maintenance"].tolist()[SYSTEM_ACCOUNTS:] == [100, 100, 0]
    at = risk.at([1.0, 50.0], [50.0], [50.0], [LONG, SHORT])
    assert at["maintenance"].tolist() == [50.0, 50.0]
    assert at["health"].tolist() == [10.0, 30.0]
    # With skipping on: a rule has no slope, and everyone is looked at.
    risk.set_prices([1.0, 50.0], [50.0], [50.0])
    accounts, health = risk.below(10.0)
    assert (accounts.tolist(), health.tolist()) == ([LONG], [10.0])
    risk.position_margin = None
    risk.set_prices([1.0, 100.0], [100.0], [100.0])
    assert risk.account(LONG) == before
    assert risk.revalue()["maintenance"][LONG] == before["maintenance"]
    assert len(risk.below(1.0)[0]) == 0


def test_orders_count_where_they_are_judged() -> None:
    """The opening margin is of the position that all buys or all sells would make."""
    risk, books = venue()
    risk.position_margin = tenth
    assert books.limit(PERP, LONG, Side.SELL, 100, 30) > 0
    value = risk.account(LONG)
    assert (value["maintenance"], value["initial"]) == (100.0, 200.0)
    # Health 1 on opening: 1,000 dollars are a tenth of 100 lots.
    assert books.limit(PERP, IDLE, Side.BUY, 99, 101) == -Reason.INSUFFICIENT_MARGIN
    assert books.limit(PERP, IDLE, Side.BUY, 99, 100) > 0


@pytest.mark.parametrize("wrong", [nan, inf, -1.0])
def test_amount_that_is_none_is_refused(wrong: float) -> None:
    """Finite and at least 0."""
    risk, _ = venue()
    risk.position_margin = lambda positions, equities: wrong
    with pytest.raises(ValueError, match="'position_margin' must return US dollars"):
        risk.account(LONG)


def test_what_the_rule_raises_is_raised_by_every_method() -> None:
    """And only by those: the next call without it is as before."""
    risk, _ = venue()
    expected = risk.account(LONG)

    def broken(positions: Pairs, equities: Pairs) -> float:
        raise LookupError("no such unit")

    risk.position_margin = broken
    for ask in (risk.revalue, risk.at, lambda: risk.account(LONG)):
        with pytest.raises(LookupError, match="no such unit"):
            ask()
    with pytest.raises(LookupError, match="no such unit"):
        risk.below(1.0)
    risk.position_margin = None
    risk.reraise()
    assert risk.account(LONG) == expected


def test_order_on_which_the_rule_fails_is_refused() -> None:
    """The gate cannot raise in the middle of a batch: `reraise` does, once."""
    risk, books = venue()

    def broken(positions: Pairs, equities: Pairs) -> float:
        raise LookupError("no such unit")

    risk.position_margin = broken
    assert books.limit(PERP, IDLE, Side.BUY, 99, 1) == -Reason.INSUFFICIENT_MARGIN
    assert risk.refused == 1
    with pytest.raises(LookupError, match="no such unit"):
        risk.reraise()
    risk.reraise()
    risk.position_margin = tenth
    assert books.limit(PERP, IDLE, Side.BUY, 99, 1) > 0
    assert np.isfinite(risk.revalue()["maintenance"]).all()


def test_rule_must_be_callable() -> None:
    """Or None."""
    risk, _ = venue()
    with pytest.raises(TypeError, match=r"'position_margin' must be callable, or None"):
        risk.position_margin = 0.1  # type: ignore[assignment]
