"""The simulation: its clock, its shocks, and its switches."""

from pathlib import Path

import numpy as np
import pytest

import flashwick as fw
from flashwick.cython_ext.ledger import INSURANCE
from flashwick.engine.simulation import SECOND, World

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"
SWITCHES = {
    # variation: class of participants that it takes away
    "no-makers": "market_makers",
    "no-traders": "traders",
    "no-holders": "holders",
    "no-whales": "whales",
    "no-liquidation-bots": "liquidation_bots",
    "no-stale-bids": "stale_bids",
    "no-hunters": "bargain_hunters",
    "no-arbitrage": "arbitrage",
    "no-cross-arbitrage": "cross_arbitrage",
    "no-background": "background",
}


@pytest.fixture(scope="module")
def small() -> fw.Scenario:
    """The small crash."""
    return fw.load(SMALL)


@pytest.fixture(scope="module")
def run(small: fw.Scenario) -> fw.Run:
    """Its run with seed 0."""
    return small.run(seed=0)


# -- THE CLOCK


def test_moments_come_by_time_then_priority_then_order(small: fw.Scenario) -> None:
    """Whatever order they were scheduled in."""
    world = World(small, seed=0)
    world._heap.clear()
    seen: list[tuple[str, int]] = []

    def note(name: str, time: int, priority: int) -> None:
        world.schedule(time, priority, lambda now: seen.append((name, now)))

    note("late", 2 * SECOND, 0)
    note("second", SECOND, 1)
    note("first", SECOND, 0)
    note("third", SECOND, 1)
    note("never", 41 * SECOND, 0)
    world.run()
    assert seen == [
        ("first", SECOND),
        ("second", SECOND),
        ("third", SECOND),
        ("late", 2 * SECOND),
    ]


def test_messages_reach_the_books_before_what_is_scheduled_later(
    run: fw.Run,
) -> None:
    """Ids are in the order of events, and time never runs back by a moment."""
    ids, messages, _ = run.log.messages()
    assert (np.diff(ids) > 0).all()
    assert (np.diff(messages["time"]) >= 0).all()
    singles = list(run.log.single())
    for event in singles:
        earlier = messages["time"][ids < event.id]
        assert not len(earlier) or earlier[-1] <= event.time
        assert event.cause < event.id
    # One kind of event after the other at one moment, samples at every second.
    assert (np.diff(run.series.time) >= 0).all()
    assert run.series.time[[0, -1]].tolist() == [0, 40 * SECOND]


def test_progress_is_told_and_ends_at_one(small: fw.Scenario) -> None:
    """Share of the duration and simulated seconds, never backwards."""
    told: list[tuple[float, float]] = []
    small.run(on_progress=lambda *now: told.append(now))
    assert told == sorted(told)
    assert told[0] == (0.0, 0.0)
    assert told[-1] == (1.0, 40.0)
    assert all(seconds == pytest.approx(40.0 * share) for share, seconds in told)


# -- SHOCKS


def test_every_shock_strikes_at_its_time_and_says_what_it_is(run: fw.Run) -> None:
    """In words where the file has none."""
    found = [(event.time / SECOND, event.text) for event in run.log.single("shock")]
    assert found == [
        (5, "transfers cut"),
        (6, "sell 1,300,000 USD of WBETH/USDT at market"),
        (6, "sell 1,300,000 USD of WBETH/ETH at market"),
        (15, "outside price of ETH moves -4.0%"),
        (18, "gateway serves 5 messages a second"),
        (22, "gateway serves 20,000 messages a second"),
        (25, "transfers opened"),
        (27, "outside price of ATOM moves along a path to +0.0% after 12 s"),
        (28, "sell 60,000 USD of 2 markets at market"),
        (
            30,
            (
                "gateway takes 5 times as long, refuses 30% of orders, for holders, "
                "background"
            ),
        ),
    ]


def test_shock_orders_add_up_and_name_their_shock(run: fw.Run) -> None:
    """Sixteen slices over eight seconds, together the dollars of the shock."""
    _, messages, results = run.log.messages()
    group = run.names.classes.index("shocks")
    accounts = np.flatnonzero(run.names.account_class == group)
    assert len(accounts) == 3
    shocks = [e for e in run.log.single("shock") if e.text.startswith("sell 1")]
    for account, shock in zip(accounts.tolist(), shocks, strict=False):
        own = messages["account"] == account
        assert own.sum() == 16
        assert (messages["cause"][own] == shock.id).all()
        lots = int(messages["qty"][own].sum())
        usd = lots * run.names.lot[shock.market] * 4_300
        assert usd == pytest.approx(1_300_000, rel=0.02)
        assert np.ptp(messages["qty"][own]) <= 1
        assert (results["open"][own] == 0).all()
    # What they sold in dollars is what the venue calls exogenous.
    exogenous = run.prints.usd[np.isin(run.prints.taker, accounts)].sum()
    assert run.series.exogenous_usd[-1] == pytest.approx(exogenous, rel=0.02)


def test_outside_price_jumps_with_what_follows_it(run: fw.Run) -> None:
    """Ether by 4 %, its staked coin with it, the others not."""
    eth, wbeth, atom = map(run.names.assets.index, ("ETH", "WBETH", "ATOM"))
    at = {second: i for i, second in enumerate((run.series.time // SECOND).tolist())}
    jump = run.series.outside[at[15]] / run.series.outside[at[14]] - 1.0
    assert jump[[eth, wbeth]] == pytest.approx([-0.04, -0.04], abs=0.002)
    assert abs(jump[atom]) < 0.01
    (event,) = [e for e in run.log.single("shock") if "price of ETH" in e.text]
    repriced = [e for e in run.log.single("index") if e.cause == event.id]
    assert run.names.assets[repriced[0].asset] == "ETH"


def test_outside_price_of_a_follower_can_be_shocked_alone() -> None:
    """A staked coin that loses its peg outside leaves the coin it follows alone."""
    changes = {"shocks.3.asset": "WBETH", "shocks.3.move": -0.2}
    series = fw.load(SMALL).vary(changes).run(seed=0).series
    jump = series.outside[15] / series.outside[14] - 1.0
    wanted = {"ETH": 0.0, "WBETH": -0.2, "ATOM": 0.0, "USDT": 0.0}
    found = dict(zip(fw.load(SMALL).config.assets, jump.tolist(), strict=True))
    assert found == pytest.approx(wanted, abs=0.002)


def test_transfers_and_gateway_obey_the_timeline(run: fw.Run) -> None:
    """Cut from 5 to 25; slow from 18 to 22, so that a queue forms and drains."""
    seconds = run.series.time / SECOND
    cut = (seconds >= 5) & (seconds < 25)
    assert (run.series.transfers_open == ~cut).all()
    slow = (seconds > 19) & (seconds < 22)
    assert (run.series.gateway_delay[slow] > 1.0).all()
    assert (run.series.gateway_delay[seconds > 30] < 0.1).all()
    _, messages, _ = run.log.messages()
    forced = messages["flags"] > 0
    times = messages["time"][~forced] / SECOND
    assert 18 <= ((times > 18) & (times <= 22)).sum() <= 20  # five a second


# -- SWITCHES


def test_every_kind_of_participant_takes_part(run: fw.Run) -> None:
    """Or the switches would show nothing: each trades, as taker or as maker."""
    groups = run.names.account_class
    seen = {*groups[run.prints.taker].tolist(), *groups[run.prints.maker].tolist()}
    names = {run.names.classes[number] for number in seen}
    assert names >= {*SWITCHES.values(), "shocks"}
    kinds = {event.kind for event in run.log.single()}
    assert kinds >= {"withdrawal", "breach", "liquidation", "takeover", "decision"}


@pytest.mark.parametrize("variation", SWITCHES)
def test_participant_can_be_switched_off(variation: str, small: fw.Scenario) -> None:
    """The scenario runs without it, and the books are sound at the end."""
    world = World(small.variation(variation), seed=0)
    world.run()
    world.exchange._check()
    assert not world.exchange.ledger.totals().any()
    names = world.names()
    assert SWITCHES[variation] not in names.classes
    assert "shocks" in names.classes
    assert world.exchange.books.trades > 0
    accounts = {class_ for class_ in names.classes if class_ != "venue"}
    assert accounts >= set(SWITCHES.values()) - {SWITCHES[variation]}


def test_makers_that_do_not_withdraw_keep_quoting(small: fw.Scenario) -> None:
    """Until they are liquidated."""
    run = small.variation("no-withdrawal").run()
    assert list(run.log.single("withdrawal")) == []
    liquidated = {event.account for event in run.log.single("breach")}
    for k, account in enumerate(run.series.maker_accounts.tolist()):
        quoting = run.series.maker_quoting[:, k]
        assert (quoting == 1.0).all() or account in liquidated


def test_everything_off_is_still_a_scenario(small: fw.Scenario) -> None:
    """Only the shocks are left, and they find nobody."""
    changes = {f"{name}.*.enabled": False for name in SWITCHES.values()}
    run = small.vary(changes).run()
    assert len(run.prints.time) == 0
    assert run.outcome["conserved"] == 1.0
    assert len(run.series.maker_accounts) == 0


# -- THE BEGINNING


def test_everyone_starts_healthy_and_longs_have_their_shorts(
    small: fw.Scenario,
) -> None:
    """Nobody is below the warning; the fund has what the file says."""
    world = World(small, seed=0)
    exchange = world.exchange
    assert (exchange.risk.revalue()["health"] > exchange.rules.thresholds.warn).all()
    assert exchange.insurance_fund == pytest.approx(2_000)
    for market, name in enumerate(exchange.markets):
        lots = exchange.ledger.lots(market)
        assert lots.sum() == 0
        assert (np.abs(lots).sum() > 0) == name.endswith(":PERP")
    assert exchange.account(INSURANCE).positions == {}
    exchange._check()


# -- SETTLEMENT


def settled(small: fw.Scenario, kind: str, changes: dict[str, object]) -> list[float]:
    """Times in seconds of one kind of settlement in a run."""
    run = small.vary(changes).run(seed=0)
    return [event.time / SECOND for event in run.log.single(kind)]


def test_funding_is_settled_at_its_hours_by_the_clock(small: fw.Scenario) -> None:
    """Every interval from midnight on, whenever the scenario begins."""
    interval = {"rules.funding.interval_s": 15}
    found = settled(small, "funding", interval)
    assert found
    assert set(found) == {15.0, 30.0}
    found = settled(small, "funding", interval | {"start": 70})
    assert set(found) == {5.0, 20.0, 35.0}
    assert set(settled(small, "funding", {"start": 8 * 3600 - 7})) == {7.0}


def test_interest_is_charged_at_midnight(small: fw.Scenario) -> None:
    """On what is borrowed beyond the threshold; never in a run that ends before."""
    free = {"rules.interest.threshold_usd": 0}
    assert settled(small, "interest", free) == []
    found = settled(small, "interest", free | {"start": 86_400 - 12})
    assert found
    assert set(found) == {12.0}


def test_funding_takes_the_prices_of_its_own_moment(small: fw.Scenario) -> None:
    """What is paid is the rate times the notional at the mark of that second."""
    world = World(small.vary({"rules.funding.interval_s": 15}), seed=0)
    exchange, seen = world.exchange, []
    settle = exchange.settle_funding

    def watched() -> float:
        seen.append((world.now, exchange.mark.copy(), exchange.prices.index.copy()))
        exchange.update_prices()
        assert np.array_equal(exchange.mark, seen[-1][1], equal_nan=True)
        return settle()

    exchange.settle_funding = watched  # type: ignore[method-assign]
    world.run()
    assert [now for now, _, _ in seen] == [15 * SECOND, 30 * SECOND]
    assert world.exchange.ledger.totals().any() == np.False_
