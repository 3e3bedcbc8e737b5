"""unified-margin-wick: the claims made of it, computed anew from one run's records.

`flashwick verify` checks the targets over eight seeds; here it is seed 0, from trades,
samples and events rather than from the measures, which have to agree.
"""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import flashwick as fw
from flashwick.orderbook.orders import Flag, Side

SEED = 0
ALTS = ("ATOM", "SUI", "DOGE", "ENJ", "IOTX")
COLLATERAL = ("USDE", "WBETH", "BNSOL")


@cache
def run_of(variation: str | None) -> fw.Run:
    """The run of the scenario, or of one of its variations."""
    scenario = fw.load("unified-margin-wick")
    return (scenario.variation(variation) if variation else scenario).run(seed=SEED)


@pytest.fixture(scope="module")
def run() -> fw.Run:
    """The scenario as it is."""
    return run_of(None)


def alt_markets(run: fw.Run) -> list[int]:
    """Spot markets of the coins that makers hold as inventory."""
    return [run.market(f"{coin}/USDT") for coin in ALTS]


def falls(run: fw.Run) -> dict[int, float]:
    """How far each alt printed below its last price before the first shock."""
    _, fills = run.log.fills()
    shock = next(run.log.single("shock")).time
    found = {}
    for market in alt_markets(run):
        own = fills[fills["market"] == market]
        before = own[own["time"] < shock]["price"][-1]
        after = own[own["time"] >= shock]["price"]
        found[market] = float(1.0 - after.min() / before)
    return found


def first_forced_sales(run: fw.Run) -> dict[int, int]:
    """Time of the first forced sale of each market maker that had one."""
    _, fills = run.log.fills()
    makers = run.names.classes.index("market_makers")
    forced = (fills["flags"] & Flag.LIQUIDATION > 0) & (
        run.names.account_class[fills["taker"]] == makers
    )
    takers, first = np.unique(fills["taker"][forced], return_index=True)
    times = fills["time"][forced][first]
    return dict(zip(takers.tolist(), times.tolist(), strict=True))


# -- WHAT HAPPENS


def test_scenario_is_the_small_exchange_that_it_promises(run: fw.Run) -> None:
    """A dozen spot books and more, perpetuals, margined makers, thousands of traders.

    The makers that fail hold their collateral in the three coins.
    """
    config = run.scenario.config
    names = list(config.markets)
    assert len([name for name in names if not name.endswith(":PERP")]) >= 12
    perpetuals = {name.split("/")[0] for name in names if name.endswith(":PERP")}
    assert perpetuals >= {"BTC", "ETH", *ALTS}
    assert (
        run.names.account_class.tolist().count(run.names.classes.index("traders"))
        >= 3_000
    )
    assert {shock.kind for shock in config.shocks} == {"order", "transfers"}
    sold = [shock.market for shock in config.shocks if shock.kind == "order"]
    assert sold[0] == "USDE/USDT"
    assert {str(market).split("/")[0] for market in sold} == set(COLLATERAL)
    alpha = config.market_makers["alpha"]
    assert sum(alpha.collateral.get(coin, 0.0) for coin in COLLATERAL) >= 0.4
    assert set(alpha.inventory) == set(ALTS)


def test_repricing_alone_takes_leverage_from_two_to_more_than_three(
    run: fw.Run,
) -> None:
    """At the last sample before its first forced sale, of the median failed maker."""
    series = run.series
    start = np.searchsorted(series.time, next(run.log.single("shock")).time) - 1
    place = {account: k for k, account in enumerate(series.maker_accounts.tolist())}
    sales = first_forced_sales(run)
    assert len(sales) >= 1
    rows = [
        (np.searchsorted(series.time, time, side="right") - 1, place[account])
        for account, time in sales.items()
    ]
    before = np.median([series.maker_leverage[start, k] for _, k in rows])
    at_sale = np.median([series.maker_leverage[at, k] for at, k in rows])
    kept = np.median([series.maker_leverage_unrepriced[at, k] for at, k in rows])
    assert 1.8 <= before <= 2.3
    assert 3.0 <= at_sale <= 4.0
    # The same holdings with the collateral at its first price: no more than before.
    assert 1.8 <= kept <= 2.4
    measures = run.measures()
    assert measures["makers.leverage_before"] == pytest.approx(before)
    assert measures["makers.leverage_at_sale"] == pytest.approx(at_sale)
    assert measures["makers.leverage_unrepriced"] == pytest.approx(kept)


def test_liquidation_sells_inventory_that_had_not_fallen(run: fw.Run) -> None:
    """A maker's first forced sales are of alts that still printed where they were."""
    _, fills = run.log.fills()
    shock = next(run.log.single("shock")).time
    account, time = min(first_forced_sales(run).items(), key=lambda entry: entry[1])
    unfallen = 0
    for market in alt_markets(run):
        own = fills[fills["market"] == market]
        before = own[own["time"] < shock]["price"][-1]
        earlier = own[own["time"] < time]["price"][-1]
        sold = own[(own["taker"] == account) & (own["time"] == time)]
        if len(sold) and earlier >= 0.98 * before:
            assert (sold["taker_side"] == Side.SELL).all()
            unfallen += 1
    assert unfallen >= 1


def test_bids_leave_the_alt_books(run: fw.Run) -> None:
    """At least nine tenths of the depth within a tenth of the outside price."""
    series = run.series
    start = np.searchsorted(series.time, next(run.log.single("shock")).time) - 1
    depth = series.bid_depth[:, alt_markets(run)].sum(axis=1)
    assert depth[start] > 1e6
    assert depth[start:].min() <= 0.1 * depth[start]
    withdrawals = [event.account for event in run.log.single("withdrawal")]
    assert set(withdrawals) >= set(first_forced_sales(run))


def test_alt_prints_far_down_into_a_stale_bid_and_comes_back(run: fw.Run) -> None:
    """Eighty percent or more; at the end of the run above 60 % of its price again."""
    _, fills = run.log.fills()
    drops = falls(run)
    market = max(drops, key=lambda number: drops[number])
    assert drops[market] >= 0.8
    own = fills[fills["market"] == market]
    low = own[np.argmin(own["price"])]
    assert run.group(int(low["maker"])) == "stale_bids"
    assert low["flags"] & Flag.LIQUIDATION
    # The bid was there before anything happened.
    _, messages, results = run.log.messages()
    order = np.flatnonzero(results["order_id"] == low["maker_order"])[0]
    assert messages["time"][order] == 0
    before = own[own["time"] < next(run.log.single("shock")).time]["price"][-1]
    assert own["price"][-1] >= 0.6 * before
    assert run.measures()["alts.deepest_drop"] == pytest.approx(max(drops.values()))


def test_deepest_print_is_walked_back_to_a_shock(run: fw.Run) -> None:
    """Print, order, liquidation, breach, repricing of collateral, trade … shock."""
    why = run.why()
    kinds = [step.event.kind for step in why.steps]
    assert kinds[0] == "trade"
    assert kinds[-1] == "shock"
    places = [kinds.index(kind) for kind in ("liquidation", "breach", "index")]
    assert places == sorted(places)
    index = why.steps[places[-1]].event
    assert run.names.assets[index.asset] in COLLATERAL
    assert "trade" in kinds[places[-1] :]
    # Each step caused the one before it, and nothing caused the shock.
    for effect, cause in pairwise(why.steps):
        assert effect.event.cause == cause.event.id
        assert cause.event.time <= effect.event.time
    assert why.steps[-1].event.cause == 0
    drops = falls(run)
    assert why.steps[0].event.market == max(drops, key=lambda m: drops[m])


def test_every_forced_trade_has_a_root_in_the_timeline_or_a_decision(
    run: fw.Run,
) -> None:
    """No chain of causes breaks off, of some two hundred all over the run."""
    ids, fills = run.log.fills()
    forced = ids[fills["flags"] & Flag.LIQUIDATION > 0]
    roots = {run.log.chain(int(i))[-1].kind for i in forced[:: len(forced) // 200 + 1]}
    assert roots <= {"shock", "order", "decision", "breach", "mark", "index"}
    assert "shock" in roots


# -- ONE LINE CHANGED


def test_index_at_the_conversion_ratio_liquidates_no_market_maker() -> None:
    """And no alt falls more than 30 %."""
    run = run_of("redemption-index")
    assert first_forced_sales(run) == {}
    assert max(falls(run).values()) <= 0.3
    assert run.measures()["makers.liquidated"] == 0


def test_bids_that_stay_make_the_wick_far_shallower() -> None:
    """With withdrawal off the median alt falls by less than a fifth of what it did."""
    staying = run_of("no-withdrawal")
    assert list(staying.log.single("withdrawal")) == []
    median, before = (
        float(np.median(list(falls(run).values()))) for run in (staying, run_of(None))
    )
    assert median <= 0.2 * before


def test_without_stale_bids_there_is_no_deep_print() -> None:
    """The orders that would have met them find nothing, and print nothing."""
    run = run_of("no-stale-bids")
    assert max(falls(run).values()) <= 0.3
    _, messages, results = run.log.messages()
    forced = (messages["flags"] & Flag.LIQUIDATION > 0) & (
        messages["side"] == Side.SELL
    )
    forced &= np.isin(messages["market"], alt_markets(run)) & (messages["qty"] > 0)
    assert (forced & (results["filled"] == 0)).any()


def test_rate_limit_lets_less_be_sold_for_each_dollar_of_the_shock() -> None:
    """At most nine tenths of the amplification; five forced orders a second."""
    limited = run_of("rate-limit")
    both = limited, run_of(None)
    fewer, all_of_them = (float(run.measures()["amplification"]) for run in both)
    assert fewer <= 0.9 * all_of_them
    _, messages, _ = limited.log.messages()
    forced = messages[
        (messages["flags"] & Flag.LIQUIDATION > 0) & (messages["qty"] > 0)
    ]
    _, counts = np.unique(forced["time"] // 10**9, return_counts=True)
    assert counts.max() == 5


@pytest.mark.parametrize(
    "variation",
    [None, "redemption-index", "no-withdrawal", "no-stale-bids", "rate-limit"],
)
def test_nothing_is_lost_in_any_of_them(variation: str | None) -> None:
    """Each asset sums to zero over all accounts at the end."""
    assert run_of(variation).outcome["conserved"] == 1.0
