"""Who is deleveraged: the ranking over arrays against one that can be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import MARKETS, has, quote, venue

from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.engine.exchange import Exchange
from flashwick.margin import candidates, deleveraging
from flashwick.margin.adl import (
    ALLOCATIONS,
    PRICES,
    RANKINGS,
    Candidates,
    Policy,
    allocate,
)
from flashwick.margin.candidates import MOST, Given, Standings
from flashwick.margin.forced import Forced
from flashwick.margin.holdings import Held

ATOM, SUI = MARKETS[3:]
STEPS = ["cancel_orders", "reduce_positions", "adl", "insurance_fund", "claim"]


# -- WHAT CAN BE READ


def candidate(
    forced: Forced, account: int, held: Held, cost: float
) -> dict[str, float]:
    """One candidate; ``cost`` is what a lot at the price costs it against mark, USD."""
    exchange, value = forced.venue, forced.venue.risk.account(account)
    market, side = held.market, 1 if held.lots > 0 else -1
    lots, unrealised = abs(held.lots), 0.0
    for other in forced.positions(account):
        unrealised += forced.profit(other)
    lot = float(exchange.lot[market]) * forced.index(int(exchange.quote[market]))
    share, equity = 0.0, value["equity"]
    if value["maintenance"] > 0:
        share = min(forced.maintenance(market, lots) / value["maintenance"], 1.0)
    ticks = held.cost / (held.lots * float(exchange.specs[market].quote_unit))
    affordable = lots
    if cost > 0:
        affordable = int(min(float(lots), max(equity, 0.0) * MOST / cost))
    return {
        "account": account,
        "lots": affordable,
        "notional": lots * (float(exchange.lot[market]) * forced.price(market)),
        "entry": ticks * float(exchange.tick[market]),
        "bankruptcy": forced.price(market) - side * (share * equity / (lots * lot)),
        "pnl": forced.profit(held),
        "equity": equity,
        "wallet": equity - unrealised,
        "maintenance": value["maintenance"],
    }


def everyone(
    forced: Forced, losers: set[int], market: int, side: int, ticks: int
) -> Candidates:
    """All who hold a position of a side but the losers: account by account."""
    exchange, found = forced.venue, []
    worse = forced.price(market) - ticks * float(exchange.tick[market])
    quote = forced.index(int(exchange.quote[market]))
    cost = side * worse * float(exchange.lot[market]) * quote
    for other in range(SYSTEM_ACCOUNTS, exchange.ledger.n_accounts):
        found += [
            candidate(forced, other, held, cost)
            for held in forced.positions(other)
            if held.market == market and held.lots * side > 0 and other not in losers
        ]
    columns = {
        name: np.array([row[name] for row in found]) for name in candidates.COLUMNS
    }
    for name in ("account", "lots"):
        columns[name] = columns[name].astype(np.int64)
    return Candidates(side=side, mark=forced.price(market), **columns)


@contextmanager
def compared() -> Iterator[list[int]]:
    """Every allocation is held against one among everyone; their sizes."""
    quick, sizes = Standings.allocate, []

    def both(
        self: Standings,
        market: int,
        side: int,
        required: int,
        losers: set[int],
        ticks: int,
    ) -> list[Given]:
        who = everyone(self.forced, losers, market, side, ticks)
        taken = allocate(required, who, self.policy).tolist()
        pairs = zip(who.account.tolist(), taken, strict=True)
        found = quick(self, market, side, required, losers, ticks)
        assert [one[:2] for one in found] == [pair for pair in pairs if pair[1]]
        gains = dict(zip(who.account.tolist(), (who.pnl > 0).tolist(), strict=True))
        assert all(one.gains == gains[one.account] for one in found)
        sizes.append(len(found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Standings, "allocate", both)
        yield sizes


# -- A CROWD


def crowd(people: list[dict[str, Any]], **how: Any) -> Exchange:
    """A venue where these hold positions in two perpetuals, some in hedge mode."""
    exchange = venue(steps=STEPS, **how)
    ledger = exchange.ledger
    other = has(exchange, {"USDT": 1e8})
    for person in people:
        account = has(exchange, {"USDT": person["usd"]})
        ledger.set_hedge(account, person["hedged"])
        for name, legs in ((ATOM, person["atom"]), (SUI, person["sui"])):
            market = exchange.market_number[name]
            for qty, price in legs:
                lots = round(qty / exchange.lot[market])
                ticks = round(price / exchange.tick[market])
                ledger.open_positions(market, [account, other], [lots, -lots], ticks)
    return exchange


def legs(price: float) -> st.SearchStrategy[list[tuple[int, float]]]:
    """One or two trades around a price."""
    qty = st.integers(-2_000, 2_000).filter(bool)
    prices = st.integers(70, 130).map(lambda share: price * share / 100)
    return st.lists(st.tuples(qty, prices), max_size=2)


person = st.fixed_dictionaries(
    {
        "usd": st.integers(50, 4_000),
        "hedged": st.booleans(),
        "atom": legs(4.0),
        "sui": legs(2.0),
    }
)
policies = st.fixed_dictionaries(
    {
        "trigger": st.just("equity_negative"),
        "ranking": st.sampled_from(sorted(RANKINGS)),
        "allocation": st.sampled_from(sorted(ALLOCATIONS)),
        "price": st.sampled_from(sorted(PRICES)),
    }
)


@given(
    st.lists(person, min_size=3, max_size=40),
    policies,
    st.lists(st.sampled_from([2.5, 3.4, 4.6, 6.0]), min_size=1, max_size=3),
    st.integers(0, 1_000),
    st.booleans(),
)
@settings(max_examples=100, phases=UNTRACED)
def test_ranking_over_arrays_takes_whom_the_readable_one_takes(
    people: list[dict[str, Any]],
    policy: dict[str, Any],
    prices: list[float],
    start: int,
    bids: bool,
) -> None:
    """All policies, both sides, hedge mode, to the lot, while others are liquidated."""
    exchange = crowd(people, rules={"adl": policy}, slice=1.0)
    if bids:  # forced sales change who stands where
        quote(exchange, ATOM, "buy", (2.0, 700), (1.9, 500))
        quote(exchange, ATOM, "sell", (6.5, 700), (7.0, 500))
    exchange.liquidator.deleveraging.draw = lambda n: start % n
    with compared():
        for price in prices:
            exchange.reprice({"ATOM": price, "SUI": 0.5 * price})
            for _ in range(2):
                exchange.now += 1_000_000_000
                exchange.liquidate()
                exchange._check()


def mass(**adl: Any) -> Exchange:
    """100 longs that fall at once, and 300 shorts of many sizes and entries."""
    rng = np.random.default_rng(5)
    people = [
        {"usd": 100, "hedged": False, "atom": [(1_000, 4.0)], "sui": []}
        for _ in range(100)
    ]
    people += [
        {
            "usd": int(rng.integers(100, 9_000)),
            "hedged": bool(rng.integers(0, 2)),
            "atom": [(-int(rng.integers(1, 700)), rng.uniform(3.5, 4.5))],
            "sui": [(int(rng.integers(1, 90)), 2.0)],
        }
        for _ in range(300)
    ]
    return crowd(people, rules={"adl": {"trigger": "equity_negative"} | adl})


@pytest.mark.parametrize("ranking", sorted(RANKINGS))
@pytest.mark.parametrize("allocation", ["queue", "random"])
def test_mass_liquidation_is_ranked_as_one_by_one(
    ranking: str, allocation: str
) -> None:
    """100 liquidations among 300 candidates, each against the readable ranking."""
    exchange = mass(ranking=ranking, allocation=allocation)
    exchange.liquidator.deleveraging.draw = lambda n: 13 % n
    exchange.reprice({"ATOM": 3.7})
    with compared() as sizes:
        exchange.liquidate()
    assert len(sizes) >= 100
    assert sum(sizes) > 170


def test_candidates_are_looked_up_once_in_a_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And again only those that were taken from: 100 liquidations are no 100 looks."""
    exchange = mass()
    exchange.reprice({"ATOM": 3.7})
    made: list[Standings] = []

    class Noted(Standings):
        def __init__(self, forced: Forced, policy: Policy) -> None:
            super().__init__(forced, policy)
            made.append(self)

    monkeypatch.setattr(deleveraging, "Standings", Noted)
    exchange.liquidate()
    deleveraged = sum(1 for _ in exchange.log.single("adl"))
    (standings,) = made
    # Once to rank, once to take of, and anew each that was taken from.
    assert 300 < standings.ranks.measured < 400 + 4 * deleveraged
    assert 100 < deleveraged < 700


def test_who_bears_a_loss_is_ranked_and_known_by_what_is_left() -> None:
    """Many who pay at once: the queue takes them up, and no holding is remembered."""
    exchange = mass()
    exchange.reprice({"ATOM": 3.7})
    forced, ledger = exchange.liquidator.forced, exchange.ledger
    usdt, market = exchange.asset_number["USDT"], exchange.market_number[ATOM]
    payers = np.flatnonzero(ledger.lots(market) < 0)[::2]
    with forced.cycle():
        policy = Policy.of(exchange.rules.adl)
        standings = Standings(forced, policy)
        standings.allocate(market, -1, 1, {SYSTEM_ACCOUNTS}, 1)
        before = forced.coins(int(payers[0]))
        ticks = forced.bankruptcy_ticks(int(payers[0]), market, -1)
        owns = ledger.amounts(usdt)[payers]
        forced.transfer_many(usdt, payers, SYSTEM_ACCOUNTS, owns * 9 // 10)
        assert forced.coins(int(payers[0])) != before
        assert forced.bankruptcy_ticks(int(payers[0]), market, -1) < ticks
        with compared() as sizes:
            mark = forced.mark_ticks(market)
            taken = standings.allocate(market, -1, 60_000, {SYSTEM_ACCOUNTS}, mark)
    assert sizes == [len(taken)]
    assert taken


# -- HEDGE MODE


def test_account_in_hedge_mode_is_deleveraged_on_the_right_leg() -> None:
    """Its legs net to nothing; the short one closes, and the long one stays."""
    exchange = crowd(
        [
            {"usd": 150, "hedged": False, "atom": [(1_000, 4.0)], "sui": []},
            {
                "usd": 900,
                "hedged": True,
                "atom": [(1_000, 3.0), (-1_000, 5.0)],
                "sui": [],
            },
        ],
        rules={"adl": {"trigger": "equity_negative"}},
    )
    loser, hedger = 6, 7
    exchange.reprice({"ATOM": 3.7})
    assert exchange.account(hedger).legs == {ATOM: (1_000.0, -1_000.0)}
    exchange.liquidate()
    (event,) = exchange.log.single("adl")
    assert (event.account, event.counterparty) == (loser, hedger)
    assert exchange.account(hedger).legs == {ATOM: (1_000.0, 0.0)}
    exchange._check()


def test_no_account_is_deleveraged_against_itself() -> None:
    """Its own short leg is no candidate for its long one."""
    exchange = crowd(
        [
            {
                "usd": 100,
                "hedged": True,
                "atom": [(2_000, 4.0), (-1_000, 3.99)],
                "sui": [],
            }
        ],
        rules={"adl": {"trigger": "equity_negative"}},
    )
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    (event,) = exchange.log.single("adl")
    assert (event.account, event.counterparty) == (6, 5)
    # Account 5 has no more than what the two legs differ by; the fund takes the rest.
    number = exchange.market_number[ATOM]
    assert event.qty * exchange.lot[number] == 1_000.0
    taken = [e.qty * exchange.lot[number] for e in exchange.log.single("takeover")]
    assert taken == [1_000.0, 1_000.0]
    exchange._check()
