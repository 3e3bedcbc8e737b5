"""Index rules, and what drives an index."""

import copy
import math
import pickle
from collections.abc import Mapping

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.presets import RulesError
from flashwick.margin.prices import (
    DriverKind,
    IndexBoard,
    IndexRule,
)

MARKETS = {
    "ETH/USDT": ("ETH", "USDT"),
    "WBETH/USDT": ("WBETH", "USDT"),
    "WBETH/ETH": ("WBETH", "ETH"),
}
MIX = {"WBETH/USDT": 0.2, "WBETH/ETH": 0.8}
WBETH = IndexRule(
    policy="own_book",
    market="WBETH/USDT",
    sources=MIX,
    ratio=1.08,
    underlying="ETH",
    value=4000.0,
)
CALM = {"ETH/USDT": 3800.0, "WBETH/USDT": 4104.0, "WBETH/ETH": 1.08}


def board(wbeth: IndexRule = WBETH, **others: IndexRule) -> IndexBoard:
    """A small venue; WBETH comes first, though it needs the others."""
    rules = {
        "WBETH": wbeth,
        "ETH": IndexRule(policy="own_book", market="ETH/USDT"),
        "USDT": IndexRule(policy="fixed", value=1.0),
    }
    return IndexBoard(rules | others, MARKETS)


def problems(
    rules: Mapping[str, IndexRule],
    markets: Mapping[str, tuple[str, str]] = MARKETS,
) -> dict[str, str]:
    """What is wrong with index rules, by path."""
    with pytest.raises(RulesError) as caught:
        IndexBoard(rules, markets)
    return dict(caught.value.problems)


def told(prices: IndexBoard) -> list[tuple[str, str, str, float]]:
    """The drivers of the last update in words."""
    found = []
    for row in prices.drivers:
        kind = DriverKind(row["kind"])
        names = prices.markets if kind is DriverKind.MARKET else prices.assets
        share = round(float(row["share"]), 9)
        found.append(
            (prices.assets[row["asset"]], kind.name, names[row["driver"]], share)
        )
    return found


# -- POLICIES


@pytest.mark.parametrize(
    ("policy", "index"),
    [
        ("own_book", 430.0),
        ("mix", 0.2 * 430.0 + 0.8 * 1.05 * 3800.0),
        ("redemption", 1.08 * 3800.0),
        ("outside", 4090.0),
        ("fixed", 4000.0),
    ],
)
def test_changing_the_policy_alone_is_a_whole_what_if(
    policy: str, index: float
) -> None:
    """In a wick to 430 each policy reads its own parameters of the one rule."""
    prices = board(attrs.evolve(WBETH, policy=policy))
    wick = {"ETH/USDT": 3800.0, "WBETH/USDT": 430.0, "WBETH/ETH": 1.05}
    found = prices.update(wick, {"WBETH": 4090.0})
    assert found.tolist() == pytest.approx([index, 3800.0, 1.0], rel=1e-14)
    prices._check()


def test_a_mix_may_weigh_other_policies() -> None:
    """Redemption, the outside price and the rule's own market are sources too."""
    sources = {"own_book": 0.25, "redemption": 0.5, "outside": 0.125, "fixed": 0.125}
    prices = board(attrs.evolve(WBETH, policy="mix", sources=sources))
    found = prices.update(CALM | {"WBETH/USDT": 430.0}, {"WBETH": 4090.0})
    parts = 0.25 * 430.0 + 0.5 * 1.08 * 3800.0 + 0.125 * 4090.0 + 0.125 * 4000.0
    assert found[0] == pytest.approx(parts, rel=1e-14)


def test_an_index_is_converted_with_the_index_of_the_quote() -> None:
    """A quote asset off its peg moves what is quoted in it."""
    prices = board(USDT=IndexRule(policy="outside"))
    found = prices.update(CALM, {"USDT": 0.5})
    assert found.tolist() == [2052.0, 1900.0, 0.5]


def test_arrays_and_mappings_give_the_same_indices() -> None:
    """Arrays are in the order of markets and assets."""
    one, two = board(), board()
    by_name = one.update(CALM, {"WBETH": 4090.0})
    by_place = two.update(
        np.array([CALM[name] for name in two.markets]),
        np.array([4090.0, math.nan, math.nan]),
    )
    assert by_name.tolist() == by_place.tolist() == two.index.tolist()


def test_a_mapping_leaves_what_it_does_not_name() -> None:
    """Only the named price is new; a name from elsewhere is refused."""
    prices = board()
    prices.update(CALM)
    assert prices.update({"ETH/USDT": 3000.0}).tolist() == [4104.0, 3000.0, 1.0]
    with pytest.raises(ValueError, match=r"'ETH/USTD'.*mean 'ETH/USDT'"):
        prices.update({"ETH/USTD": 1.0})


def test_a_source_without_a_price_leaves_its_weight_to_the_others() -> None:
    """Only when no source is left does the index stay what it was."""
    prices = board(attrs.evolve(WBETH, policy="mix"))
    assert math.isnan(prices.update({"ETH/USDT": 3800.0})[0])
    assert prices.update({"WBETH/ETH": 1.05})[0] == pytest.approx(3990.0)
    assert prices.update({"WBETH/USDT": 400.0})[0] == pytest.approx(3272.0)
    assert prices.update({"WBETH/ETH": 0.0})[0] == 400.0
    assert prices.update({"WBETH/USDT": math.nan})[0] == 400.0
    prices._check()


# -- FLOOR AND BAND


def test_a_floor_is_a_minimum_of_the_index() -> None:
    """Below it the index is the floor, above it the source."""
    prices = board(attrs.evolve(WBETH, floor=3000.0))
    found = [prices.update(CALM | {"WBETH/USDT": p})[0] for p in (4000.0, 430.0, 3500)]
    assert found == [4000.0, 3000.0, 3500.0]


def test_a_band_limits_each_move() -> None:
    """The index follows its source by at most the band an update, both ways."""
    prices = board(attrs.evolve(WBETH, band=0.1))
    path = [4000.0, 430.0, 430.0, 4000.0]
    found = [prices.update(CALM | {"WBETH/USDT": p})[0] for p in path]
    assert found == pytest.approx([4000.0, 3600.0, 3240.0, 3564.0])


# -- DRIVERS


def test_the_driver_of_an_own_book_index_is_its_market() -> None:
    """The first prices are no change; a wick is one, with old and new."""
    prices = board()
    prices.update(CALM)
    assert told(prices) == []
    prices.update({"WBETH/USDT": 430.0})
    assert told(prices) == [("WBETH", "MARKET", "WBETH/USDT", 1.0)]
    assert prices.drivers[["old", "new"]].tolist() == [(4104.0, 430.0)]
    prices.update({})
    assert told(prices) == []


def test_an_index_that_follows_another_names_it() -> None:
    """A redemption index falls because its underlying did, which a market drove."""
    prices = board(attrs.evolve(WBETH, policy="redemption"))
    prices.update(CALM)
    prices.update({"ETH/USDT": 3000.0})
    assert told(prices) == [
        ("WBETH", "INDEX", "ETH", 1.0),
        ("ETH", "MARKET", "ETH/USDT", 1.0),
    ]


def test_the_strongest_source_of_a_mix_is_the_driver() -> None:
    """A fall of 100 from one pair and 2 through the quote makes a share of 100/102."""
    prices = board(attrs.evolve(WBETH, policy="mix", sources={"WBETH/ETH": 1.0}))
    prices.update({"ETH/USDT": 1000.0, "WBETH/ETH": 1.0})
    prices.update({"ETH/USDT": 998.0, "WBETH/ETH": 0.9})
    assert told(prices)[0][:3] == ("WBETH", "MARKET", "WBETH/ETH")
    market, through = 0.1 * 999.0, 2.0 * 0.95
    assert prices.drivers["share"][0] == pytest.approx(market / (market + through))


def test_a_driver_goes_with_the_change_not_against_it() -> None:
    """Where one source falls more than the other rises, the share is above 1."""
    prices = board(attrs.evolve(WBETH, policy="mix"))
    prices.update(CALM)
    prices.update({"WBETH/USDT": 2104.0, "WBETH/ETH": 1.1})
    assert told(prices)[0][:3] == ("WBETH", "MARKET", "WBETH/USDT")
    assert prices.drivers["share"][0] == pytest.approx(400.0 / (400.0 - 60.8))


def test_a_move_held_back_by_a_band_keeps_its_cause() -> None:
    """The second step has the driver of the first, though another price flickers."""
    prices = board(attrs.evolve(WBETH, policy="mix", band=0.1))
    prices.update(CALM)
    prices.update({"WBETH/USDT": 430.0})
    prices.update({"WBETH/ETH": 1.0799})
    assert told(prices)[0][:3] == ("WBETH", "MARKET", "WBETH/USDT")
    assert prices.drivers["share"][0] == pytest.approx(1.0, abs=0.01)
    prices._check()


def test_a_price_that_returns_above_a_floor_is_the_driver_of_the_rise() -> None:
    """What the floor swallowed is not held against the market that recovers."""
    prices = board(attrs.evolve(WBETH, policy="mix", floor=3700.0))
    prices.update(CALM)
    prices.update({"WBETH/USDT": 430.0})
    prices.update({"WBETH/USDT": 4000.0})
    assert told(prices) == [("WBETH", "MARKET", "WBETH/USDT", 1.0)]


def test_the_outside_price_of_an_asset_is_its_driver() -> None:
    """Kind OUTSIDE names the asset whose path moved."""
    prices = board(attrs.evolve(WBETH, policy="outside"))
    prices.update(CALM, {"WBETH": 4000.0})
    prices.update({}, {"WBETH": 3000.0})
    assert told(prices) == [("WBETH", "OUTSIDE", "WBETH", 1.0)]


@given(
    st.lists(
        st.tuples(*[st.floats(0.1, 10.0)] * 4), min_size=2, max_size=6, unique=True
    ),
    st.none() | st.floats(0.01, 0.5),
)
def test_the_parts_of_a_move_sum_to_the_move(
    path: list[tuple[float, float, float, float]], band: float | None
) -> None:
    """What moved and what is held back is all that sources and quotes did."""
    rule = attrs.evolve(WBETH, policy="mix", band=band)
    prices = board(rule, USDT=IndexRule(policy="outside"))
    free = board(attrs.evolve(rule, band=None), USDT=IndexRule(policy="outside"))
    for *last, dollar in path:
        outside = np.array([math.nan, math.nan, dollar])
        before = prices.index[0]
        prices.update(np.array(last), outside)
        ahead = free.update(np.array(last), outside)[0]
        moved = prices.index[0] - before
        if not math.isnan(before):
            own = prices._terms[prices._own(0)]
            pulled = math.fsum([*own["own"], *own["through"]])
            assert pulled == pytest.approx(ahead - before, abs=1e-7)
            held = math.fsum([*own["own_pending"], *own["through_pending"]])
            assert moved + held == pytest.approx(ahead - before, abs=1e-7)
    prices._check()


# -- REPLACING RULES


def test_a_replaced_rule_takes_over_from_the_next_update() -> None:
    """The move has kind RULE; the others' causes and prices go on."""
    prices = board()
    prices.update(CALM)
    prices.update({"WBETH/USDT": 430.0})
    prices.replace({"WBETH": attrs.evolve(WBETH, policy="redemption")})
    assert prices.index.tolist() == [430.0, 3800.0, 1.0]
    assert prices.update({"ETH/USDT": 3000.0}).tolist() == [3240.0, 3000.0, 1.0]
    assert told(prices) == [
        ("WBETH", "RULE", "WBETH", 1.0),
        ("ETH", "MARKET", "ETH/USDT", 1.0),
    ]
    prices.update({"ETH/USDT": 2000.0})
    assert told(prices)[0] == ("WBETH", "INDEX", "ETH", 1.0)
    prices._check()


def test_a_replacement_that_cannot_be_used_changes_nothing() -> None:
    """An unknown asset or a wrong rule leaves the board as it was."""
    prices = board()
    prices.update(CALM)
    with pytest.raises(RulesError, match=r"WBTH: has no index here.*'WBETH'"):
        prices.replace({"WBTH": WBETH})
    with pytest.raises(RulesError, match="did you mean 'redemption'"):
        prices.replace({"WBETH": attrs.evolve(WBETH, policy="redemtion")})
    assert prices.update({}).tolist() == [4104.0, 3800.0, 1.0]


# -- ERRORS


def test_all_problems_of_index_rules_are_reported_at_once() -> None:
    """Each has the path of its field and the nearest right word."""
    found = problems(
        {
            "A": IndexRule(policy="redemtion"),
            "B": IndexRule(policy="own_book"),
            "C": IndexRule(policy="mix"),
            "D": IndexRule(policy="mix", sources={"ETH/USDT": 0.5, "redemption": 0.4}),
            "E": IndexRule(policy="fixed", value=-1.0, band=0.0, floor=math.inf),
            "F": IndexRule(policy="own_book", market="ETH/USD"),
            "G": IndexRule(policy="own_book", market="ETH/USDT"),
            "ETH": IndexRule(policy="own_book", market="ETH/USDT"),
            "H": IndexRule(policy="redemption", ratio=1.0, underlying="ETHW"),
        }
    )
    assert found == {
        "A.policy": "'redemtion' is not a policy; did you mean 'redemption'?",
        "B.market": "must be given for policy 'own_book'",
        "C.sources": "must have at least one, with its weight, for policy 'mix'",
        "D.ratio": "must be given for policy 'redemption'",
        "D.underlying": "must be given for policy 'redemption'",
        "D.sources": "weights must sum to 1 (got 0.9)",
        "E.value": "must be a number above 0 (got -1.0)",
        "E.floor": "must be a number above 0 (got inf)",
        "E.band": "must be a number above 0 (got 0.0)",
        "F.market": "'ETH/USD' is not a market; did you mean 'ETH/USDT'?",
        "G.market": "'ETH/USDT' is not a market of G",
        "ETH.market": "'ETH/USDT' is quoted in USDT, which has no index rule",
        "H.underlying": "'ETHW' has no index rule; did you mean 'ETH'?",
    }


def test_a_weight_has_to_be_a_number_above_zero() -> None:
    """The error names the source."""
    rule = IndexRule(policy="mix", sources={"ETH/USDT": -0.5, "outside": 1.5})
    assert problems({"ETH": rule}) == {
        "ETH.sources": "weight of 'ETH/USDT' must be a number above 0 (got -0.5)"
    }


def test_indices_that_depend_on_themselves_are_refused() -> None:
    """The cycle is written out."""
    rules = {
        "WBETH": IndexRule(policy="redemption", ratio=1.08, underlying="ETH"),
        "ETH": IndexRule(policy="redemption", ratio=1.0, underlying="WBETH"),
    }
    found = problems(rules)
    assert found["WBETH"] == (
        "index depends on itself: WBETH -> ETH -> WBETH; "
        "give one of them another policy"
    )


def test_a_dollar_may_have_an_index_or_be_worth_one() -> None:
    """USD needs no rule; given one, it is an asset like the others."""
    markets = {"ETH/USD": ("ETH", "USD")}
    rules = {"ETH": IndexRule(policy="own_book", market="ETH/USD")}
    assert IndexBoard(rules, markets).update({"ETH/USD": 3800.0}).tolist() == [3800.0]
    rules["USD"] = IndexRule(policy="fixed", value=0.5)
    found = IndexBoard(rules, markets).update({"ETH/USD": 3800.0})
    assert found.tolist() == [1900.0, 0.5]


# -- COPIES


def test_a_copied_board_goes_on_as_the_original_does() -> None:
    """A deep copy and a pickled one give the same indices and drivers."""
    prices = board(attrs.evolve(WBETH, policy="mix", band=0.1))
    prices.update(CALM)
    prices.update({"WBETH/USDT": 430.0})
    twins = [prices, copy.deepcopy(prices), pickle.loads(pickle.dumps(prices))]
    for twin in twins:
        twin.update({"ETH/USDT": 3700.0})
    assert len({twin.index.tobytes() for twin in twins}) == 1
    assert len({twin.drivers.tobytes() for twin in twins}) == 1


# -- MARK PRICES


# -- A DOLLAR BY ITS BOOK


def bybit(**changes: object) -> IndexBoard:
    """SOL by its USDT pair; USDT by what BTC costs in it and in dollars."""
    rules = {
        "BTC": IndexRule(policy="outside"),
        "USDT": IndexRule(policy="implied", market="BTC/USDT"),
        "SOL": IndexRule(policy="own_book", market="SOL/USDT"),
    }
    pairs = {"BTC/USDT": ("BTC", "USDT"), "SOL/USDT": ("SOL", "USDT")}
    return IndexBoard(rules | changes, pairs)


def test_collateral_in_dollars_goes_through_what_bitcoin_costs_in_both() -> None:
    """SOLUSDT times BTCUSD over BTCUSDT, the collateral index of Bybit."""
    board = bybit()
    found = board.update({"BTC/USDT": 102_000.0, "SOL/USDT": 204.0}, {"BTC": 100_000.0})
    board._check()
    assert found.tolist() == pytest.approx([100_000.0, 1 / 1.02, 200.0])


def test_the_driver_of_an_implied_dollar_is_the_market_that_moved() -> None:
    """The book where the dollar sold off; or the index of the other side."""
    board = bybit()
    board.update({"BTC/USDT": 100_000.0, "SOL/USDT": 200.0}, {"BTC": 100_000.0})
    board.update({"BTC/USDT": 125_000.0})
    rows = {int(row["asset"]): row for row in board.drivers}
    assert DriverKind(int(rows[1]["kind"])) is DriverKind.MARKET
    assert board.markets[int(rows[1]["driver"])] == "BTC/USDT"
    assert (rows[1]["old"], rows[1]["new"]) == pytest.approx((1.0, 0.8))
    assert DriverKind(int(rows[2]["kind"])) is DriverKind.INDEX
    board.update({}, {"BTC": 50_000.0})
    rows = {int(row["asset"]): row for row in board.drivers}
    assert DriverKind(int(rows[1]["kind"])) is DriverKind.INDEX
    assert board.assets[int(rows[1]["driver"])] == "BTC"


@pytest.mark.parametrize(
    ("market", "text"),
    [
        ("SOL/BTC", "'SOL/BTC' is not a market"),
        (None, "must be given for policy 'implied'"),
        ("ETH/BTC", "'ETH/BTC' is not quoted in USDT"),
    ],
)
def test_an_implied_dollar_needs_a_market_quoted_in_it(
    market: str | None, text: str
) -> None:
    """With the market's name."""
    rules = {"USDT": IndexRule(policy="implied", market=market)}
    with pytest.raises(RulesError, match=text):
        IndexBoard(rules, {"ETH/BTC": ("ETH", "BTC")})
