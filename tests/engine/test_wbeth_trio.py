"""The wBETH trio in a running exchange: one account, one print, three index rules.

It has 1,000 wBETH, owes a million dollars and is 500 ETH long from 4,300. ETH trades at
3,800, and one sale prints wBETH at 430, as on 10 October 2025. By its own book the
account is liquidated; by a mix of two books or the conversion ratio it is well.
"""

import json
from typing import Any

import pytest
from reference_data import vectors_folder
from venues import NO_FEES, has, long, only, prints, quote, steps

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit, market
from flashwick.margin.prices import IndexRule
from flashwick.margin.rules import Rules

MARKETS = ("ETH/USDT", "WBETH/USDT", "WBETH/ETH", "ETH/USDT:PERP")
RULES = {
    "own_book": IndexRule(policy="own_book", market="WBETH/USDT"),
    "mix": IndexRule(policy="mix", sources={"WBETH/USDT": 0.2, "WBETH/ETH": 0.8}),
    "conversion": IndexRule(policy="redemption", ratio=1.08, underlying="ETH"),
}
INDEX = {
    "own_book": 430.0,
    "mix": 0.2 * 430 + 0.8 * 1.08 * 3_800,
    "conversion": 4_104.0,
}
VECTORS = {"own_book": "BIN-PM-WBETH-SPOT", "conversion": "BIN-PM-WBETH-CONV"}


def traded(exchange: Exchange, name: str, price: float) -> None:
    """A bid of a rich account, and a sale of a coin that prints there."""
    base, paid = name.split("/")
    buyer, seller = has(exchange, {paid: 1e5}), has(exchange, {base: 1.0})
    bid = limit(buyer, name, "buy", price=price, qty=1.0)
    assert exchange.submit(bid).accepted
    assert exchange.submit(market(seller, name, "sell", qty=1.0)).filled == 1.0


def struck(rule: str) -> tuple[Exchange, int]:
    """The exchange after the print, and the account; one scan has seen both prices."""
    # The vectors count no margin on the debt.
    changes = {"fees": NO_FEES, "borrow": {"default": 0.0}}
    rules = Rules.build("binance-pm", changes)
    exchange = Exchange(MARKETS, rules, oracles={"WBETH": RULES[rule]})
    for name, price in (
        ("ETH/USDT", 3_800.0),
        ("WBETH/USDT", 4_104.0),
        ("WBETH/ETH", 1.08),
    ):
        traded(exchange, name, price)
    exchange.now += 1_000_000_000
    account = has(exchange, {"WBETH": 1_000, "USDT": -1_000_000})
    exchange.update_prices()
    long(exchange, account, "ETH/USDT:PERP", 500, 4_300)
    assert exchange.liquidate() == 0
    assert exchange.account(account).health > 100
    traded(exchange, "WBETH/USDT", 430.0)
    exchange.now += 1_000_000_000
    return exchange, account


def vector(name: str) -> dict[str, Any]:
    """What a vector expects, or a skip."""
    folder = vectors_folder()
    if folder is None:
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    for entry in json.loads((folder / "margin.json").read_text())["vectors"]:
        if entry["id"] == name:
            expected: dict[str, Any] = entry["expected"]
            return expected
    raise LookupError(name)


@pytest.mark.parametrize("rule", RULES)
def test_index_rule_alone_decides_who_is_liquidated(rule: str) -> None:
    """Same trades, same account: liquidated by the own book, not by the others."""
    exchange, account = struck(rule)
    working = exchange.liquidate()
    assert exchange.index[exchange.asset_number["WBETH"]] == pytest.approx(INDEX[rule])
    breaches = [event.account for event in exchange.log.single("breach")]
    if rule == "own_book":
        assert (working, breaches) == (1, [account])
    else:
        assert (working, breaches) == (0, [])
        assert exchange.account(account).health > 100
        assert steps(exchange) == []


@pytest.mark.parametrize("rule", VECTORS)
def test_exchange_values_the_account_as_the_vector_does(rule: str) -> None:
    """Adjusted equity, margin and health, from trades through books, index and mark."""
    expected = vector(VECTORS[rule])
    exchange, account = struck(rule)
    exchange.update_prices()
    valued = exchange.risk.account(account)
    assert valued["adjusted"] == pytest.approx(expected["equity"], rel=1e-6)
    assert valued["maintenance"] == pytest.approx(expected["mm"], rel=1e-6)
    assert valued["health"] == pytest.approx(expected["uniMMR"], rel=1e-6)
    low = valued["health"] <= exchange.rules.thresholds.liquidate
    assert low == expected["liquidate"]


def test_liquidation_by_the_own_book_is_blamed_on_the_print() -> None:
    """Breach, index, trade, order: nothing between, and the coins go at what is bid."""
    exchange, account = struck("own_book")
    quote(exchange, "WBETH/USDT", "buy", (429.0, 50))
    exchange.liquidate()
    breach = only(exchange, "breach")
    assert breach.account == account
    kinds = [event.kind for event in exchange.log.chain(breach.id)]
    assert kinds == ["breach", "index", "trade", "order"]
    text = exchange.log[breach.cause].text
    assert text == "WBETH 4104 -> 430"
    assert "WBETH/USDT sell_collateral" in steps(exchange)
    assert prints(exchange, "WBETH/USDT")[:2] == [(4_104.0, 1.0), (430.0, 1.0)]
