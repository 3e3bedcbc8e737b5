"""A run: tables, facts, names, figures."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from attrs import evolve
from fakes import ALPHA_1, ALPHA_2, STALE, fake_run, with_prints

from flashwick.engine import facts
from flashwick.engine.events import EventLog
from flashwick.engine.pages import figures
from flashwick.engine.pages.cause_figures import flow_figure
from flashwick.engine.pages.plots import thin
from flashwick.engine.pages.wick import wick_svg
from flashwick.engine.run import UnknownMarket
from flashwick.engine.summary import as_text, makers_grid, markets_grid
from flashwick.engine.text import change, held, percent, price, short_usd, times, usd


@pytest.fixture(scope="module")
def run():
    """The small crash."""
    return fake_run()


# -- TABLES


def test_trades_are_in_units_of_people(run):
    """Prices, quantities and notional are floats of the quote and base asset."""
    rows = run.trades("ATOM/USDT").to_pylist()
    low = min(rows, key=lambda row: row["price"])
    assert (low["price"], low["qty"], low["quote"]) == (0.3, 120.0, 36.0)
    assert (low["side"], low["taker"], low["maker"]) == (
        "sell",
        "alpha-2",
        "stale bidder 4",
    )
    assert low["liquidation"]
    assert low["time"] == 72.0


def test_trades_of_all_markets_are_those_of_each(run):
    """Without a market the table has every trade of the log, in its order."""
    whole = run.trades()
    parts = [run.trades(name).num_rows for name in run.names.markets]
    assert whole.num_rows == sum(parts) == len(run.log.fills()[0])
    assert whole["event"].to_pylist() == run.log.fills()[0].tolist()


def test_cause_of_a_trade_is_the_cause_of_its_order(run):
    """The table names the event behind the order of each trade."""
    for row in run.trades().to_pylist():
        order = run.log[row["order"]]
        assert order.kind == "order"
        assert order.cause == row["cause"]


def test_decimal_prices_are_exact():
    """A price in ticks becomes the float that its decimal reads as."""
    ticks = np.arange(1, 100_000)
    found = facts.scaled(ticks, np.full(len(ticks), 0.001))
    assert found.tolist() == [float(f"{n}e-3") for n in ticks.tolist()]


def test_unknown_market_is_named_with_the_nearest(run):
    """A slip in a market's name gets the name that was meant."""
    with pytest.raises(UnknownMarket, match=r"got 'ATOM/USD'.*mean 'ATOM/USDT'"):
        run.trades("ATOM/USD")


def test_events_are_those_that_are_neither_orders_nor_trades(run):
    """Each row is an event of the log, its names instead of numbers."""
    rows = run.events().to_pylist()
    assert [row["event"] for row in rows] == [event.id for event in run.log.single()]
    breach = next(row for row in rows if row["kind"] == "breach")
    assert (breach["account"], breach["asset"]) == ("alpha-1", "WBETH")
    assert (breach["time"], breach["value"]) == (62.0, 1.04)


def test_messages_have_their_results(run):
    """Every message is there with its order id and whether it was accepted."""
    table = run.messages()
    assert table.num_rows == len(run.log.messages()[0])
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["kind"], first["market"], first["price"]) == (
        "limit",
        "ATOM/USDT",
        0.3,
    )
    assert (first["order"], first["accepted"], first["reason"]) == (1, True, "ok")


def test_samples_hold_every_number_of_the_series(run):
    """The long table has each finite sample once; what is NaN is left out."""
    rows = run.samples().to_pylist()
    found = {(r["time"], r["subject"], r["measure"]): r["value"] for r in rows}
    assert len(found) == len(rows)
    assert found[70.0, "WBETH/USDT", "last"] == run.series.last[70, 0]
    assert found[70.0, "WBETH", "index"] == run.series.index[70, 0]
    assert found[70.0, "alpha-2", "health"] == run.series.maker_health[70, 1]
    assert found[70.0, "venue", "forced_usd"] == run.series.forced_usd[70]
    assert not any(key[2] == "mark" for key in found), "the marks are NaN"


# -- FACTS


def test_price_before_is_that_of_the_last_trade_before_the_shock(run):
    """Later trades do not count, nor does the first sample."""
    assert run.start == pytest.approx(60.0)
    assert run.prices_before.tolist() == [3999.0, 3.998]


def test_market_facts_agree_with_the_trades(run):
    """Trough, fall, volume and forced share are sums over the table."""
    fact = facts.markets(run)[1]
    rows = [r for r in run.trades("ATOM/USDT").to_pylist() if r["time"] >= 60.0]
    forced = sum(row["usd"] for row in rows if row["liquidation"])
    assert (fact.trough, fact.trough_time) == (0.3, 72.0)
    assert fact.drop == pytest.approx(1 - 0.3 / 3.998)
    assert fact.volume == pytest.approx(sum(row["usd"] for row in rows))
    assert fact.forced_share == pytest.approx(forced / fact.volume)
    assert fact.depth_lost == 1.0


def test_leverage_counts_up_to_the_first_forced_sale(run):
    """The last sample at the sale counts; what the sales themselves do does not."""
    first, second = facts.makers(run)
    assert (first.account, first.sale_time) == (ALPHA_1, pytest.approx(62.0))
    assert first.leverage_at_sale == run.series.maker_leverage[62, 0]
    assert (second.account, second.sale_time) == (ALPHA_2, pytest.approx(71.0))
    assert second.leverage_at_sale == run.series.maker_leverage[71, 1]
    assert first.leverage_before == 2.0
    assert first.withdrawal_time == pytest.approx(61.0)
    assert np.isnan(second.withdrawal_time)


def test_own_change_is_the_price_before_the_first_forced_trade(run):
    """ATOM stood at its old price when it was first sold by force, WBETH did not."""
    assert facts.own_change(run, 1) == 0.0
    assert facts.own_change(run, 0) == pytest.approx(3300 / 3999 - 1)


def test_venue_adds_up(run):
    """Forced volume, accounts, fund and claims are those of the events."""
    venue = facts.venue(run)
    forced = [r["usd"] for r in run.trades().to_pylist() if r["liquidation"]]
    assert venue.forced == pytest.approx(sum(forced))
    assert venue.amplification == pytest.approx(sum(forced) / 1.168e6)
    assert (venue.liquidated, venue.makers_liquidated, venue.makers) == (2, 2, 2)
    assert (venue.fund_paid, venue.claims) == (5e4, 1e3)


def test_fund_has_its_result_and_what_it_took_over(run):
    """Equity before and after is that of the samples; takeovers are the events'."""
    venue, measures = facts.venue(run), run.measures()
    assert (venue.fund_before, venue.fund_end, venue.fund_low) == (1e6, 9.5e5, 9.5e5)
    assert venue.fund_change == -5e4
    assert (venue.taken, venue.accounts_taken) == (5.7e4, 2)
    assert venue.taken_unsold == 1, "alpha-2 traded by force as well"
    assert measures["fund.start_usd"] == venue.fund_before
    assert measures["fund.low_usd"] == venue.fund_low
    assert measures["fund.end_usd"] == venue.fund_end
    assert measures["takeovers.usd"] == venue.taken
    assert measures["takeovers.accounts"] == venue.accounts_taken


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ((-2e3, -1e3), "ended below zero, at −1,000 USD, −2,000 at its lowest"),
        ((-2e3, 1e3), "was below zero, at −2,000 USD at its lowest"),
        ((2e3, 0.0), ""),
    ],
)
def test_fund_below_zero_is_said(run, after, words):
    """What the fund lacks is the venue's loss; a fund that holds needs no words."""
    fund = run.series.fund_usd.copy()
    fund[75:100], fund[100:] = after
    poor = evolve(run, series=evolve(run.series, fund_usd=fund))
    assert words in facts.venue(poor).fund_words
    assert bool(facts.venue(poor).fund_words) == bool(words)
    assert ("the venue's loss" in str(poor.summary())) == bool(words)


def test_withdrawal_of_all_bids_comes_before_one_of_a_single_market(run):
    """The time is that of all bids; single markets alone are marked as such."""
    log = EventLog()
    for time, account, market in ((3, 2, 1), (5, 2, -1), (4, 3, 0), (6, 3, 1)):
        log.add("withdrawal", time * 10**9, account=account, market=market)
    other = with_prints(evolve(run, log=log), run.prints)
    first, second = facts.makers(other)
    assert (first.withdrawal_time, first.market_withdrawal_time) == (5.0, 3.0)
    assert np.isnan(second.withdrawal_time)
    grid = makers_grid(other)
    at = grid.header.index("bids withdrawn")
    assert [row[at] for row in grid.rows] == ["5 s", "4 s†"]
    assert "† of single markets, never of all" in grid.note
    assert "†" not in str(makers_grid(run))


def test_makers_have_their_equity_at_the_end(run):
    """It is the last sample's."""
    ends = [maker.equity_end for maker in facts.makers(run)]
    assert ends == run.series.maker_equity[-1].tolist()


def test_market_that_did_not_fall_shows_no_fall(run):
    """A lowest price above the one before is no fall, and has no time."""
    quiet = fake_run(crashes=False)
    quiet.prices_before[:] = [1.0, 3.998]
    rows = {row[0]: row for row in markets_grid(quiet).rows}
    assert rows["WBETH/USDT"][3:5] == ("–", "–")
    title = quiet.plot("WBETH/USDT").layout.title.text
    assert title.startswith("WBETH/USDT did not fall; 97.0 % of its bid depth lost")


def test_quiet_run_has_facts_too():
    """Without a shock and a forced sale nothing is undefined but ratios to them."""
    quiet = fake_run(crashes=False)
    venue = facts.venue(quiet)
    assert (venue.liquidated, venue.forced, quiet.start) == (0, 0.0, 0.0)
    assert facts.sales(quiet) == []
    assert "nan" not in str(quiet.summary())
    assert quiet.causes().num_rows == 0


# -- SUMMARY AND NAMES


def test_summary_shows_the_figures(run):
    """Falls, leverage, forced volume and losses are in the text, readable."""
    text = str(run.summary())
    assert "ATOM/USDT fell 92.5 %, from 3.998 to 0.3 at 72.0 s" in text
    for shown in ("2 of 2", "50,000 USD", "1,168,000 USD", "97.0 %", "3.998"):
        assert shown in text
    assert "nan" not in text


def test_summary_in_html_has_the_same_figures(run):
    """A notebook shows the rows of the text."""
    page = run.summary()._repr_html_()
    assert all(held(row.text) in page for row in run.summary().rows)
    assert page.count("<table>") == 4


def test_accounts_without_a_name_have_their_class(run):
    """An account is called by its own name, or by what it is and its number."""
    assert run.account(ALPHA_1) == "alpha-1"
    assert run.account(STALE) == "stale bidder 4"
    assert run.account(-1) == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (price(1e-6), "0.000001"),
        (price(117161.59), "117,161.59"),
        (price(float("nan")), "–"),
        (percent(0.99923), "99.92 %"),
        (percent(-0.00001, sign=True), "0.0 %"),
        (percent(37.828, sign=True), "+3,782.8 %"),
        (short_usd(999_600), "1.00 M"),
        (short_usd(88_413_662), "88.4 M"),
        (short_usd(-0.4), "0"),
        (short_usd(-1.5e6), "−1.50 M"),
        (usd(-0.4), "0"),
        (times(-0.0), "0.00×"),
        (as_text(-0.3, "USD", sign=True), "0"),
        (change(-0.0004), "−0.04 %"),
        (change(-0.000001), "0.0 %"),
    ],
)
def test_numbers_read_well(text, wanted):
    """No exponent, no rounding to all or nothing, separators of thousands."""
    assert text == wanted


# -- FIGURES


def test_thin_line_keeps_every_extreme():
    """Of many points so many remain as a screen shows, the deepest among them."""
    rng = np.random.default_rng(1)
    time, value = np.sort(rng.uniform(0, 100, 50_000)), rng.normal(size=50_000)
    kept = thin(time, value, 100)
    assert len(kept) <= 400
    assert {0, 49_999, int(value.argmin()), int(value.argmax())} <= set(kept.tolist())


def test_plot_shows_the_deepest_market_unless_told(run):
    """The figure says the fall, has the lowest print, and marks liquidations."""
    figure = run.plot()
    assert figure.layout.title.text.startswith("ATOM/USDT fell 92.5 % to 0.3")
    traces = {trace.name: trace for trace in figure.data}
    assert min(traces["last trade"].y) == 0.3
    assert len(traces["liquidation"].x) == 4
    assert run.plot("WBETH/USDT").layout.title.text.startswith("WBETH/USDT")


def test_price_line_runs_from_the_start_to_the_end(run):
    """A price holds until the next trade; before the first it is the opening one."""
    line = next(t for t in run.plot("ATOM/USDT").data if t.name == "last trade")
    assert (line.x[0], line.y[0]) == (0.0, 4.0)
    assert (line.x[-1], line.y[-1]) == (180.0, 3.9)


def test_deep_fall_is_on_a_log_scale(run):
    """A price that keeps a twentieth or more is shown as it is, with a switch."""
    deep = evolve(run)
    deep.prices_before[1] = 300.0
    assert deep.plot("ATOM/USDT").layout.yaxis.type == "log"
    figure = run.plot("ATOM/USDT")
    assert figure.layout.yaxis.type == "linear"
    labels = [button.label for button in figure.layout.updatemenus[0].buttons]
    assert labels == ["linear", "log"]


def test_depth_is_drawn_in_steps_from_the_first_quotes(run):
    """A sample holds until the next; before the makers quote there is little."""
    depth = run.series.bid_depth.copy()
    depth[0] = 0.0
    depth[1:3] *= 0.6
    late = evolve(run, series=evolve(run.series, bid_depth=depth))
    drawn = [
        next(t for t in late.plot("ATOM/USDT").data if t.name == "bid depth"),
        *figures.depth_figure(late).data,
    ]
    assert len(drawn) == 4
    for line in drawn:
        assert (line.line.shape, line.x[0]) == ("hv", 3.0)
        assert line.y[0] > 0


def test_makers_above_the_health_chart_are_counted(run):
    """A maker whose health never comes down to the chart is said not to be shown."""
    assert "not shown" not in str(figures.makers_figure(run).layout.annotations)
    health = run.series.maker_health.copy()
    health[:, 1] = np.inf
    safe = evolve(run, series=evolve(run.series, maker_health=health))
    notes = figures.makers_figure(safe).layout.annotations
    assert "not shown: 1 maker above health 4" in [note.text for note in notes]


def test_collateral_is_what_makers_pledge_and_was_repriced(run):
    """WBETH is shown; USDT, whose index is fixed, is not."""
    assert figures.collateral_assets(run) == ["WBETH"]
    title = figures.collateral_figure(run, "WBETH").layout.title.text
    assert title == "WBETH: book −26.5 %, index −26.5 %, outside 0.0 %"


def test_makers_lines_end_at_their_first_forced_sale(run):
    """Leverage after the sale began is not drawn; the moment is marked."""
    figure = figures.makers_figure(run)
    line, mark = figure.data[0], figure.data[1]
    assert max(line.x) == pytest.approx(62.0)
    assert (mark.x[0], mark.y[0]) == (62.0, run.series.maker_leverage[62, 0])


def test_forced_bars_add_up_to_the_forced_volume(run):
    """No forced trade is missing from the bars or counted twice."""
    bars = figures.forced_figure(run).data
    total = sum(float(np.sum(bar.y)) for bar in bars)
    assert total == pytest.approx(facts.venue(run).forced)


def test_sankey_carries_the_forced_volume_through_every_column(run):
    """What leaves the roots passes four columns and arrives in the wicks."""
    sankey = flow_figure(run).data[0]
    sources = [sankey.node.label[i] for i in sankey.link.source]
    shock = "sale of USD 1,000,000 of WBETH"
    links = list(zip(sources, sankey.link.value, strict=True))
    out = sum(value for name, value in links if name == shock)
    assert out == pytest.approx(facts.venue(run).forced, abs=5.0)
    assert sum(sankey.link.value) == pytest.approx(4 * out, abs=20.0)


def test_picture_of_the_wick_is_svg_with_its_lowest_print(run):
    """It is well-formed, says how deep, and marks every forced trade."""
    root = ET.fromstring(wick_svg(run))
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    assert "0.3, −92.5 %" in words
    assert len(list(root.iter(f"{space}circle"))) == 4


def test_lines_of_the_wick_are_steps(run):
    """Nothing between two trades or two samples is made up: no line is slanted."""
    paths = re.findall(r'<path d="M([^"]+)"', wick_svg(run))
    assert len(paths) == 3
    for path in paths:
        points = [tuple(map(float, point.split(","))) for point in path.split("L")]
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))
        assert len({y for _, y in points}) > 1


def test_market_that_did_not_fall_has_no_picture():
    """There is nothing to draw, and that is said."""
    quiet = fake_run(crashes=False)
    quiet.prices_before[:] = 0.5
    with pytest.raises(LookupError, match="did not fall"):
        wick_svg(quiet)
