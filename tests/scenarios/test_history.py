"""Replays of known events: their targets for a seed, and facts beside the targets."""

from functools import cache, partial
from math import nan
from pathlib import Path
from statistics import median

import history
import pytest
from marks import marked

import flashwick as fw
from flashwick.engine.config import Target
from flashwick.engine.defi.terra import spiral_worth

DOCS = Path(__file__).parents[2] / "docs"
REPLAYS = tuple(history.REPLAYS)


stored = cache(history.stored)
"""The verdict and the values of all seeds, as docs/make.py kept them."""


@cache
def run_of(name: str, variation: str | None = None) -> fw.Run:
    """The run of a replay with seed 0, as it was or otherwise."""
    scenario = fw.load(name)
    return (scenario.variation(variation) if variation else scenario).run(seed=0)


def series(name: str, figure: str) -> list[float]:
    """A figure of a replay at the end of every block."""
    return [float(value) for value in run_of(name).series.chain.figures[figure]]


@pytest.mark.parametrize("name", REPLAYS)
def test_values_on_the_page_come_again(name: str) -> None:
    """Seed 0 gives each target its stored value, to the last bit."""
    rows = stored()[name]
    assert [row.target for row in rows] == list(fw.load(name).config.targets)
    for row in rows:
        target = row.target
        value = measured(name, target, target.variation)
        if target.relative:
            base = measured(name, target, None)
            value = value / base if base else nan
        assert value == row.values[0], target.id


def measured(name: str, target: Target, variation: str | None) -> float:
    """What a target is about, in seed 0."""
    run = run_of(name, variation)
    return float(run.measure(target.measure, window=target.window))


@pytest.mark.parametrize("name", REPLAYS)
def test_page_shows_what_is_stored(name: str) -> None:
    """Table and picture are those that docs/make.py makes; verdicts are right."""
    page = (DOCS / "history" / f"{name}.md").read_text("utf-8")
    assert marked(page, "targets") == history.table(stored()[name])
    picture = history.PICTURES[name](partial(run_of, name))
    assert (DOCS / "pictures" / f"{name}.svg").read_text("utf-8") == picture
    for row in stored()[name]:
        target, value = row.target, median(row.values)
        low, high = target.band or (
            target.value - target.tolerance,
            target.value + target.tolerance,
        )
        slack = 1e-12 * abs(high)
        assert (low - slack <= value <= high + slack) == (row.verdict == "ok")


def test_overview_names_every_replay() -> None:
    """Its table is that of the pages, whose names are those of scenarios."""
    shown = marked((DOCS / "history.md").read_text("utf-8"), "replays")
    assert shown == history.overview(stored())
    pages = {path.stem for path in (DOCS / "history").glob("*.md")}
    assert pages >= set(REPLAYS) == set(history.PICTURES)


@pytest.mark.parametrize("name", REPLAYS)
def test_replay_holds(name: str) -> None:
    """By `verify`'s own rule; what it misses is told on its page."""
    rows, share = stored()[name], fw.load(name).config.checked_share
    held = fw.Verification(scenario=name, seeds=1, rows=rows, checked_share=share)
    assert held.ok
    assert any(row.target.id == "conserved" for row in rows)


# -- bZx


def test_the_pool_pays_what_the_chain_recorded() -> None:
    """5,637.62 ether buy 51.345 bitcoin, 112 bitcoin sell for 6,871.41 ether."""
    run = run_of("bzx-2020")
    bought = run.measure("lending.margin.pledged.end")
    assert bought == pytest.approx(51.345, rel=1e-4)
    left = max(series("bzx-2020", "wallets.first.ETH")[:20])
    sold = left + 10_000 - (10_000 - 1_300 - 5_500)
    assert sold == pytest.approx(6_871.41, rel=2e-5)


def test_the_second_loan_leaves_2378_ether() -> None:
    """6,796 are lent, and 4,418 were spent: exactly."""
    assert run_of("bzx-2020").measure("wallets.second.ETH.end") == 2_378


def test_a_price_of_the_block_before_refuses_both() -> None:
    """The lender looks at what the pool said before the transaction: no loan."""
    run = run_of("bzx-2020", "price-of-the-block-before")
    assert run.measure("lending.margin.lent.high") == 0
    assert run.measure("lending.torque.lent.high") == 0
    assert run.measure("pools.susd.price.high") == run.measure("pools.susd.price.low")


# -- DAI and Compound


def test_the_price_passes_because_the_anchor_followed() -> None:
    """Compound's price is never more than a fifth above the anchor it had."""
    name = "dai-compound-2020"
    prices = series(name, "feeds.DAI.price")
    anchors = series(name, "feeds.anchor.price")
    assert max(prices) > 1.25
    assert all(p <= 1.2 * a for p, a in zip(prices, anchors, strict=True))
    assert 1.2 * anchors[0] < 1.25


def test_seized_is_repaid_and_a_premium_of_eight_percent() -> None:
    """Collateral went for the debt at the price that was taken, times 1.08."""
    run = run_of("dai-compound-2020")
    pool = "lending_pools.compound"
    repaid = run.measure(f"{pool}.DAI.repaid.end")
    price = run.measure(f"{pool}.USDC.liquidated.end") / repaid / 1.08
    assert 1.18 <= price <= run.measure("feeds.DAI.price.high")


def test_the_median_of_three_venues_liquidates_nobody() -> None:
    """One venue of three does not move it far enough."""
    run = run_of("dai-compound-2020", "median-of-three")
    assert run.measure("pools.coinbase.price.high") > 1.25
    assert run.measure("lending_pools.compound.DAI.repaid.end") == 0


# -- Iron


def test_redemption_ends_when_the_price_is_nothing() -> None:
    """Nobody redeems once the average is below a millionth, though some would."""
    prices = series("iron-2021", "feeds.TITAN.price")
    supply = series("iron-2021", "stables.iron.supply")
    first = next(i for i, price in enumerate(prices) if price < 1e-6)
    assert supply[first] == supply[-1] > 0
    assert supply[first] < supply[0]


def test_titan_multiplies_while_its_price_vanishes() -> None:
    """Ten thousand times as many, at a billionth of the price."""
    supply = series("iron-2021", "stables.iron.TITAN.supply")
    price = series("iron-2021", "pools.titan.price")
    assert supply[-1] > 10_000 * supply[0]
    assert price[-1] < 1e-7 * price[0]


# -- USDC


def test_usdc_falls_below_the_worst_that_it_can_be_worth() -> None:
    """Without redemption it trades at a discount to 0.9175, and DAI just above it."""
    name = "usdc-svb-2023"
    low = min(series(name, "feeds.USDC.price"))
    dai = min(series(name, "feeds.DAI.price"))
    floor = run_of(name).measure("stables.circle.floor.end")
    assert low < floor - 0.03
    assert 0.0 < dai - low < 0.03


def test_with_redemption_open_there_is_no_discount() -> None:
    """Who redeems at par buys first, and the reserve shrinks instead."""
    run = run_of("usdc-svb-2023", "always-open")
    assert run.measure("feeds.USDC.price.low") > 0.99
    assert run.measure("stables.circle.reserve.end") < 39e9
    assert run.measure("stables.circle.floor.end") < 0.9175


# -- Mango


def test_the_profit_lends_everything_that_is_there() -> None:
    """421 million on paper, of which the cash is a little more than a quarter."""
    run = run_of("mango-2022")
    profit = 483e6 * (run.measure("feeds.MNGO.price.high") - 0.0382)
    assert profit == pytest.approx(421.08e6, rel=0.03)
    borrowed = run.measure("wallets.long.USDC.end")
    assert borrowed / profit == pytest.approx(0.277, abs=0.01)
    assert run.measure("lending_pools.mango.USDC.cash.end") == 0


def test_a_smaller_position_borrows_in_proportion() -> None:
    """Half of a tenth lends half as much, margin left out."""
    cases = (("a-tenth", 48.3e6, 1_845_060), ("a-twentieth", 24.15e6, 922_530))
    for name, size, paid in cases:
        run = run_of("mango-2022", name)
        price = run.measure("feeds.PERP.price.high")
        room = 0.98 * (size * price + 5e6) - paid
        got = run.measure("wallets.long.USDC.end")
        assert got == pytest.approx(room, rel=1e-3)


# -- Stream


def test_a_frozen_oracle_is_paid_for_by_the_lenders() -> None:
    """Nobody is liquidated; what is there is borrowed at a price long gone."""
    name = "stream-xusd-2025"
    run = run_of(name)
    assert run.measure("lending.mev.liquidations.end") == 0
    assert run.measure("lending.other.cash.end") < 100
    price = run.measure("pools.xusd.price.end")
    pledged = run.measure("lending.other.pledged.end")
    lent = run.measure("lending.other.lent.end")
    assert lent / pledged == pytest.approx(1.26 * 0.915, rel=1e-3)
    lacks = run.measure("lending.other.shortfall.end")
    assert lacks == pytest.approx(lent - pledged * price, rel=1e-6)


def test_the_put_holds_the_price_while_there_is_cash() -> None:
    """Above 1.1 until the market is empty, and far below soon after."""
    prices = series("stream-xusd-2025", "pools.xusd.price")
    cash = series("stream-xusd-2025", "lending.other.cash")
    empty = next(i for i, left in enumerate(cash) if left < 100)
    assert min(prices[: empty - 1]) > 1.1
    assert min(prices[empty : empty + 24]) < 0.7


# -- USDX


def test_lenders_wait_for_cash_that_never_comes() -> None:
    """All of them want to leave, and the market has nothing."""
    cash = series("usdx-2025", "lending.lista.cash")
    assert cash[0] > 4.9e6
    assert max(cash[2:]) == 0
    assert series("usdx-2025", "runners.lenders.running")[-1] == 30


def test_the_vote_lets_the_pool_decide_how_much_is_sold() -> None:
    """Nothing is liquidated before it; then as much as just breaks even."""
    run = run_of("usdx-2025")
    liquidated = series("usdx-2025", "lending.lista.liquidated")
    price = series("usdx-2025", "feeds.USDX.price")
    first = next(i for i, value in enumerate(price) if value < 1.0)
    assert liquidated[first - 1] == 0 < liquidated[first]
    assert run.measure("liquidators.bots.profit.end") < 1_000
    rate = run.measure("lending.lista.repaid.end") / liquidated[-1]
    assert rate == pytest.approx(0.8302, abs=0.001)
    without = run_of("usdx-2025", "no-vote")
    assert without.measure("lending.lista.liquidated.end") == 0


# -- Terra


def test_the_spiral_keeps_the_worth_that_history_had() -> None:
    """Burned over the growth of LUNA's logarithm: 0.68 billion there, near it here."""
    run = run_of("terra-2022")
    supply = series("terra-2022", "stables.market.LUNA.supply")
    burned = run.measure("stables.market.burned.end")
    there = spiral_worth(346e6, 6.53e12, 6.7e9)
    assert there == pytest.approx(0.6805e9, rel=1e-3)
    assert spiral_worth(supply[0], supply[-1], burned) == pytest.approx(there, rel=0.4)
    assert supply[-1] > 100 * supply[0]


def test_luna_is_sold_because_a_pool_was_emptied_on_a_saturday() -> None:
    """The causes of LUNA's lowest trade lead over a burn of UST back to a shock."""
    run = run_of("terra-2022")
    text = str(run.why("LUNA/USDT"))
    assert "LUNA" in text.splitlines()[1]
    assert "swap UST at stables.market" in text
    assert "shock" in text.splitlines()[-1]


def test_luna_falls_on_while_ust_comes_back() -> None:
    """On 11 May UST more than doubles from its low, and LUNA ends below its own."""
    ust, luna = (series("terra-2022", f"feeds.{c}.price") for c in ("UST", "LUNA"))
    # Blocks of ten minutes; the day begins 76 hours after the start.
    low = min(range(76 * 6, 100 * 6), key=ust.__getitem__)
    assert ust[100 * 6] > 2.0 * ust[low]
    assert luna[100 * 6] < 0.5 * luna[low]
