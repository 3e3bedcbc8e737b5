"""Auto-deleveraging by itself: who, how much of each, at what price, and when."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.adl import (
    ALLOCATIONS,
    PRICES,
    RANKINGS,
    Candidates,
    Drawdown,
    Policy,
    allocate,
    due,
    quantiles,
)
from flashwick.margin.parameters import Adl


def people(lots: list[int], **columns: Any) -> Candidates:
    """Candidates with so many lots each; numbered from 10, alike but for columns."""
    n = len(lots)
    alike = {
        "notional": [100.0] * n,
        "entry": [1.0] * n,
        "bankruptcy": [0.5] * n,
        "pnl": [1.0] * n,
        "equity": [50.0] * n,
        "wallet": [40.0] * n,
        "maintenance": [5.0] * n,
    } | columns
    return Candidates(
        side=alike.pop("side", 1),
        mark=alike.pop("mark", 1.0),
        account=np.array(alike.pop("account", range(10, 10 + n)), np.int64),
        lots=np.array(lots, np.int64),
        **{name: np.array(column, np.float64) for name, column in alike.items()},
    )


def rules(**values: Any) -> Adl:
    """Rules of deleveraging; what is not given does not matter."""
    usual = {
        "trigger": "fund_negative",
        "drawdown": 0.3,
        "window_s": 8 * 3600.0,
        "ranking": "binance",
        "allocation": "queue",
        "price": "bankruptcy",
        "cancels_orders": True,
    }
    return Adl(**(usual | values))


# -- HOW MUCH OF EACH


def test_queue_takes_all_of_the_first_before_any_of_the_next() -> None:
    """By score, whatever order the candidates come in."""
    who = people([4, 5, 6], pnl=[1.0, 3.0, 2.0])
    assert allocate(8, who, Policy("binance")).tolist() == [0, 5, 3]
    assert allocate(13, who, Policy("binance")).tolist() == [2, 5, 6]


def test_candidates_of_equal_score_come_by_account_number() -> None:
    """Also where their rows do not."""
    who = people([4, 4, 4], account=[30, 10, 20])
    assert allocate(6, who, Policy("binance")).tolist() == [0, 4, 2]


def test_what_is_not_there_cannot_be_taken() -> None:
    """Everything, and no error, if more is required than all have."""
    for word in ALLOCATIONS:
        who = people([4, 5, 6])
        assert allocate(99, who, Policy("binance", word)).tolist() == [4, 5, 6]
        assert allocate(5, people([]), Policy("binance", word)).tolist() == []


def test_pro_rata_weighs_contracts_profit_or_equity() -> None:
    """Of ten lots, with a cap that one runs into."""
    who = people([20, 20, 3], pnl=[6.0, 3.0, 1.0], equity=[10.0, 10.0, 80.0])
    taken = {
        word: allocate(10, who, Policy("binance", word)).tolist()
        for word in ("contracts_pro_rata", "pnl_pro_rata", "equity_pro_rata")
    }
    assert taken == {
        "contracts_pro_rata": [5, 4, 1],
        "pnl_pro_rata": [6, 3, 1],
        "equity_pro_rata": [4, 3, 3],
    }


def test_losers_come_in_only_when_all_winners_are_used_up() -> None:
    """Pro rata of profit, of those that have one."""
    who = people([5, 5, 5], pnl=[2.0, -1.0, 1.0])
    policy = Policy("binance", "pnl_pro_rata")
    assert allocate(6, who, policy).tolist() == [4, 0, 2]
    assert allocate(12, who, policy).tolist() == [5, 2, 5]


def test_random_allocation_goes_round_from_where_the_draw_says() -> None:
    """In the order of account numbers, as dYdX does; the same draw, the same answer."""
    who = people([2, 2, 2, 2])
    for start, expected in ((0, [2, 2, 1, 0]), (2, [1, 0, 2, 2]), (3, [2, 1, 0, 2])):
        policy = Policy("dydx", "random", draw=lambda n, start=start: start % n)
        assert allocate(5, who, policy).tolist() == expected


def test_ftx_takes_ten_largest_positions_before_others() -> None:
    """Pro rata to size among the ten; the eleventh gives what is left."""
    sizes = list(range(10, 120, 10))
    who = people(sizes, notional=[float(n) for n in sizes])
    policy = Policy.of(rules(ranking="ftx", allocation="contracts_pro_rata"))
    taken = allocate(65, who, policy).tolist()
    assert taken == [0, *[n // 10 for n in sizes[1:]]]
    assert allocate(655, who, policy).tolist() == [5, *sizes[1:]]


def test_own_function_goes_where_a_name_goes() -> None:
    """A ranking, an allocation and a price of the user's."""
    policy = Policy(
        ranking=lambda who: -who.notional,
        allocation=lambda required, who, draw: [min(required, 1)] * len(who),
        price=lambda mark, bankrupt: (mark - 1, mark + 1),
    )
    who = people([9, 9], notional=[5.0, 4.0])
    assert allocate(5, who, policy).tolist() == [1, 1]
    assert policy.price(10, 5) == (9, 11)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("binanse",), "'binance'"),
        (("binance", "que"), "'queue'"),
        (("binance", "queue", "marks"), "'mark'"),
    ],
)
def test_unknown_word_is_told_with_the_nearest(words: tuple[str], near: str) -> None:
    """Of each of the three tables."""
    with pytest.raises(ValueError, match=f"must be one of .*did you mean {near}"):
        Policy(*words)


lots = st.lists(st.integers(0, 10**12), max_size=8)


@given(lots, st.integers(0, 10**13), st.sampled_from(sorted(ALLOCATIONS)), st.data())
@settings(max_examples=200, phases=UNTRACED)
def test_allocation_is_exact_and_takes_no_more_than_a_position(
    sizes: list[int], required: int, word: str, data: st.DataObject
) -> None:
    """Each from 0 to its lots, the sum to the last lot, for every ranking."""
    n = len(sizes)
    dollars = st.lists(st.floats(-1e9, 1e9), min_size=n, max_size=n)
    columns = {
        name: data.draw(dollars)
        for name in ("pnl", "equity", "wallet", "maintenance", "bankruptcy")
    }
    columns["side"] = data.draw(st.sampled_from([-1, 1]))
    ranking = data.draw(st.sampled_from(sorted(RANKINGS)))
    tranche = data.draw(st.sampled_from([None, 1, 3]))
    policy = Policy(ranking, word, tranche=tranche)
    taken = allocate(required, people(sizes, **columns), policy).tolist()
    assert all(0 <= part <= lots for part, lots in zip(taken, sizes, strict=True))
    assert sum(taken) == min(required, sum(sizes))


# -- IN WHICH ORDER


def test_rankings_put_profit_and_leverage_before_their_lack() -> None:
    """All but the ones that look at neither."""
    who = people(
        [1, 1, 1],
        mark=1.0,
        entry=[0.5, 0.9, 0.5],
        bankruptcy=[0.8, 0.8, 0.1],
        pnl=[50.0, 10.0, 50.0],
        equity=[60.0, 60.0, 900.0],
        wallet=[10.0, 50.0, 850.0],
        maintenance=[5.0, 5.0, 5.0],
    )
    for word in ("binance", "bitmex", "bybit", "okx", "hyperliquid"):
        assert np.argmax(RANKINGS[word](who)) == 0, word


@pytest.mark.parametrize("word", ["bitmex", "okx", "hyperliquid"])
def test_ranking_of_a_short_mirrors_that_of_a_long(word: str) -> None:
    """A short that gained is before one that lost."""
    who = people([1, 1], side=-1, entry=[2.0, 0.5], bankruptcy=[1.5, 1.5])
    first, second = RANKINGS[word](who)
    assert first > second


def test_bitmex_family_multiplies_gains_and_divides_losses_by_leverage() -> None:
    """At a mark of 1: half gained at five times, a fifth lost at five times."""
    who = people([1, 1], entry=[0.5, 1.25], bankruptcy=[0.8, 0.8])
    assert RANKINGS["bitmex"](who) == pytest.approx([1.0 * 5.0, -0.2 / 5.0])


def test_account_that_owes_has_no_score_in_the_binance_rule() -> None:
    """The margin ratio is 0 if its denominator is not above 0; a wallet counts as 1."""
    who = people([1, 1], equity=[-3.0, 10.0], wallet=[0.2, 0.2], pnl=[4.0, 4.0])
    assert RANKINGS["binance"](who) == pytest.approx([0.0, 4.0 * 0.5])


def test_quantile_is_rank_over_number() -> None:
    """The best has 1, the last one over the number."""
    scores = np.array([5.0, 1.0, 3.0, 4.0])
    assert quantiles(scores).tolist() == [1.0, 0.25, 0.5, 0.75]


# -- AT WHAT PRICE


def test_prices_of_the_liquidated_and_of_the_other_side() -> None:
    """Mark 100: near, far below and above it."""
    found = {word: [PRICES[word](100, zero) for zero in (98, 70)] for word in PRICES}
    assert found == {
        "bankruptcy": [(98, 98), (70, 70)],
        "bankruptcy_near_mark": [(98, 98), (100, 100)],
        "mark": [(100, 100), (100, 100)],
        "zero_price_mix": [(98, 99), (70, 80)],
    }
    assert PRICES["zero_price_mix"](1, 1) == (1, 1)


# -- WHEN


def test_fund_that_cannot_bear_the_loss_is_a_trigger() -> None:
    """Not one that has just enough."""
    given = {"drawdown": 0.0, "equity": -5.0}
    for word in ("fund_negative", "fund_drawdown"):
        assert due(rules(trigger=word), fund_after=-1, **given)
        assert not due(rules(trigger=word), fund_after=0, **given)


def test_equity_below_zero_is_a_trigger_whatever_the_fund_has() -> None:
    """And the only one where the rules say so."""
    only = rules(trigger="equity_negative")
    assert due(only, fund_after=10**9, drawdown=0.0, equity=-0.01)
    assert not due(only, fund_after=-1, drawdown=1.0, equity=0.0)


def test_drawdown_is_from_the_peak_of_the_window() -> None:
    """A peak that is older than the window no longer counts."""
    fund = Drawdown(window=10)
    seen = [
        fund.see(now, usd)
        for now, usd in ((0, 80.0), (2, 100.0), (5, 60.0), (12, 70.0), (13, 35.0))
    ]
    assert seen == pytest.approx([0.0, 0.0, 0.4, 0.3, 0.5])
    assert fund.see(30, -5.0) == 0.0  # nothing is left of a fund that has nothing


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0.1, 1e6)), min_size=1),
    st.integers(0, 12),
)
@settings(max_examples=100, phases=UNTRACED)
def test_drawdown_equals_the_maximum_over_the_window(
    steps: list[tuple[int, float]], window: int
) -> None:
    """The queue of peaks forgets nothing that still counts."""
    fund, now, history = Drawdown(window), 0, []
    for wait, usd in steps:
        now += wait
        history.append((now, usd))
        peak = max(value for time, value in history if time >= now - window)
        assert fund.see(now, usd) == (peak - usd) / peak
