"""Vectors of Binance portfolio margin, through the public face of `margin`."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from margin_vectors import read, vector
from venues import NO_FEES, has, long

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.fills import PerpOrder
from flashwick.margin.loans import virtual_max_loan
from flashwick.margin.marks import MarkBoard, mark_price
from flashwick.margin.prices import IndexBoard, IndexRule
from flashwick.margin.reference import (
    Balance,
    Position,
    account_health,
    collateral_value,
)
from flashwick.margin.rules import Rules, State
from flashwick.margin.schedule import Schedule, liquidation_price


def rules(**overrides: Any) -> Rules:
    """The Binance preset with groups of overrides."""
    return Rules.build("binance-pm", overrides)


def strings(node: ast.AST) -> set[str]:
    """The texts that stand under a node."""
    found = (sub.value for sub in ast.walk(node) if isinstance(sub, ast.Constant))
    return {text for text in found if isinstance(text, str)}


def asked_for(test: ast.FunctionDef) -> set[str]:
    """The ids of the vectors that a test reads and keeps.

    Those it asks for by name, and where it asks by a variable all its texts: they are
    what it is parametrized by, or goes through.
    """
    ids: set[str] = set()
    thrown_away = {
        id(node.value) for node in ast.walk(test) if isinstance(node, ast.Expr)
    }
    for node in ast.walk(test):
        if not isinstance(node, ast.Call) or id(node) in thrown_away:
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "vector":
            named = isinstance(node.args[0], ast.Constant)
            ids |= strings(node.args[0] if named else test)
    return ids


def test_every_vector_is_read_by_a_test() -> None:
    """None of the specification's vectors is forgotten: to name one is not enough."""
    asked: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                asked |= asked_for(node)
    wanted = {entry["id"] for entry in read("margin.json")["vectors"]}
    assert sorted(wanted - asked) == []


def test_vector_that_is_named_and_not_read_would_be_told() -> None:
    """A comment, a text beside it, or a vector that nothing is done with."""
    (named,) = ast.parse("def test_x():\n    # 'A'\n    assert 'A'").body
    (thrown,) = ast.parse("def test_x():\n    vector('A')").body
    (used,) = ast.parse("def test_x():\n    case, b = vector('A'), 'B'").body
    (looped,) = ast.parse("@mark('n', ['A'])\ndef test_x(n):\n    c = vector(n)").body
    found = [asked_for(test) for test in (named, thrown, used, looped)]
    assert found == [set(), set(), {"A"}, {"A", "n"}]


# -- BRACKETS


def test_the_shipped_brackets_are_those_of_the_exchange() -> None:
    """Floors, rates and leverages of all 18 symbols, and the exchange's own cum."""
    brackets = read("binance_um_brackets_2025-10-09.json")["um_brackets"]
    preset = Rules.preset("binance-pm")
    assert sorted(brackets) == sorted(preset.brackets.keys() - {"default"})
    for symbol, rows in brackets.items():
        schedule = preset.brackets[symbol]
        assert schedule.floors == tuple(row["floor"] for row in rows)
        assert schedule.rates == tuple(row["mmr"] for row in rows)
        assert schedule.max_leverage == tuple(row["max_lev"] for row in rows)
        published = [row["cum"] for row in rows]
        assert schedule.cums == pytest.approx(published, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    ["BIN-CUM-UM-L3", "BIN-CUM-CM-L5"],
)
def test_the_cum_of_a_bracket_follows_from_the_one_below(name: str) -> None:
    """Published examples of the recursion, from one bracket to the next."""
    case = vector(name)
    given = case.given
    # Any tiers below with this cum will do: one more, at the rate before.
    first = given["cum_prev"] / given["mmr_prev"]
    schedule = Schedule(
        [0, first, given["floor_n"]], [0.0, given["mmr_prev"], given["mmr_n"]]
    )
    assert schedule.cums[1] == pytest.approx(given["cum_prev"])
    assert schedule.cums[2] == case.about("cum_n")


def test_the_bracket_example_has_the_margin_its_page_quotes() -> None:
    """A position of 500,000 USDT in the historic BTCUSDT brackets: 3,700."""
    schedule = Schedule([0, 50_000, 250_000], [0.004, 0.005, 0.01])
    assert schedule.cums[2] == vector("BIN-CUM-UM-L3").about("cum_n")
    assert schedule.value(500_000.0) == pytest.approx(3700)


def test_the_btc_brackets_of_october_have_the_published_cum() -> None:
    """All 12 tiers, from floors and rates alone."""
    case = vector("BIN-BTC-OCT25-CUM")
    schedule = Schedule(case.given["floors"], case.given["mmr"])
    assert list(schedule.cums) == case.about("cum")
    assert schedule.cums == Rules.preset("binance-pm").brackets_of("BTCUSDT").cums


def test_maintenance_margin_of_btc_positions_in_october() -> None:
    """By slices and by deduction, edges of brackets included."""
    case = vector("BIN-BTC-OCT25-MM")
    schedule = Rules.preset("binance-pm").brackets_of(case.given["symbol"])
    notionals = [float(n) for n in case.given["notionals"]]
    assert [schedule.value(n) for n in notionals] == case.about("mm")
    assert [schedule.amount(n, 0.0) for n in notionals] == case.about("mm")


# -- LIQUIDATION PRICES


def one_bracket(rate: float, cum: float) -> Schedule:
    """A schedule whose upper tier has this rate and this cum."""
    return Schedule([0, cum / rate], [0.0, rate])


@pytest.mark.parametrize(
    "name",
    ["BIN-LP-ISO-BTC", "BIN-LP-CROSS-ETH"],
)
def test_liquidation_price_of_the_published_examples(name: str) -> None:
    """Isolated, and crossed with another position whose margin is computed too."""
    case = vector(name)
    given = case.given
    maintenance = pnl = 0.0
    if other := given["other_position"]:
        position = Position(
            "BTC/USDT:PERP", "USDT", other["qty"], other["entry"], other["mark"]
        )
        brackets = one_bracket(other["mmr"], other["cum"])
        maintenance, pnl = brackets.value(position.notional), position.pnl
        assert maintenance == pytest.approx(given["other_positions_mm_TMM1"])
        assert pnl == pytest.approx(given["other_positions_upnl_UPNL1"])
    price = liquidation_price(
        given["wallet_balance"],
        given["side"] * given["qty"],
        given["entry"],
        one_bracket(given["mmr"], given["cum"]),
        other_maintenance=maintenance,
        other_pnl=pnl,
    )
    assert price == case.about("liquidation_price")


def test_the_bracket_is_that_of_the_liquidation_price() -> None:
    """A position of 1.2 M at entry is liquidated in the tier of 1.1 M."""
    case = vector("BIN-BTC-OCT25-LP")
    given = case.given
    brackets = Rules.preset("binance-pm").brackets_of("BTCUSDT")
    qty = given["side"] * given["qty"]
    price = liquidation_price(given["wallet"], qty, given["entry"], brackets)
    assert price == case.about("liquidation_price")
    assert brackets.tier_at(given["qty"] * price) + 1 == case.expected["tier_at_lp"]


# -- COLLATERAL


def test_collateral_counts_at_its_ratio() -> None:
    """BNB and FDUSD have in this preset the ratios of the published example."""
    case = vector("BIN-MA-HAIRCUT")
    preset = Rules.preset("binance-pm")
    values = []
    for asset in case.given["assets"]:
        assert preset.collateral_of(asset["coin"]).rates == (asset["ratio"],)
        values.append(collateral_value(asset["coin"], asset["usd"], 1.0, preset))
    assert values == case.about("values")


def test_all_wallets_of_a_coin_are_summed_before_the_ratio() -> None:
    """Three wallets of one bitcoin count for 2.85."""
    case = vector("BIN-PM-3BTC")
    wallets = case.given["BTC"].values()
    preset = Rules.preset("binance-pm")
    assert preset.collateral_of("BTC").rates == (case.given["rate"],)
    held = {"BTC": Balance(sum(wallets))}
    valued = account_health(held, [], {"BTC": 40_000.0}, preset)
    assert valued.adjusted / 40_000.0 == case.about("btc_collateral")


def test_loans_have_margin_by_marginal_tiers() -> None:
    """Initial and maintenance margin of two loans, by slices and by deduction."""
    case = vector("BIN-CMPRO-LIAB")
    initial = maintenance = 0.0
    table = {}
    for asset, (qty, price) in case.given["borrowed"].items():
        tiers = case.given[f"{asset}_tiers"]
        initial += Schedule(tiers["floors"], tiers["imr"]).value(float(qty * price))
        schedule = Schedule(tiers["floors"], tiers["mmr"])
        maintenance += schedule.amount(float(qty * price), float(qty))
        assert schedule.cums[-1] == case.about(f"{asset}_cum")
        table[asset] = list(zip(tiers["floors"], tiers["mmr"], strict=True))
    assert initial == case.about("IM")
    assert maintenance == case.about("MM")
    borrowed = case.given["borrowed"]
    loans = {asset: Balance(qty, qty) for asset, (qty, _) in borrowed.items()}
    prices = {asset: float(price) for asset, (_, price) in borrowed.items()}
    valued = account_health(loans, [], prices, rules(borrow=table))
    assert valued.maintenance == case.about("MM")


# -- WHOLE ACCOUNTS


def test_profits_and_loan_margins_of_the_official_example() -> None:
    """Two futures positions and two loans at the 3x rate of 10 %."""
    case = vector("BIN-PM-UPNL")
    for name in ("um_perp", "um_quarter"):
        at = case.given[name]
        position = Position("BTC/USDT:PERP", "USDT", at["qty"], at["entry"], at["mark"])
        assert position.pnl == case.about(f"{name}_upnl")
    at_3x = rules(borrow={"default": case.given["loan_mmr"]})
    for asset, loan in case.given["loans"].items():
        held = {asset: Balance(loan, loan)}
        valued = account_health(held, [], {asset: 1.0}, at_3x)
        assert valued.maintenance == case.about(f"margin_mm_{asset}")


def test_uni_mmr_of_the_official_example() -> None:
    """Margin, USD-M and COIN-M wallets of one account, with the assumed prices."""
    case, profits = vector("BIN-PM-UNIMMR"), vector("BIN-PM-UPNL")
    given, futures = case.given, profits.given
    preset = rules(
        collateral=given["collateral_rate"],
        borrow={"default": futures["loan_mmr"]},
        brackets={"default": 0.005, "BTCUSDT": 0.005},
    )
    positions = [
        Position("BTC/USDT:PERP", "USDT", **futures["um_perp"]),
        Position("BTC/USDT:PERP", "USDT", **futures["um_quarter"]),
        # A long of 10,000 USD is a short of them in a market that quotes the dollar
        # in bitcoin.
        Position("USD/BTC:PERP", "BTC", -10_000, 1 / 50_000, 1 / 40_000),
    ]
    assert positions[2].pnl == pytest.approx(given["cm_upnl_BTC"])
    usdt, btc = given["um_wallet_USDT"], given["cm_wallet_BTC"]
    wallets = {"USDT": usdt, "BTC": btc, "ETH": 0.0}
    balances = {
        asset: Balance(wallets[asset] + held, loan)
        for asset, (held, loan) in given["margin"].items()
    }
    valued = account_health(balances, positions, given["prices"], preset)
    assert valued.adjusted == case.about("equity_usd")
    assert valued.maintenance == case.about("mm_usd")
    assert valued.health == case.about("uniMMR")
    pnl = {"USDT": positions[0].pnl + positions[1].pnl, "BTC": positions[2].pnl}
    for asset, balance in balances.items():
        equity = balance.net + pnl.get(asset, 0.0)
        assert equity == case.about(f"equity_{asset}")


WBETH = {
    "own_book": IndexRule(policy="own_book", market="WBETH/USDT"),
    "mix": IndexRule(policy="mix", sources={"WBETH/USDT": 0.2, "WBETH/ETH": 0.8}),
    "redemption": IndexRule(policy="redemption", ratio=1.08, underlying="ETH"),
}
"""The index of wBETH: of its dollar book, of both its books, and by conversion."""


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("BIN-PM-WBETH-SPOT", "own_book"),
        ("BIN-PM-WBETH-CONV", "redemption"),
    ],
)
def test_the_index_rule_of_wbeth_decides_on_the_liquidation(
    name: str, policy: str
) -> None:
    """Same account, same book, same ETH price: only the policy of the index differs."""
    case = vector(name)
    given = case.given
    perp = given["eth_perp"]
    board = IndexBoard(
        {
            "USDT": IndexRule(policy="fixed", value=1.0),
            "ETH": IndexRule(policy="own_book", market="ETH/USDT"),
            "WBETH": WBETH[policy],
        },
        {"ETH/USDT": ("ETH", "USDT"), "WBETH/USDT": ("WBETH", "USDT")},
    )
    index = board.update({"ETH/USDT": perp["mark"], "WBETH/USDT": 430.0})
    prices = dict(zip(board.assets, index.tolist(), strict=True))
    assert prices["WBETH"] == pytest.approx(given["wbeth_index"])
    preset = Rules.preset("binance-pm")
    assert preset.collateral_of("WBETH").rates == (given["collateral_rate"],)
    # A negative futures balance is no loan: it has no margin of its own.
    valued = account_health(
        {"WBETH": Balance(given["wBETH"]), "USDT": Balance(given["USDT_balance"])},
        [Position("ETH/USDT:PERP", "USDT", perp["qty"], perp["entry"], perp["mark"])],
        prices,
        preset,
    )
    assert valued.adjusted == case.about("equity")
    assert valued.maintenance == case.about("mm")
    assert valued.health == case.about("uniMMR")
    liquidated = preset.thresholds.state(valued.health) is State.LIQUIDATE
    assert liquidated == case.expected["liquidate"]


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("own_book", "BIN-PM-WBETH-SPOT"),
        ("mix", None),
        ("redemption", "BIN-PM-WBETH-CONV"),
    ],
)
def test_only_its_own_book_liquidates_the_holder_of_wbeth(
    policy: str, name: str | None
) -> None:
    """In a running exchange: one trade at 430, and three rules of the index.

    There is no vector of the mix: 20 % of the dollar book and 80 % of a pair that
    still trades at 1.08 ETH.
    """
    given = vector("BIN-PM-WBETH-SPOT").given
    exchange = Exchange(
        ["ETH/USDT", "WBETH/USDT", "WBETH/ETH", "ETH/USDT:PERP"],
        rules(borrow={"USDT": 0.0}, fees=NO_FEES),
        oracles={
            "ETH": IndexRule(policy="own_book", market="ETH/USDT"),
            "WBETH": WBETH[policy],
        },
    )
    buyer = has(exchange, {"USDT": 1e6, "ETH": 100})
    seller = has(exchange, {"WBETH": 10, "ETH": 10})

    def trade(market: str, price: float) -> None:
        assert exchange.submit(limit(seller, market, "sell", price=price, qty=1))
        assert exchange.submit(limit(buyer, market, "buy", price=price, qty=1)).fills
        exchange.update_prices()

    for market, price in (
        ("ETH/USDT", 3800.0),
        ("WBETH/ETH", 1.08),
        ("WBETH/USDT", 4104.0),
    ):
        trade(market, price)
    account = has(exchange, {"WBETH": given["wBETH"], "USDT": given["USDT_balance"]})
    perp = given["eth_perp"]
    long(exchange, account, "ETH/USDT:PERP", perp["qty"], perp["entry"])
    assert exchange.liquidate() == 0
    trade("WBETH/USDT", 430.0)
    health = exchange.account(account).health
    assert (exchange.liquidate() == 1) == (policy == "own_book")
    breaches = [event.account for event in exchange.log.single("breach")]
    assert breaches == ([account] if policy == "own_book" else [])
    if name is not None:
        assert health == vector(name).about("uniMMR")


def test_an_open_order_that_would_lose_makes_the_account_reduce_only() -> None:
    """An order 150 above the mark for 10 lots takes 1,500 off adjusted equity."""
    case = vector("BIN-PM-OPENLOSS")
    preset = rules(brackets={"default": 0.05})
    mark = case.given["mm"] / 0.05
    account: dict[str, Any] = {
        "balances": {"USDT": Balance(case.given["equity"])},
        "positions": [Position("X/USDT:PERP", "USDT", 1.0, mark, mark)],
        "prices": {"USDT": 1.0},
        "rules": preset,
    }
    order = PerpOrder(
        "X/USDT:PERP", "USDT", 10.0, mark + case.given["open_loss_usd"] / 10.0, mark
    )
    before, after = account_health(**account), account_health(**account, orders=[order])
    assert before.maintenance == pytest.approx(case.given["mm"])
    assert before.health == case.about("uniMMR_before_order")
    assert after.health == case.about("uniMMR_with_order")
    state = preset.thresholds.state(after.health)
    assert state.name.lower() == case.expected["state"]


# -- LIMITS, INTEREST, MARK


def test_what_may_be_withdrawn_and_borrowed() -> None:
    """Equity less 1.2 times the margin; a loan by leverage, less what is open."""
    case = vector("BIN-PM-LIMITS")
    given = case.given
    account = Rules.preset("binance-pm").account
    free = account.max_withdraw(given["equity"], given["mm"])
    assert free == case.about("max_withdraw")
    loan = virtual_max_loan(free, given["leverage"], given["virtual_spot_loan"])
    assert loan == case.about("virtual_max_loan")


def test_a_negative_balance_costs_interest_beyond_its_threshold() -> None:
    """Rate and threshold of the preset are those of the published example."""
    case = vector("BIN-PM-NEGINT-0")
    interest = Rules.preset("binance-pm").interest
    assert interest.daily_rate == case.given["daily_rate"]
    assert interest.threshold_usd == case.given["threshold_vip9"]
    assert interest.due(case.given["balance_at_00utc"]) == case.about("interest")
    assert interest.due(-10_000.0) == interest.due(5.0) == 0.0


def test_the_mark_price_of_the_derived_example() -> None:
    """The formula, and the board after samples of that basis, give the same."""
    case = vector("BIN-MARK")
    given = case.given
    index, rate = float(given["index"]), given["last_funding"]
    left = given["hours_to_funding"] / given["interval_h"]
    basis, last = given["ma_basis"], float(given["last_trade"])
    assert mark_price(index, rate, left, basis, last) == case.about("mark")
    # With the basis out of the way, price 1 is the median.
    assert mark_price(index, rate, left, 1e9, 0.0) == case.about("price1")
    one = np.ones(1)
    found = MarkBoard(1).update(
        0,
        index=index * one,
        bid=(index + basis) * one,
        ask=(index + basis) * one,
        last=last * one,
        funding_rate=rate,
        time_fraction=left,
    )
    assert found[0] == case.about("price2")
