"""Measures of a crash, of runs whose answers are known by hand."""

from math import inf, log

import numpy as np
import pytest
from crash_run import (
    A_BTC,
    A_USDC,
    CROWD,
    DURATION,
    MAKER_1,
    MAKER_2,
    PERP,
    SHOCK,
    STALE,
    START,
    A,
    B,
    Known,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

import flashwick as fw
from flashwick.engine.crash import ARGUMENTS, OF_ALL, OF_ASSETS, OF_MARKETS
from flashwick.engine.look import NoFigure, UnknownMeasure, rank_correlation
from flashwick.engine.reading.windows import window

WINDOW = ("20:51", "20:52")  # 180 s to 240 s


def fallen() -> Known:
    """A/USDT at 100; from 130 s on 90, 40 (a stale bid), 50, 75 and 80."""
    story = Known()
    bid = story.rest(30.0, A, STALE)
    story.trade(100.0, A, 100.0)
    story.shock()
    story.trade(130.0, A, 90.0)
    story.trade(190.0, A, 40.0, 2.0, forced=True, maker=STALE, maker_order=bid)
    story.trade(192.0, A, 50.0, forced=True, side=fw.Side.BUY)
    story.trade(250.0, A, 75.0, side=fw.Side.BUY)
    story.trade(310.0, A, 80.0, side=fw.Side.BUY)
    return story


@pytest.mark.parametrize(
    ("measure", "times", "expected"),
    [
        ("low_5s", None, 0.5 - 1.0),  # 40 was no close: 50 came within its 5 s
        ("low_5s_time", None, START + 195.0),
        ("move_5s", None, log(90.0 / 50.0)),
        ("trough", None, 40.0),
        ("trough", ("20:52", "20:54"), 75.0),
        ("low_time", None, START + 190.0),
        ("drop", None, 0.6),
        ("path", ("20:50", "20:51"), -0.1),
        ("path", WINDOW, -0.5),
        ("path", ("20:54", "20:55"), -0.2),  # the price holds
        ("back_at.45", None, 2.0),
        ("back_at.75", None, 60.0),
        ("back_at.99", None, inf),
        ("half_life_s", None, 60.0),  # 70 is half of the way back
        ("minutes_below.80", None, 2.0),
        ("minutes_below.45", None, 2.0 / 60.0),
        ("minutes_below.101", ("20:56", "20:58"), 2.0),
        ("excess_over_outside", None, 0.6),
        ("stopped_age_s", None, 160.0),
        ("volume_usd", None, 90.0 + 80.0 + 50.0 + 75.0 + 80.0),
        ("volume_usd", WINDOW, 130.0),
        ("forced_sold_usd", None, 80.0),
        ("forced_share", WINDOW, 1.0),
        ("forced_share", None, 130.0 / 375.0),
        ("vacuum_s", None, 0.0),
    ],
)
def test_fall_of_a_market_is_measured(
    measure: str, times: tuple[str, str] | None, expected: float
) -> None:
    """From its trades, in a window or from the first shock on."""
    found = fallen().run().measure(f"A/USDT.{measure}", times)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("traded", [False, True])
def test_order_at_which_a_fall_stopped_is_known(traded: bool) -> None:
    """Whose it was and how long it had been there, though it was not kept."""
    story = Known(traded=traded)
    bid = story.rest(30.0, A, STALE)
    story.shock()
    story.trade(190.0, A, 40.0, maker=STALE, maker_order=bid)
    run = story.run()
    assert run.measure("A/USDT.stopped_by") == "stale_bids"
    assert run.measure("A/USDT.stopped_age_s") == pytest.approx(160.0)


def test_mark_is_that_when_spot_was_lowest() -> None:
    """Of the nearest sample."""
    story = fallen()
    mark = np.full((DURATION + 1, 1), 100.0)
    mark[190] = 70.0
    story.parts["watched.mark"] = mark
    assert story.run().measure("A/USDT:PERP.mark_at_spot_low") == 70.0


def test_empty_book_is_timed() -> None:
    """Seconds with less than a tenth of the bids there were."""
    story = fallen()
    depth = np.full((DURATION + 1, 5), 1e6)
    depth[200:230, A] = 0.99e5
    depth[50:60, A] = 0.0  # before the shock
    story.parts["bid_depth"] = depth
    run = story.run()
    assert run.measure("A/USDT.vacuum_s") == pytest.approx(30.0)
    part = run.measure("A/USDT.vacuum_s", ("20:51", "20:51:30"))
    assert part == pytest.approx(10.0)


# -- WATCHED MARKETS


def watched(**parts: np.ndarray) -> fw.Run:
    """A run with other samples of the perpetual."""
    story = fallen()
    story.trade(250.0, PERP, 80.0)
    story.trade(251.0, PERP, 90.0)
    story.parts |= {f"watched.{name}": part for name, part in parts.items()}
    return story.run()


def test_depth_is_compared_by_the_minute() -> None:
    """Both sides within 25 bp; the least minute, the median minute of a window."""
    depth = np.full((DURATION + 1, 1, 2, 3), 1e5)
    depth[:10] = 0.0
    bid = np.full((DURATION + 1, 1), 99.95)
    bid[:10] = np.nan  # nobody has quoted yet: no sample to compare with
    depth[240:300, :, :, 0] = 1e4  # 20:52
    depth[300:330, :, :, 0] = 0.0  # half of 20:53
    depth[480:, :, :, 0] = 3e4
    run = watched(depth=depth, bid=bid)
    assert run.measure("A/USDT:PERP.depth_min") == pytest.approx(0.1)
    assert run.measure("A/USDT:PERP.depth_median", ("20:53", "20:54")) == 0.5
    after = run.measure("A/USDT:PERP.depth_median", ("20:56", "20:58"))
    assert after == pytest.approx(0.3)
    lead = run.measure("lows.apart_from_depth.A/USDT:PERP")
    assert lead == 270.0 - 255.0  # the middle of the minute, the end of the 5 s


def test_all_that_rests_is_summed() -> None:
    """Within half of the price, both sides, and as a change."""
    depth = np.full((DURATION + 1, 1, 2, 3), 1e5)
    depth[240:300, :, 0, 2] = 0.0
    run = watched(depth=depth)
    assert run.measure("A/USDT:PERP.depth_usd", ("20:52", "20:53")) == 1e5
    change = run.measure("A/USDT:PERP.depth_change", ("20:52", "20:53"))
    assert change == pytest.approx(-0.5)


def test_spread_and_premium_are_of_the_middle() -> None:
    """A second without both sides is none."""
    bid, ask = np.full((DURATION + 1, 1), 99.95), np.full((DURATION + 1, 1), 100.05)
    bid[300:360], ask[300:360] = 89.0, 91.0
    bid[310] = np.nan
    run = watched(bid=bid, ask=ask)
    assert run.measure("A/USDT:PERP.premium_min") == pytest.approx(-0.1)
    assert run.measure("A/USDT:PERP.spread_widest") == pytest.approx(2 / 90)
    assert run.measure("A/USDT:PERP.spread_max") == pytest.approx(2 / 90 / 0.001)


def test_makers_are_counted_by_the_minute() -> None:
    """Those that sent anything, and their bids, over the minutes before."""
    makers = np.ones((11, 1, 2, 3), np.int64)
    makers[:, :, :, 0] = 10
    makers[4, :, 1] = 0  # one of two is silent in 20:52
    makers[4, :, 0, 0] = 3
    sent = np.zeros((11, 2, 4, 4), np.int64)
    sent[4, 0, 1, 0], sent[4, 0, 2, 1], sent[4, 1, 1, 1] = 2, 6, 99
    run = watched(makers=makers, sent=sent)
    here = "A/USDT:PERP"
    assert run.measure(f"{here}.makers_active", ("20:52", "20:53")) == 0.5
    assert run.measure(f"{here}.makers_active", ("20:52", "20:54")) == 0.75
    bids = run.measure(f"{here}.makers_buy_orders", ("20:52", "20:53"))
    assert bids == pytest.approx(3 / 20)
    assert run.measure(f"{here}.sell_order_share", ("20:52", "20:53")) == 0.75
    with pytest.raises(NoFigure, match="nobody sent an order to A/USDT:PERP then"):
        run.measure(f"{here}.sell_order_share", ("20:53", "20:54"))


# -- ALL PAIRS


def pairs() -> fw.Run:
    """A falls to 50, its other books to 60 USDC and 0.08 BTC (80 USD), B to 9."""
    story = Known()
    for market, price in ((A, 100.0), (A_USDC, 100.0), (A_BTC, 0.1), (B, 10.0)):
        story.trade(60.0, market, price)
    story.shock()
    story.trade(150.0, A, 50.0, 4.0)
    story.trade(160.0, A_USDC, 60.0)
    story.trade(170.0, A_BTC, 0.08)
    story.trade(180.0, B, 9.0)
    return story.run()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        # From the day's high of 125, which the file knows: 60 % and 10 %.
        ("mean", 0.35),
        ("median", 0.35),
        ("quantile.50", 0.35),
        ("quantile.100", 0.6),
        ("share_over.50", 0.5),
        ("share_over.60", 0.0),
        ("share_between.5,60", 1.0),
        ("share_between.20,60", 0.5),
        ("volume_correlation", 1.0),
        # Of the other books the high is as far above: 52 % and 36 %.
        ("range_over_books", 0.6 - 0.36),
        # 50 USD against the median of 60 and 80.
        ("below_books.72", 1.0),
        ("below_books.71", 0.0),
        ("excess_median", 0.5 * (0.5 + 0.1)),
    ],
)
def test_falls_of_all_pairs_are_measured(measure: str, expected: float) -> None:
    """A and B, the two that are quoted in USDT."""
    assert pairs().measure(f"wicks.{measure}") == pytest.approx(expected)


def test_one_book_is_compared_with_the_others_of_its_base() -> None:
    """In US dollars."""
    run = pairs()
    assert run.measure("A/USDT.excess_over_books") == pytest.approx(1 - 50 / 70)
    with pytest.raises(NoFigure, match="B/USDT is the only book of its base"):
        run.measure("B/USDT.excess_over_books")


def test_leads_are_the_times_between_lows() -> None:
    """Of 5 s closes."""
    assert pairs().measure("lows.lead.B/USDT,A/USDT") == 30.0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2))
@settings(max_examples=200, phases=UNTRACED)
def test_rank_correlation_is_that_of_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    """Pearson's of the ranks, found by counting."""
    a, b = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    ranks = [[(x > c).sum() + 0.5 * ((x == c).sum() - 1) for c in x] for x in (-a, -b)]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        with pytest.raises(NoFigure):
            rank_correlation(a, b)
    else:
        expected = np.corrcoef(ranks)[0, 1]
        assert rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)


# -- LOSSES


def deleveraged() -> fw.Run:
    """Forced sales from 153.6 s on, deleveraging in two bursts of seconds."""
    story = Known()
    story.trade(108.8, A, 99.0, forced=True)  # once, long before the others
    story.shock()
    for k in range(24, 36):
        story.trade(6.4 * k, A, 98.0, 10.0, forced=True, taker=CROWD)
    bankrupt, log_ = CROWD, story.log
    for time, winner, market, qty, text in (
        (200.0, MAKER_1, PERP, 60, "in profit"),
        (200.5, MAKER_2, PERP, 30, "in profit"),
        (201.0, STALE, PERP, 10, "at a loss"),
        (230.0, MAKER_1, PERP, 100, "in profit"),
    ):
        log_.add(
            "adl",
            round(time * 1e9),
            account=bankrupt,
            counterparty=winner,
            market=market,
            price=1000,
            qty=qty,
            value=1.0,
            text=text,
        )
    log_.add("takeover", 250 * 10**9, account=CROWD, market=A, value=1e9, text="USD")
    story.parts["fund_usd"] = np.r_[np.full(300, 5.0), np.full(DURATION - 299, -3.0)]
    return story.run()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("adl.delay_s", 200.0 - 153.6),
        ("adl.duration_s", 30.0),
        ("adl.gap_s", 30.0),
        ("adl.share_of_top.1", 0.8),
        ("adl.share_of_top.2", 0.95),
        ("adl.share_of_top.100", 1.0),
        ("adl.share_in.A", 1.0),
        ("adl.share_in.B,BTC", 0.0),
        ("adl.in_profit_share", 2.0 / 3.0),
        ("forced.peak_minute", START + 240.0),
        ("fund.draw_usd", 8.0),
    ],
)
def test_losses_are_measured(measure: str, expected: float) -> None:
    """Of the events and the forced trades."""
    assert deleveraged().measure(measure) == pytest.approx(expected)


def test_peak_minute_is_that_of_its_window() -> None:
    """Without the takeover the minute with nine or ten of the sales has most."""
    peak = deleveraged().measure("forced.peak_minute", ("20:48", "20:52"))
    assert peak == START + 180.0


def test_leverage_of_makers_at_the_trough_is_split_in_its_causes() -> None:
    """From 2 to 5 when equity was least; 3 had collateral kept its price."""
    story = fallen()
    equity = np.full((DURATION + 1, 2), 1e6)
    equity[300] = 1e5
    leverage, kept = np.full((DURATION + 1, 2), 2.0), np.full((DURATION + 1, 2), 2.0)
    leverage[300], kept[300], leverage[-1] = 5.0, 3.0, 1.5
    story.parts |= {
        "maker_equity": equity,
        "maker_leverage": leverage,
        "maker_leverage_unrepriced": kept,
    }
    run = story.run()
    assert run.measure("makers.leverage_trough") == 5.0
    assert run.measure("makers.leverage_after") == 1.5
    assert run.measure("makers.leverage_by_collateral") == pytest.approx(2.0 / 3.0)


def test_index_drifts_from_its_conversion_value() -> None:
    """A should be twice B, whose index is 50; it is at 100 but for one sample."""
    story = fallen()
    index = np.tile([100.0, 50.0, 1000.0, 1.0, 1.0], (DURATION + 1, 1))
    index[400, 0] = 80.0
    story.parts["index"] = index
    run = story.run()
    assert run.measure("A.index_drift") == pytest.approx(0.2)
    assert run.measure("A.index_drift", ("20:50", "20:52")) == 0.0
    with pytest.raises(NoFigure, match=r"\[oracles\.B\] has no ratio and underlying"):
        run.measure("B.index_drift")


def test_queue_of_the_gateway_is_told() -> None:
    """Longest and mean wait after the first shock."""
    story = fallen()
    delay = np.zeros(DURATION + 1)
    delay[10], delay[200] = 9.0, 4.81
    story.parts["gateway_delay"] = delay
    run = story.run()
    assert run.measure("gateway.delay_max_s") == 4.81
    assert run.measure("gateway.delay_mean_s") == pytest.approx(0.01)
    assert run.measure("gateway.sent") == 7


# -- WHAT A RUN CANNOT TELL


@pytest.mark.parametrize(
    ("name", "times", "reason"),
    [
        ("B/USDT.trough", None, None),  # the price before, as a market's facts have it
        ("B/USDT.low_5s", None, "B/USDT did not trade then"),
        ("A/USDT.trough", ("20:57", "20:58"), "A/USDT did not trade then"),
        ("A/USDT.depth_min", None, "A/USDT is not watched; name it in record.markets"),
        ("A/USDT.mark_at_spot_low", None, "A/USDT is no perpetual with a spot market"),
        ("adl.delay_s", None, "nobody was deleveraged then"),
        ("adl.share_in.A", None, "nobody was deleveraged then"),
        ("forced.peak_minute", ("20:48", "20:49"), "nothing was traded by force then"),
        ("forced.from_shocks", ("20:48", "20:49"), "nothing was traded by force then"),
        ("makers.leverage_by_collateral", None, "leverage did not rise"),
        ("gateway.refused", None, "the run has no gateway"),
    ],
)
def test_what_a_run_cannot_tell_is_no_figure(
    name: str, times: tuple[str, str] | None, reason: str | None
) -> None:
    """With the reason; nothing is 0 that was not measured."""
    run = fallen().run()
    if reason is None:
        assert run.measure(name, times) == 10.0
        return
    with pytest.raises(NoFigure) as caught:
        run.measure(name, times)
    assert str(caught.value) == reason
    assert times is not None or name not in run.measures()


@pytest.mark.parametrize(
    ("name", "times", "told"),
    [
        ("A/USDT.trouhg", None, "is no measure of the run; did you mean 'A/USDT.troug"),
        ("wicks.meen", None, "is no measure of the run; did you mean 'wicks.mean'"),
        ("A/USDT.back_at", None, "needs something behind its name, after a dot"),
        ("A/USDT.trough.5", None, "takes nothing behind its name"),
        ("A/USDT.back_at.high", None, r"needs a number behind its name \(got 'high'\)"),
        ("lows.lead.A/USDT", None, "needs two markets behind its name"),
        ("lows.lead.A/USDT,C/USDT", None, r"needs markets .* \(got 'C/USDT'\)"),
        ("adl.share_in.A,C", None, None),
        ("wicks.quantile.200", None, r"needs 0 to 100 percent .* \(got 200\)"),
        ("wicks.quantile.nan", None, r"needs 0 to 100 percent .* \(got nan\)"),
        ("wicks.share_between.5", None, "needs two numbers behind its name, as in 60"),
        ("trades", ("20:50", "20:51"), "is not taken of a window; leave that out"),
    ],
)
def test_slip_in_a_name_is_told(
    name: str, times: tuple[str, str] | None, told: str | None
) -> None:
    """With the nearest right word, or what is missing."""
    run = deleveraged() if told is None else fallen().run()
    with pytest.raises(UnknownMeasure, match=told or r"needs assets .* \(got 'C'\)"):
        run.measure(name, times)


def test_listed_measures_are_those_that_can_be_asked_for() -> None:
    """Each is the same alone, and none is left out without a reason."""
    run = fallen().run()
    found = run.measures()
    for subject, figures in [
        ("A/USDT:PERP", OF_MARKETS),
        *OF_ALL.items(),
        *((asset, OF_ASSETS) for asset in run.names.assets),
    ]:
        for figure in figures:
            for argument in ARGUMENTS.get(figure, ("",)):
                name = f"{subject}.{figure}.{argument}".rstrip(".")
                try:
                    assert run.measure(name) == found[name]
                except NoFigure:
                    assert name not in found


# -- WINDOWS


@pytest.mark.parametrize(
    "name", ["fund.draw_usd", "A/USDT.minutes_below.80", "A/USDT.vacuum_s"]
)
def test_window_outside_the_run_has_no_figure(name: str) -> None:
    """Rather than 0, or that of the whole run."""
    with pytest.raises(NoFigure, match="window is not in the run, 20:48 to 20:58"):
        fallen().run().measure(name, ("21:09", "22:00"))


@pytest.mark.parametrize("name", ["gateway.sent", "gateway.refused"])
def test_what_is_counted_of_the_whole_run_takes_no_window(name: str) -> None:
    """It is told, not left out."""
    with pytest.raises(UnknownMeasure, match="is not taken of a window"):
        fallen().run().measure(name, WINDOW)


def test_fund_and_leverage_are_those_of_their_window() -> None:
    """The fund fell at 300 s; leverage ends each minute as it then was."""
    run = deleveraged()
    assert run.measure("fund.draw_usd", WINDOW) == 0.0
    assert run.measure("fund.draw_usd", ("20:52", "20:54")) == 8.0
    story = fallen()
    story.parts["maker_equity"] = np.full((DURATION + 1, 2), 1e6)
    seconds = np.arange(DURATION + 1.0)
    story.parts["maker_leverage"] = np.stack([seconds, seconds], axis=1)
    assert story.run().measure("makers.leverage_after", WINDOW) == 239.0


def test_close_counts_if_its_trade_does() -> None:
    """The last 5 s of a window are in it, those that end with its beginning are not."""
    story = Known()
    story.trade(100.0, A, 100.0)
    story.shock()
    for time, price in ((178.0, 20.0), (182.0, 90.0), (237.0, 50.0), (241.0, 10.0)):
        story.trade(time, A, price)
    run = story.run()
    assert run.measure("A/USDT.low_5s", WINDOW) == -0.5
    assert run.measure("A/USDT.low_5s_time", WINDOW) == START + 240.0
    assert run.measure("A/USDT.move_5s", WINDOW) == pytest.approx(log(90.0 / 20.0))


def test_sample_at_the_end_is_no_minute() -> None:
    """Nor is depth of that one moment the least, or its spread the widest."""
    depth = np.full((DURATION + 1, 1, 2, 3), 1e5)
    bid, ask = np.full((DURATION + 1, 1), 99.9), np.full((DURATION + 1, 1), 100.1)
    depth[-1], bid[-1] = 1.0, 50.0
    run = watched(depth=depth, bid=bid, ask=ask)
    for name, expected in (("depth_min", 1.0), ("spread_max", 1.0)):
        assert run.measure(f"A/USDT:PERP.{name}") == pytest.approx(expected)
    assert run.measure("A/USDT:PERP.premium_min") == pytest.approx(0.0)


def test_window_after_midnight_is_of_the_next_day() -> None:
    """A run that starts at 23:50 comes to 00:10 after twenty minutes."""
    found = window(("23:55", "00:10"), 23 * 3600 + 50 * 60)
    assert (found.begin, found.end) == (300.0, 1200.0)
    assert window(("20:50:30", "20:51"), START).begin == SHOCK + 30.0
