"""Queues of the kernel: compiled rankings are those of Python, changes are taken up."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import MARKETS, has, venue

from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.cython_ext.ranks import CANDIDATE, PRICE, RANKINGS, Ranks
from flashwick.engine.exchange import Exchange
from flashwick.margin import adl
from flashwick.margin.adl import Candidates

ATOM, SUI = MARKETS[3:]


def crowd(seed: int, people: int = 60) -> Exchange:
    """Accounts with long or short positions in two perpetuals, some in hedge mode."""
    rng = np.random.default_rng(seed)
    exchange = venue()
    ledger = exchange.ledger
    other = has(exchange, {"USDT": 1e8})
    for _ in range(people):
        account = has(exchange, {"USDT": float(rng.integers(0, 3_000))})
        ledger.set_hedge(account, bool(rng.integers(0, 3) == 0))
        for name, price in ((ATOM, 4.0), (SUI, 2.0)):
            market = exchange.market_number[name]
            for lots in rng.integers(-90_000, 90_000, int(rng.integers(0, 3))):
                ticks = round(price * rng.uniform(0.6, 1.4) / exchange.tick[market])
                both = [int(lots), -int(lots)]
                ledger.open_positions(market, [account, other], both, ticks)
    exchange.reprice({"ATOM": 3.1, "SUI": 2.2})
    return exchange


def in_python(name: str) -> Callable[[np.ndarray, int, float], np.ndarray]:
    """A ranking of `adl` as the kernel asks for one that it has not."""
    ranking = getattr(adl, name)

    def asked(rows: np.ndarray, side: int, mark: float) -> np.ndarray:
        columns: dict[str, Any] = {one: rows[one] for one in CANDIDATE.names}
        found: np.ndarray = ranking(Candidates(side=side, mark=mark, **columns))
        return found

    return asked


def queues(ranks: Ranks, exchange: Exchange) -> list[list[Any]]:
    """All queues, whole."""
    keys = [(exchange.market_number[m], side) for m in (ATOM, SUI) for side in (1, -1)]
    return [ranks.first(*key, 1_000).tolist() for key in keys]


@pytest.mark.parametrize("ranking", RANKINGS)
@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(st.integers(0, 59), st.integers(0, 59), st.integers(1, 10**11)),
        max_size=12,
    ),
)
@settings(max_examples=15, phases=UNTRACED)
def test_compiled_queue_is_the_one_of_python_and_the_one_made_anew(
    ranking: str, seed: int, moves: list[tuple[int, int, int]]
) -> None:
    """To the last bit of every column, after transfers among those who stand in it."""
    exchange = crowd(seed)
    rows = exchange.liquidator.forced.price_rows(PRICE)
    ours = Ranks(exchange.risk, rows, ranking)
    theirs = Ranks(exchange.risk, rows, in_python(ranking))
    assert queues(ours, exchange) == queues(theirs, exchange)
    usdt, first = exchange.asset_number["USDT"], SYSTEM_ACCOUNTS + 1
    for source, target, atoms in moves:
        exchange.ledger.transfer(usdt, first + source, first + target, atoms)
        for ranks in (ours, theirs):
            ranks.changed([first + source, first + target, first + source])
        anew = queues(Ranks(exchange.risk, rows, ranking), exchange)
        assert queues(ours, exchange) == anew
        assert queues(theirs, exchange) == anew


def test_queue_stands_by_score_and_account() -> None:
    """Falling scores, equal ones by number; nobody of the other side, nobody twice."""
    exchange = crowd(3)
    market = exchange.market_number[ATOM]
    rows = exchange.liquidator.forced.price_rows(PRICE)
    for name in RANKINGS:
        found = Ranks(exchange.risk, rows, name).first(market, -1, 1_000)
        score = in_python(name)(found, -1, float(rows["mark"][market]))
        order = np.lexsort((found["account"], -score))
        assert (order == np.arange(len(found))).all()
    lots = exchange.ledger.positions_all()
    short = (lots["market"] == market) & (lots["lots"] < 0)
    expected = {*lots["account"][short].tolist()}
    assert sorted(expected) == sorted(found["account"].tolist())
    assert len(expected) > 10


def test_queue_takes_from_the_first_who_can_pay() -> None:
    """Who is looked at stays where it was; losers are left out."""
    exchange = crowd(4)
    market = exchange.market_number[ATOM]
    rows = exchange.liquidator.forced.price_rows(PRICE)
    ranks = Ranks(exchange.risk, rows, "leverage_pnl")
    whole = ranks.first(market, -1, 1_000)
    one, two, three = whole[:3].tolist()
    wanted = two[1] + 1
    taken = ranks.queue(market, -1, wanted, {one[0]}, 0.0, 1.0)
    assert [row[:2] for row in taken] == [two[:2], (three[0], 1)]
    assert (ranks.first(market, -1, 1_000) == whole).all()
    # At a dollar a lot nobody closes more lots than it has dollars.
    dear = ranks.queue(market, -1, 10**9, (), 1.0, 1.0)
    equity = dict(zip(whole["account"].tolist(), whole["equity"].tolist(), strict=True))
    assert all(lots <= equity[account] for account, lots, _ in dear)
    assert len(dear) > 5


def test_prices_of_other_markets_are_refused() -> None:
    """A row for each market, no more and no less."""
    exchange = crowd(5, people=3)
    with pytest.raises(ValueError, match="'prices' must hold 5 rows"):
        Ranks(exchange.risk, np.zeros(4, PRICE), "by_account")
