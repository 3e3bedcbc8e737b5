"""Shocks of a run: paths and flows, a degraded gateway, and who is blamed for what."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.simulation import SECOND, World
from flashwick.orderbook.orders import Flag, Kind, Reason

SMALL = fw.load(Path(__file__).parents[1] / "scenarios" / "small-crash.toml")
VOLUMES = {
    'markets."ETH/USDT:PERP".volume_usd': 2e6,
    'markets."ATOM/USDT".volume_usd': 1e6,
    'markets."ATOM/USDT:PERP".volume_usd': 1e6,
}
FLOW = {
    "at": 3,
    "kind": "flow",
    "markets": ["ETH/USDT:PERP", "ATOM/USDT", "ATOM/USDT:PERP"],
    "usd": 300_000,
    "profile": [[0, 0], [10, 1], [20, 0]],
    "slices": 10,
}


def run_of(*shocks: dict[str, Any], **changes: Any) -> fw.Run:
    """The small crash with these shocks in place of its own."""
    return SMALL.vary({"shocks": list(shocks)} | VOLUMES | changes).run(seed=0)


@pytest.mark.parametrize(
    ("way", "inward", "outward"),
    [("both", False, False), ("in", False, True), ("out", True, False)],
)
def test_deposits_and_withdrawals_are_cut_each_by_itself(
    way: str, inward: bool, outward: bool
) -> None:
    """What goes the other way goes on; a trade outside needs both ways."""
    shock = {"at": 0, "kind": "transfers", "open": False, "way": way}
    world = World(SMALL.vary({"shocks": [shock], "transfers.capacity_usd": 1e6}), 0)
    world.run()
    channel = world.channel
    assert (channel.take(1.0, world.now, "in") > 0) is inward
    assert (channel.take(1.0, world.now, "out") > 0) is outward
    assert channel.take(1.0, world.now) == 0
    assert not channel.open
    channel.open = True
    assert channel.take(1.0, world.now) == 1.0


def test_a_cut_says_which_way_it_is() -> None:
    """Withdrawals and deposits are told apart in the log; a third way is refused."""
    words = {"in": "deposits cut", "out": "withdrawals cut", "both": "transfers cut"}
    for way, text in words.items():
        shock = {"at": 1, "kind": "transfers", "open": False, "way": way}
        told = [e.text for e in run_of(shock, duration=2).log.single("shock")]
        assert text in told
    with pytest.raises(fw.ScenarioError, match=r"way: must be one of both, in, out"):
        run_of({"at": 1, "kind": "transfers", "open": False, "way": "up"})


def dollars(run: fw.Run, rows: np.ndarray) -> np.ndarray:
    """What orders are worth at the prices of the start."""
    assets = [SMALL.config.assets[name].price for name in run.names.assets]
    price = np.array(assets)[np.array(run.names.base)]
    return rows["qty"] * run.names.lot[rows["market"]] * price[rows["market"]]


def shock_accounts(run: fw.Run) -> np.ndarray:
    """Accounts of the shocks, one for each flow."""
    group = run.names.classes.index("shocks")
    return np.flatnonzero(run.names.account_class == group)


# -- PATHS


@pytest.fixture(scope="module")
def falling() -> fw.Run:
    """Ether falls by a fifth in ten seconds; ATOM follows, 2.6 times as strongly."""
    path = {"at": 5, "kind": "path", "asset": "ETH", "points": [[10, -0.2]]}
    follows = {"assets.ATOM.follows": "ETH", "assets.ATOM.beta": 2.6}
    return run_of(path, **follows)


def test_outside_price_follows_its_path(falling: fw.Run) -> None:
    """Second by second, but for its noise, and what follows it by its beta."""
    eth, atom = map(falling.names.assets.index, ("ETH", "ATOM"))
    found = falling.series.outside / falling.series.outside[0]
    for second, factor in ((5, 1.0), (6, 0.98), (10, 0.9), (15, 0.8), (40, 0.8)):
        row = found[falling.series.time.tolist().index(second * SECOND)]
        assert row[eth] == pytest.approx(factor, rel=0.003)
        assert row[atom] == pytest.approx(factor**2.6, rel=0.03)


def test_path_is_one_event_and_the_root_of_what_it_does(falling: fw.Run) -> None:
    """Of every repricing while it moves, of followers too, and of liquidations."""
    (event,) = falling.log.single("shock")
    assert event.text == "outside price of ETH moves along a path to -20.0% after 10 s"
    names = falling.names.assets
    repriced = {
        names[e.asset]
        for e in falling.log.single("index")
        if e.cause == event.id and e.time > 5 * SECOND
    }
    assert repriced >= {"ETH", "ATOM"}
    chains = [falling.log.chain(e.id) for e in falling.log.single("breach")]
    ether = names.index("ETH")
    by_ether = [c for c in chains if any(e.asset == ether for e in c[:-1])]
    assert len(by_ether) > 10
    for chain in by_ether:
        assert chain[-1].id == event.id


def test_asset_without_a_market_is_a_factor_that_others_follow() -> None:
    """It has no book, and no one holds it; it moves those that do by their betas."""
    changes = {
        "assets.FACTOR": {"price": 100.0},
        "assets.ATOM.follows": "FACTOR",
        "assets.ATOM.beta": 2.0,
    }
    run = run_of(
        {"at": 5, "kind": "outside", "asset": "FACTOR", "move": -0.1}, **changes
    )
    factor, atom = map(run.names.assets.index, ("FACTOR", "ATOM"))
    moved = run.series.outside[-1] / run.series.outside[4]
    assert moved[factor] == pytest.approx(0.9)
    assert moved[atom] == pytest.approx(0.81, rel=0.03)
    assert run.series.index[-1, factor] == pytest.approx(90.0)
    (shock,) = run.log.single("shock")
    causes = [e.cause for e in run.log.single("index") if e.asset == atom]
    assert shock.id in causes


# -- FLOWS


def test_flow_is_shared_out_by_volume_and_follows_its_profile() -> None:
    """Two quarters, one and one of the dollars, most of it in the middle."""
    run = run_of(FLOW)
    (account,) = shock_accounts(run).tolist()
    _, rows, _ = run.log.messages()
    own = rows[rows["account"] == account]
    usd = dollars(run, own)
    assert usd.sum() == pytest.approx(300_000, rel=1e-3)
    shares = np.bincount(own["market"], usd) / usd.sum()
    wanted = dict(zip(FLOW["markets"], (0.5, 0.25, 0.25), strict=True))
    found = {run.names.markets[m]: shares[m] for m in np.flatnonzero(shares)}
    assert found == pytest.approx(wanted, rel=1e-3)
    # A triangle over 20 s, in slices of 2 s: 1, 3, 5, 7, 9, 9, 7 ... fiftieths.
    times = own["time"] // SECOND
    parts = [usd[times == 3 + 2 * i].sum() / usd.sum() for i in range(10)]
    ends = [1, 3, 5, 7, 9]
    assert parts == pytest.approx([p / 50 for p in (*ends, *ends[::-1])], abs=1e-3)


def test_slices_of_a_flow_may_differ_in_size() -> None:
    """Some are many times others; what they are together, and where, stays."""
    even = FLOW | {"profile": [[0, 1], [20, 1]], "slices": 20}
    slices = []
    for dispersion in (0.0, 1.5):
        run = run_of(even | {"dispersion": dispersion})
        (account,) = shock_accounts(run).tolist()
        _, rows, _ = run.log.messages()
        own = rows[rows["account"] == account]
        usd = dollars(run, own)
        assert usd.sum() == pytest.approx(300_000, rel=1e-3)
        first = own["market"] == own["market"][0]
        assert usd[first].sum() == pytest.approx(150_000, rel=1e-3)
        slices.append(usd[first])
    assert slices[0].max() == pytest.approx(slices[0].min(), rel=0.01)
    assert slices[1].max() > 5.0 * np.median(slices[1])


def test_flow_is_one_event_one_account_and_exogenous() -> None:
    """Every order names the shock; what trades counts as what came from outside."""
    run = run_of(FLOW)
    (event,) = run.log.single("shock")
    assert event.text == "sell 300,000 USD of 3 markets at market"
    (account,) = shock_accounts(run).tolist()
    _, rows, _ = run.log.messages()
    assert set(rows["cause"][rows["account"] == account].tolist()) == {event.id}
    own = run.prints.taker == account
    found = run.measures()
    assert found["shock.0.prints"] == own.sum() > 0
    assert found["shock.0.markets"] == 3
    assert found["shock.0.usd"] == pytest.approx(run.prints.usd[own].sum())
    assert found["exogenous_usd"] == pytest.approx(found["shock.0.usd"], rel=0.02)
    for row in np.flatnonzero(own)[:5].tolist():
        chain = run.log.chain(int(run.prints.event[row]))
        assert chain[-1].id == event.id
    assert run.outcome["conserved"] == 1.0


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_flow_by_weights_over_a_time(side: str) -> None:
    """Evenly, each market its weight, with what it needs from the start."""
    flow = {
        "at": 2,
        "kind": "flow",
        "weights": {"WBETH/ETH": 3, "ATOM/USDT": 1, "ETH/USDT": 0},
        "side": side,
        "usd": 40_000,
        "over": 8,
        "slices": 4,
    }
    run = run_of(flow)
    (account,) = shock_accounts(run).tolist()
    _, rows, results = run.log.messages()
    own = np.flatnonzero(rows["account"] == account)
    own = own[np.lexsort((rows["market"][own], rows["time"][own]))]
    assert {run.names.markets[m] for m in rows["market"][own].tolist()} == {
        "WBETH/ETH",
        "ATOM/USDT",
    }
    assert (rows["time"][own] // SECOND).tolist() == [2, 2, 4, 4, 6, 6, 8, 8]
    assert dollars(run, rows[own]) == pytest.approx([7_500, 2_500] * 4, rel=1e-2)
    assert (results["filled"][own] > 0).any(), side
    assert not (results["reason"][own] == Reason.INSUFFICIENT_MARGIN).any()


def test_flow_and_order_are_measured_each_for_itself() -> None:
    """Whatever their order in the file."""
    order = {"at": 4, "kind": "order", "market": "WBETH/USDT", "usd": 50_000}
    jump = {"at": 5, "kind": "outside", "asset": "ETH", "move": -0.01}
    run = run_of(FLOW, jump, order)
    found = run.measures()
    assert found["shock.0.markets"] == 3
    assert 0 < found["shock.2.filled"] <= 50_000 / 4_300
    assert "shock.1.prints" not in found


# -- THE GATEWAY


def test_gateway_degrades_for_the_classes_that_are_named() -> None:
    """Their orders arrive late or not at all, counted and logged; others as before."""
    classes = {"classes": ["background", "holders"], "kind": "gateway"}
    calm = run_of()
    run = run_of(
        {"at": 10, "latency": 20.0, "reject": 0.5, **classes},
        {"at": 20, "latency": 1.0, "reject": 0.0, **classes},
    )
    shock, back = run.log.single("shock")
    assert shock.text == (
        "gateway takes 20 times as long, refuses 50% of orders, for background, holders"
    )
    assert back.text.startswith("gateway takes 1 times")
    refusals = list(run.log.single("refusal"))
    assert refusals
    for event in refusals:
        assert event.cause == shock.id
        assert event.text == "messages of background refused by a degraded gateway"
        assert 10 * SECOND <= event.time <= 21 * SECOND
    count = sum(event.value for event in refusals)
    assert run.outcome["refused_by_gateway"] == count
    sent = flow(calm, "background", 10, 20)
    assert flow(run, "background", 12, 20) == pytest.approx(0.4 * sent, rel=0.4)
    assert 0.3 * sent < count < 0.7 * sent
    assert flow(run, "background", 24, 40) > 0.8 * flow(calm, "background", 24, 40)


def flow(run: fw.Run, group: str, since: int, until: int) -> int:
    """Messages of a class in a span of seconds."""
    _, rows, _ = run.log.messages()
    own = run.names.account_class[rows["account"]] == run.names.classes.index(group)
    time = rows["time"][own]
    return int(((time >= since * SECOND) & (time < until * SECOND)).sum())


def test_gateway_that_refuses_everything_still_takes_cancels() -> None:
    """Cancel-only: market makers get their bids out, and nothing back in."""
    falls = [shock for shock in SMALL.document["shocks"] if shock["kind"] != "gateway"]
    cut = {"at": 9, "kind": "gateway", "classes": ["market_makers"], "reject": 1.0}
    run = run_of(*falls, cut)
    _, rows, _ = run.log.messages()
    makers = run.names.classes.index("market_makers")
    own = run.names.account_class[rows["account"]] == makers
    late = rows[own & (rows["time"] > 10 * SECOND)]
    sent = late["kind"][late["flags"] & Flag.LIQUIDATION == 0]
    assert len(sent)
    assert set(sent.tolist()) <= {Kind.CANCEL, Kind.CANCEL_ALL}
    assert run.outcome["refused_by_gateway"] > 0


def test_refusals_leave_all_other_draws_as_they_were() -> None:
    """They have a stream of their own: with nothing refused the run is the same."""
    shock = {"at": 5, "kind": "gateway", "classes": ["holders"], "reject": 0.5}
    base = World(SMALL.vary({"shocks": [shock | {"reject": 0.0}]}), seed=0)
    other = World(SMALL.vary({"shocks": [shock]}), seed=0)
    for world in (base, other):
        world.run()
    assert base.messages == other.messages  # nobody is scared, so nothing is refused
    assert other.gateway.refused == 0
