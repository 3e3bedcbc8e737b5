"""Vectors of the second half of a liquidation, and the data of 10 October 2025.

Of the figures of 10 October, `ARITHMETIC` are sums over the rows of the data set, and
`THROUGH THE ENGINE` what `flashwick.margin.adl` makes of those rows; each test says
which it is.
"""

import csv
import gzip
import json
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_data import data_folder, vectors_folder
from venues import has, long, only, venue

from flashwick.margin.adl import (
    RANKINGS,
    Candidates,
    Drawdown,
    Policy,
    allocate,
    due,
    profit,
    quantiles,
)
from flashwick.margin.bankruptcy import (
    Bracket,
    auto_close_share,
    bankruptcy_price,
    bankruptcy_quote,
    counterparty_price,
    inverse_bankruptcy_price,
    reduction,
    zero_price,
)
from flashwick.margin.rules import Rules

PERPETUALS = ("default", "ATOMUSDT", "SUIUSDT")


def vector(name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Inputs, expected and tolerance of a vector, or a skip."""
    folder = vectors_folder()
    if folder is None:
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    for entry in json.loads((folder / "margin.json").read_text())["vectors"]:
        if entry["id"] == name:
            tolerance = {"rel": 1e-6, "abs": 1e-9} | entry["tolerance"]
            return entry["inputs"], entry["expected"], tolerance
    raise LookupError(name)


def near(value: Any, tolerance: dict[str, float]) -> Any:
    """The value within the tolerance of its vector."""
    return pytest.approx(value, **tolerance)


def people(n: int, **columns: Any) -> Candidates:
    """Candidates that are alike but for the columns given."""
    columns = {"side": 1, "mark": 1.0, "account": range(n), "lots": [1] * n} | columns
    usual = ("notional", "entry", "bankruptcy", "pnl", "equity", "wallet")
    for name in (*usual, "maintenance"):
        columns[name] = np.array(columns.get(name, [1.0] * n), np.float64)
    columns["account"] = np.array(columns["account"], np.int64)
    columns["lots"] = np.array(columns["lots"], np.int64)
    return Candidates(**columns)


# -- SCORES AND SHARES


def test_score_of_a_binance_user() -> None:
    """BIN-ADL-USER: profit over wallet, times margin ratio; alone it is in front."""
    given, expected, tolerance = vector("BIN-ADL-USER")
    equity = given["wallet_balance"] + given["unrealized_pnl"]
    who = people(
        1,
        pnl=[given["unrealized_pnl"]],
        wallet=[given["wallet_balance"]],
        equity=[equity],
        maintenance=[given["margin_ratio"] * equity],
    )
    score = RANKINGS["binance"](who)
    percent = score[0] / given["margin_ratio"]
    assert percent == near(expected["pnl_percent"], tolerance)
    assert score[0] == near(expected["leverage_pnl"], tolerance)
    assert quantiles(score).tolist() == [1.0]


def test_hyperliquid_queue_of_three_longs() -> None:
    """HL-ADL-RANK: scores, and who gives first."""
    given, expected, tolerance = vector("HL-ADL-RANK")
    longs = given["longs"]
    who = people(
        3,
        mark=100.0,
        entry=[row["entry"] for row in longs],
        notional=[row["notional"] for row in longs],
        equity=[row["account_value"] for row in longs],
        lots=[10, 10, 10],
    )
    scores = dict(zip("ABC", RANKINGS["hyperliquid"](who).tolist(), strict=True))
    assert scores == near(expected["scores"], tolerance)
    first = allocate(1, who, Policy("hyperliquid")).tolist()
    both = allocate(11, who, Policy("hyperliquid")).tolist()
    assert expected["queue"] == ["C", "A", "B"]
    assert (first, both) == ([0, 0, 1], [1, 0, 10])


def test_shape_of_queue_and_pro_rata() -> None:
    """WF-ADL-SHAPE: ten of 24 contracts, in lots of a 24th contract."""
    given, expected, tolerance = vector("WF-ADL-SHAPE")
    names = [row["id"] for row in given["candidates"]]
    who = people(
        3,
        lots=[round(24 * row["qty"]) for row in given["candidates"]],
        notional=[-row["rank"] for row in given["candidates"]],
    )
    for word in ("queue", "contracts_pro_rata"):
        taken = allocate(24 * given["required_contracts"], who, Policy("ftx", word))
        contracts = dict(zip(names, (taken / 24).tolist(), strict=True))
        some = {name: qty for name, qty in contracts.items() if qty}
        assert some == near(expected[word], tolerance)


# -- TRIGGERS AND STAGES


@pytest.mark.parametrize(
    ("name", "preset", "peak", "drawdown"),
    [
        ("OKX-ADL-TRIGGER", "okx-multi", "fund_peak_8h", 0.3),
        ("BYB-ADL-TRIGGER", "bybit-uta", "pool_peak_8h", 1.0),
    ],
)
def test_deleveraging_starts_when_the_fund_has_fallen(
    name: str, preset: str, peak: str, drawdown: float
) -> None:
    """By the presets' own rules, within their window of eight hours and not after."""
    given, expected, _ = vector(name)
    rules = Rules.preset(preset).adl
    assert (rules.trigger, rules.drawdown) == ("fund_drawdown", drawdown)
    now = given.get("fund_now") or [given[peak] - x for x in given["drawdown"]]
    window = int(rules.window_s * 1e9)
    found, late = [], []
    for value in now:
        for when, answers in ((window, found), (window + 1, late)):
            fund = Drawdown(window)
            fund.see(0, given[peak])
            gone = fund.see(when, value)
            answers.append(due(rules, fund_after=0, drawdown=gone, equity=1.0))
    assert found == expected["adl"]
    assert late == [False] * 3


def test_hyperliquid_stages_of_a_liquidation() -> None:
    """HL-BACKSTOP: nothing, orders to the book, the vault, in a running exchange."""
    given, expected, _ = vector("HL-BACKSTOP")
    found = []
    for equity in given["equity"]:
        exchange = venue(
            preset="hyperliquid",
            target_health=1.0,
            rules={
                "brackets": {name: [[0, 0.05, 10]] for name in PERPETUALS},
                "collateral": {"USDT": 1.0},
            },
        )
        account = has(exchange, {"USDT": equity})
        # 25,000 dollars at 5 % need the margin of the vector.
        long(exchange, account, "ATOM/USDT:PERP", given["mm"] / 0.05 / 4.0, 4)
        assert exchange.risk.account(account)["maintenance"] == given["mm"]
        exchange.liquidate()
        kinds = {event.kind for event in exchange.log.single()}
        stage = "backstop" if "takeover" in kinds else "book"
        found.append(stage if "breach" in kinds else "healthy")
    assert found == expected["stage"]


# -- PRICES


def test_ftx_auto_close() -> None:
    """FTX-ACMF: the preset's second stage, its share a second, and both prices."""
    given, expected, tolerance = vector("FTX-ACMF")
    thresholds = Rules.preset("ftx-2022").thresholds
    found: dict[str, list[float]] = {name: [] for name in expected}
    for case in given["cases"]:
        mmf, mf = case["mmf"], case["mf"]
        # Of a notional of 1: margin MMF, equity MF.
        stage = thresholds.takeover_health(mmf, 1.0)
        assert stage is not None
        zero = zero_price(case["mark"], case["side"], mf)
        found["acmf"].append(stage * mmf)
        found["auto_close_fraction_per_s"].append(auto_close_share(mf / mmf, stage))
        found["zero_price"].append(zero)
        found["counterparty_price"].append(counterparty_price(case["mark"], zero))
        assert bankruptcy_price(case["mark"], case["side"], mf * 100, 1) == zero
        ticks = 10**6
        policy = Policy("ftx", "contracts_pro_rata", "zero_price_mix")
        price = (
            policy.price(round(case["mark"] * ticks), round(zero * ticks))[1] / ticks
        )
        assert price == near(found["counterparty_price"][-1], tolerance)
    assert found == {name: near(values, tolerance) for name, values in expected.items()}


def test_dydx_bankruptcy_quotes() -> None:
    """DYDX-BP: the formula of its code, and ours for a price, of each case."""
    given, expected, tolerance = vector("DYDX-BP")
    found = []
    for usdc, position, delta in given["cases"]:
        notional = position * given["oracle"]
        equity = usdc + notional
        rate = given["imf"] * 0.5 if given["mmf"] is None else given["mmf"]
        margin = abs(notional) * rate
        change = delta * given["oracle"]
        found.append(bankruptcy_quote(change, equity, change * rate, margin))
        side = 1 if position > 0 else -1
        price = bankruptcy_price(given["oracle"], side, equity, abs(position))
        assert -delta * price == near(found[-1], tolerance)
    assert found == near(expected["quote"], tolerance)


def test_bybit_inverse_bankruptcy_price() -> None:
    """BYB-BP-INV: entry and leverage of an isolated long, rounded to half a dollar."""
    given, expected, tolerance = vector("BYB-BP-INV")
    price = inverse_bankruptcy_price(given["entry"], 1, given["leverage"])
    assert price == near(expected["bankruptcy_price"], tolerance)
    assert round(2 * price) / 2 == expected["rounded"]


def test_partial_reduction_restores_the_target() -> None:
    """WF-PARTIAL: how much, what remains, and the health it leaves."""
    given, expected, tolerance = vector("WF-PARTIAL")
    rate, notional = given["mmr"], given["notional"]
    margin = notional * rate - given["cum"]
    closed = reduction(
        given["adj_equity"],
        margin,
        notional,
        Bracket(floor=0.0, rate=rate),
        target=given["target"],
        cost=given["cost_rate"],
    )
    left = notional - closed
    health = (given["adj_equity"] - closed * given["cost_rate"]) / (
        left * rate - given["cum"]
    )
    assert closed == near(expected["reduce_notional"], tolerance)
    assert left == near(expected["remaining"], tolerance)
    assert health == near(expected["ratio_after"], tolerance)


# -- 10 OCTOBER 2025


def rows(name: str) -> list[dict[str, float]]:
    """The numbers of a file of the data set, or a skip."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs FLASHWICK_DATA")
    path = folder / "adl" / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else None
    text = data.decode() if data is not None else path.read_text()
    return [
        {key: _number(value) for key, value in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def headlines() -> dict[str, Any]:
    """What the authors of the data set publish as its sums."""
    folder = data_folder()
    if folder is None:
        pytest.skip("needs FLASHWICK_DATA")
    found: dict[str, Any] = json.loads(
        (folder / "adl" / "adl_headlines.json").read_text()
    )["headline"]
    return found


WAVES = "adl_policy_per_wave_metrics.csv"
GAPS = "adl_wave_coin_gap_per_contract.csv.gz"


def test_overshoot_of_production_is_the_sum_over_waves() -> None:
    """ADL-OCT10-OSS, ARITHMETIC: what was taken less what was needed, 45,028,665.72.

    Both columns are of the authors' replay; no policy of ours can say what the venue
    took, which the published rows have by wave and not by account.
    """
    _, expected, tolerance = vector("ADL-OCT10-OSS")
    waves = rows(WAVES)
    needed = fsum(row["budget_needed"] for row in waves)
    taken = fsum(row["budget_prod"] for row in waves)
    assert len(waves) == 16
    assert needed == near(expected["sum_budget_needed"], tolerance)
    assert taken == near(expected["sum_budget_prod"], tolerance)
    assert f"{taken - needed:,.2f}" == "45,028,665.72"
    assert taken - needed == near(expected["prod_overshoot"], tolerance)
    assert taken - needed == near(
        headlines()["prod_overshoot_vs_needed_usd"], tolerance
    )


def cost_of_coins(coins: list[dict[str, float]], sides: int) -> float:
    """THROUGH THE ENGINE: what winners forgo when each coin's contracts are closed.

    The rows have contracts and the gap between mark and execution price per contract.
    Each coin is split between winners, all are taken, and their forgone profits added.
    """
    lot = 1e-4
    lost = []
    for row in coins:
        lots = max(1, round(row["qty_contracts"] / lot))
        shares = [lots - lots // sides * (sides - 1)] + [lots // sides] * (sides - 1)
        who = people(sides, lots=shares)
        taken = allocate(lots, who, Policy("hyperliquid", "contracts_pro_rata"))
        for part in taken.tolist():
            qty = part * lot * row["qty_contracts"] / (lots * lot)
            lost.append(profit(1, qty, 0.0, row["gap_per_contract_usd"]))
    return fsum(lost)


@pytest.mark.parametrize("sides", [1, 3])
def test_what_was_needed_comes_out_of_contracts_and_gaps(sides: int) -> None:
    """ADL-OCT10-OSS, THROUGH THE ENGINE: 15,079,669.61 in all, and in each wave.

    Of 728 rows of wave and coin; how contracts are split between winners changes
    nothing, as they close at one price.
    """
    _, expected, _ = vector("ADL-OCT10-OSS")
    gaps = rows(GAPS)
    assert len(gaps) == 728
    by_wave = {row["wave"]: row["budget_needed"] for row in rows(WAVES)}
    found = {
        wave: cost_of_coins([row for row in gaps if row["wave"] == wave], sides)
        for wave in by_wave
    }
    assert found == pytest.approx(by_wave, rel=1e-9)
    total = fsum(found.values())
    assert total == pytest.approx(expected["sum_budget_needed"], rel=1e-9)
    # The production overshoot again, with our figure of what was needed.
    taken = fsum(row["budget_prod"] for row in rows(WAVES))
    assert f"{taken - total:,.2f}" == "45,028,665.72"


def test_pro_rata_in_dollars_takes_what_is_needed_and_no_more() -> None:
    """THROUGH THE ENGINE: overshoot of nothing, where the authors' floats leave dust.

    Per wave the needed dollars, in cents, are allocated pro rata over the capacity.
    """
    for row in rows(WAVES):
        needed, capacity = (
            round(100 * row["budget_needed"]),
            round(100 * row["total_cap"]),
        )
        parts = [capacity // 2, capacity // 3, capacity - capacity // 2 - capacity // 3]
        for word in ("queue", "contracts_pro_rata", "pnl_pro_rata"):
            who = people(3, lots=parts, pnl=[p / 100 for p in parts])
            taken = int(allocate(needed, who, Policy("okx", word)).sum())
            assert taken == needed
        assert abs(row["overshoot_pr"]) < 0.01
        assert abs(row["overshoot_pnl_pr"]) < 0.01


SHOCKS = Path(__file__).with_name("adl_shocks_oct10.txt")
PLACES = 10_000  # a dollar in the file's last place


def shocks() -> list[tuple[int, int]]:
    """What losers owed and what the queue took, of each coin's shocks, 1/10,000 USD."""
    found = []
    for line in SHOCKS.read_text().splitlines():
        for entry in line.split()[1:] if not line.startswith("#") else ():
            owed, _, taken = entry.rpartition(":")
            found.append(
                (round(float(owed or 0) * PLACES), round(float(taken) * PLACES))
            )
    return found


def queued(required: int, profits: int) -> int:
    """THROUGH THE ENGINE: what our queue takes of winners that made so much."""
    parts = [profits // 2, profits // 3, profits - profits // 2 - profits // 3]
    who = people(3, lots=parts, pnl=[part / PLACES for part in parts])
    return int(allocate(required, who, Policy("okx", "queue")).sum())


def test_overshoot_of_the_stylised_queue() -> None:
    """ADL-OCT10-OSS, THROUGH THE ENGINE: 653,552,663.51, of 1,113 shocks by coin.

    What it takes is no figure of a queue in contracts: the authors' queue is in
    dollars, its budget the profit of all winners of the shock, whatever was needed.
    Given that budget ours spends it as well; given what losers owed it takes just
    that, overshoots by nothing and leaves the same residual, 16,690,263.85.
    """
    table = shocks()
    assert len(table) == 1_113
    spent = [(owed, queued(profits, profits)) for owed, profits in table]
    needed = [(owed, queued(owed, profits)) for owed, profits in table]
    over, left = (
        [sum(max(0, sign * (taken - owed)) for owed, taken in each) for sign in (1, -1)]
        for each in (spent, needed)
    )
    assert over[0] / PLACES == pytest.approx(653_552_663.5147, abs=0.01)
    assert over[1] / PLACES == pytest.approx(16_690_263.8472, abs=0.01)
    assert left[0] == 0
    assert left[1] == over[1]


def test_overshoot_of_the_stylised_queue_is_the_published_headline() -> None:
    """ADL-OCT10-OSS, ARITHMETIC: 43 times what was needed by their own replay."""
    _, expected, tolerance = vector("ADL-OCT10-OSS")
    queue = headlines()["queue_total_overshoot_usd"]
    assert queue == near(expected["queue_overshoot_stylised"], tolerance)
    assert f"{queue:,.2f}" == "653,552,663.51"
    over = sum(max(0, taken - owed) for owed, taken in shocks()) / PLACES
    assert over == pytest.approx(queue, abs=0.01)
    needed = fsum(row["budget_needed"] for row in rows(WAVES))
    assert queue / needed == pytest.approx(43.34, abs=0.01)


def test_meaning_of_a_row_of_the_replay() -> None:
    """ADL-OCT10-ROW, THROUGH THE ENGINE: profit; its percent and leverage, ARITHMETIC.

    Percent is of the notional closed, leverage that over the cash of the account.
    """
    given, expected, tolerance = vector("ADL-OCT10-ROW")
    qty, price = abs(given["position"]), given["adl_price"]
    gain = profit(-1, qty, given["entry"], price)
    notional = qty * price
    assert gain == near(expected["position_upnl"], tolerance)
    assert 100 * gain / notional == near(expected["pnl_percent"], tolerance)
    assert notional / given["cash"] == near(expected["leverage_realtime"], tolerance)
    equity = given["cash"] + given["total_upnl"]
    assert equity == near(expected["total_equity"], tolerance)


def test_deleveraging_in_an_exchange_says_who_lost_what() -> None:
    """THROUGH THE ENGINE: one winner, no fund; its forgone profit is the loss."""
    exchange = venue(steps=["reduce_positions", "takeover", "insurance_fund", "adl"])
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    event = only(exchange, "adl")
    assert event.value == pytest.approx(200.0)
    assert exchange.account(event.counterparty).equity == pytest.approx(1e6 + 400)
