"""The story of an account: what happened to it, line by line, with its amounts."""

from math import fsum, isnan

import numpy as np
import pytest
from attrs import evolve
from fakes import ALPHA_1, ALPHA_2, ATOM, CROWD, FUND, USDT, fake_run

from flashwick.engine import story as story_module
from flashwick.engine.slippage import lost_usd, outside_prices, valued_prices
from flashwick.engine.telling import UnknownAccount
from flashwick.orderbook.orders import FILL, RESULT, Flag, Kind, Side, messages


@pytest.fixture(scope="module")
def run():
    """The small crash, in which both makers are liquidated."""
    return fake_run()


# -- WHOSE


def test_account_is_found_by_number_and_by_name(run):
    """Its own name, or that of its class and number."""
    assert run.story(ALPHA_2).account == run.story("alpha-2").account == ALPHA_2
    assert run.story(run.account(CROWD)).account == CROWD
    assert run.story(np.int64(ALPHA_1)).account == ALPHA_1


def test_default_is_the_largest_maker_that_was_liquidated(run):
    """By its equity before the first shock."""
    run.maker_facts[:] = [
        evolve(maker, equity_before=2e6 if maker.account == ALPHA_2 else 1e6)
        for maker in run.maker_facts
    ]
    assert run.story().account == ALPHA_2


def test_default_without_makers_is_who_traded_most_by_force():
    """The account behind most of the engine's volume."""
    run = fake_run()
    run.maker_facts.clear()
    trades = run.prints
    usd = {
        account: trades.usd[trades.forced & (trades.taker == account)].sum()
        for account in (ALPHA_1, ALPHA_2)
    }
    assert run.story().account == max(usd, key=usd.get)


def test_run_without_a_liquidation_asks_for_a_name():
    """There is no default to tell of."""
    with pytest.raises(LookupError, match="nobody was liquidated in this run; name"):
        fake_run(crashes=False).story()


@pytest.mark.parametrize("name", ["alpha-3", "alpa-2"])
def test_unknown_name_is_refused_with_the_nearest(run, name):
    """The message has what came and what may be meant."""
    with pytest.raises(UnknownAccount, match=rf"{name}'; did you mean .*alpha-2'"):
        run.story(name)


@pytest.mark.parametrize("account", [-1, 7, 10**12, True, 2.0])
def test_unknown_number_is_refused_with_the_range(run, account):
    """As many as the run has accounts."""
    with pytest.raises((UnknownAccount, TypeError), match="from 0 to 6"):
        run.story(account)


# -- WHAT


def test_lines_are_in_order_and_hold_the_whole_way(run):
    """Before, repricing, breach, each forced order, what others paid, and the end."""
    story = run.story("alpha-2")
    assert [line.time for line in story.lines] == sorted(
        line.time for line in story.lines
    )
    kinds = [line.kind for line in story.lines]
    assert kinds[:4] == ["sample", "index", "breach", "index"]
    for kind in ("order", "takeover", "fund", "claim"):
        assert kind in kinds
    first = story.lines[kinds.index("breach")]
    assert first.text == "fell to health 1.03; the repricing of WBETH cost it most"
    assert run.log[first.cause].kind == "index"


def test_orders_hold_every_forced_trade_of_the_account(run):
    """Volume, coins and losses add up to those of its trades."""
    for account in (ALPHA_1, ALPHA_2):
        story, trades = run.story(account), run.prints
        rows = np.flatnonzero(trades.forced & (trades.taker == account))
        assert len(rows)
        assert story.forced_usd == pytest.approx(trades.usd[rows].sum())
        assert story.lost_usd == pytest.approx(lost_usd(run, rows).sum())
        orders = [line for line in story.lines if line.kind == "order"]
        assert len(orders) == len(np.unique(trades.order[rows]))
        assert fsum(o.qty for o in orders) == pytest.approx(trades.qty[rows].sum())


def test_order_is_told_with_its_average_price_and_what_it_was_valued_at():
    """620 ATOM in two trades: 500 at 3.1 and 120 at 0.3, while its index was 3.6."""
    run = fake_run()
    run.series.index[72, ATOM] = 3.6
    order = [line for line in run.story("alpha-2").lines if line.kind == "order"][-1]
    average = (500 * 3.1 + 120 * 0.3) / 620
    assert (order.qty, order.asked, order.outside) == (620.0, 620.0, 4.0)
    assert order.paid == pytest.approx(average)
    assert order.valued == pytest.approx(3.6)
    assert order.lost == pytest.approx(620 * (4.0 - average))
    assert order.text == (
        "sell collateral: sold 620 ATOM on ATOM/USDT at 2.5581 on average, −28.9 % "
        "against its index 3.6; 1.59 k USD, 894 lost"
    )
    assert run.log[order.cause].kind == "liquidation"


def test_what_others_bore_is_told_with_its_amount(run):
    """Of the fund, of the takeover, and of what nobody paid."""
    told = {line.kind: line for line in run.story("alpha-2").lines}
    assert told["fund"].text == "the insurance fund paid 50.0 k USD of its USDT"
    assert told["claim"].text == "it still owes 1.00 k USD of USDT: nobody paid"
    assert told["takeover"].text == "its ATOM/USDT taken over, 7.00 k USD at mark"
    assert told["takeover"].usd == 7e3


def test_winner_that_was_deleveraged_has_it_in_its_story():
    """The other side of somebody's bankruptcy."""
    run = fake_run()
    breach = next(run.log.single("breach"))
    run.log.add(
        "adl",
        breach.time,
        breach.id,
        account=ALPHA_1,
        counterparty=CROWD,
        market=ATOM,
        side=Side.SELL,
        price=3_800,
        qty=50_000,
        value=950.0,
    )
    (line,) = [line for line in run.story(CROWD).lines if line.kind == "adl"]
    assert "was deleveraged: it bought 500 ATOM" in line.text


def test_step_that_found_nobody_is_told():
    """An order without trades has its line, with what was asked."""
    other = fake_run()
    breach = next(e for e in other.log.single("breach") if e.account == ALPHA_1)
    step = other.log.add(
        "liquidation",
        breach.time,
        breach.id,
        account=ALPHA_1,
        market=ATOM,
        text="sell_collateral",
    )
    sent = messages(1)
    sent["kind"], sent["flags"] = int(Kind.MARKET), int(Flag.LIQUIDATION)
    sent["account"], sent["market"], sent["cause"] = ALPHA_1, ATOM, step
    sent["qty"], sent["time"], sent["side"] = 25_000, breach.time, int(Side.SELL)
    other.log.add_batch(sent, np.zeros(1, RESULT), np.zeros(0, FILL))
    lines = [line for line in other.story(ALPHA_1).lines if not line.qty]
    assert [line.text for line in lines] == [
        "sell collateral: nobody took 250 ATOM on ATOM/USDT"
    ]


def test_title_says_when_how_often_and_what_it_cost(run):
    """One sentence for the whole story."""
    story = run.story("alpha-2")
    assert story.title == (
        "alpha-2 was liquidated 3 times, first at 64.8 s; 4.83 k USD traded by force, "
        "1.25 k lost"
    )


def test_moment_with_many_takeovers_is_one_line_of_a_long_story(monkeypatch):
    """With how many and what they come to."""
    run = fake_run()
    breach = next(run.log.single("breach"))
    for kind, text in (("takeover", "USD at mark"), ("adl", "in profit")):
        for _ in range(3):
            run.log.add(
                kind,
                breach.time,
                breach.id,
                account=ALPHA_1,
                counterparty=CROWD,
                market=ATOM,
                side=Side.SELL,
                qty=100,
                value=1e3,
                text=text,
            )
    monkeypatch.setattr(story_module, "LONG", 1)
    told = [line.text for line in run.story(ALPHA_1).told()]
    assert "taken over 3 times, 3.00 k USD together" in told
    assert "deleveraged 3 times, 3.00 k USD of profit forgone" in told


# -- WHO WAS SPARED


def test_account_that_was_never_liquidated_says_so_with_its_lowest_health():
    """Of a maker that is sampled."""
    story = fake_run(crashes=False).story("alpha-1")
    lowest = fake_run(crashes=False).series.maker_health[:, 0].min()
    assert not story.liquidated
    assert story.title == (
        "alpha-1 was never liquidated; its lowest known health was "
        f"{lowest:.2f} at 75.0 s"
    )
    assert story.forced_usd == 0.0


def test_account_of_which_nothing_is_known_says_that(run):
    """Who is neither sampled nor warned has no known health."""
    story = run.story(FUND)
    assert story.title == (
        "insurance fund was never liquidated; its health is not known: it was never "
        "warned, and only market makers' is sampled"
    )
    assert isnan(story.lowest_health[0])


# -- TELLING IT


def test_long_story_sums_the_orders_of_a_moment_and_loses_no_dollar(run, monkeypatch):
    """The lines, the table and the sums are those of the whole story."""
    story = run.story("alpha-1")
    whole = story.told()
    assert whole == list(story.lines)
    monkeypatch.setattr(story_module, "LONG", 1)
    monkeypatch.setattr(
        story_module, "_moment", lambda line: (0, line.kind, line.kind == "order")
    )
    told = story.told()
    assert len(told) < len(whole)
    usd = fsum(line.usd for line in told if line.kind == "order")
    assert usd == pytest.approx(story.forced_usd)
    assert "orders, " in str(story)
    assert (
        "largest loss on WBETH/USDT: sold at 3,240.00 "
        "(outside 4,000.00, valued by the venue at 3,300.00)"
    ) in "".join(line.text for line in told)
    assert f"table() has all {len(whole)} lines" in story.grid().note
    assert story.table().num_rows == len(whole)


def test_text_has_a_line_for_each_and_the_numbers_of_event_and_cause(run):
    """Title first; each event names its cause."""
    story = run.story("alpha-2")
    text = str(story).splitlines()
    assert text[0] == f"{story.title}:"
    assert len(text) == 1 + len(story.lines)
    for line, words in zip(story.lines, text[1:], strict=True):
        assert line.text in words
        assert not line.event or words.endswith(f"[{line.event} ← {line.cause}]")


def test_table_has_a_row_for_each_line(run):
    """With the kinds, amounts and causes under their names."""
    story = run.story("alpha-2")
    rows = story.table().to_pylist()
    assert [row["kind"] for row in rows] == [line.kind for line in story.lines]
    assert {"event", "cause", "time", "market", "paid", "valued", "lost"} <= {*rows[0]}
    assert fsum(row["usd"] for row in rows if row["kind"] == "order") == (
        story.forced_usd
    )


def test_page_of_a_story_escapes_its_texts(run):
    """As any other table."""
    page = run.story("alpha-2")._repr_html_()
    assert page.count("<tr>") == 1 + len(run.story("alpha-2").lines)
    assert "&lt;" not in page


# -- WHAT TRADES LOST


def test_loss_is_against_the_price_outside_on_either_side(run):
    """Who sells below it loses, who buys below it gains."""
    trades = run.prints
    rows = np.arange(len(trades.time))
    outside = outside_prices(run, rows)
    assert set(outside.tolist()) == {4000.0, 4.0}
    lost = (outside - trades.price) * trades.qty
    lost = np.where(trades.side == Side.SELL, lost, -lost)
    assert lost_usd(run, rows) == pytest.approx(lost)


def test_perpetual_is_valued_at_its_mark(run):
    """A market that has a mark is taken at it, any other at its index."""
    other = fake_run()
    other.series.mark[:, ATOM] = 3.0
    rows = np.arange(len(other.prints.time))
    atom = other.prints.market == ATOM
    assert (valued_prices(other, rows)[atom] == 3.0).all()
    assert (valued_prices(other, rows)[~atom] > 1000.0).all()
    assert USDT == 2
