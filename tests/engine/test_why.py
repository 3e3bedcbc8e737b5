"""Why a print happened: chains, their words, and where forced volume came from."""

from itertools import pairwise

import numpy as np
import pytest
from attrs import evolve
from crash_run import A, Known
from fakes import ALPHA_1, ALPHA_2, ATOM, STALE, USDT, fake_run, with_prints
from hypothesis import given
from hypothesis import strategies as st

from flashwick.engine import facts
from flashwick.engine.causes import Links
from flashwick.engine.events import EventLog
from flashwick.engine.look import NoFigure
from flashwick.engine.pages.cause_figures import (
    THREAD,
    TRUNK,
    chain_figure,
    flow_figure,
)
from flashwick.engine.slippage import lost_usd
from flashwick.engine.why import Fold, Step, fold, forward
from flashwick.orderbook.orders import Side


@pytest.fixture(scope="module")
def run():
    """The small crash, with six rounds of forced sales."""
    return fake_run()


# -- THE CHAIN


def test_deepest_print_is_walked_back_to_the_shock(run):
    """Each step is the cause of the one before it, and the last has none."""
    why = run.why()
    first, last = why.steps[0].event, why.steps[-1].event
    assert (first.kind, first.market, first.account) == ("trade", ATOM, ALPHA_2)
    assert (first.counterparty, first.price) == (STALE, 300)
    assert (last.kind, last.cause) == ("shock", 0)
    for step, cause in zip(why.steps, why.steps[1:], strict=False):
        assert step.event.cause == cause.event.id


def test_forced_print_that_is_not_the_deepest_is_called_so(run):
    """The title names the deeper print that nobody was forced to make."""
    assert "forced" not in run.why().title
    low = facts.deepest_print(run)
    forced = run.prints.forced.copy()
    forced[low] = False
    other = with_prints(run, evolve(run.prints, forced=forced))
    assert other.why().title == (
        "Why WBETH/USDT traded at 2,940.00 at 68.0 s, −26.5 % against its price before "
        "(the deepest forced print; the deepest of all, not forced, was ATOM/USDT at "
        "0.3, −92.5 %):"
    )
    assert other.why("ATOM/USDT").title.startswith("Why ATOM/USDT traded at 0.3")


def test_chain_goes_through_order_liquidation_breach_and_repricing(run):
    """The kinds come in the order in which the machine works."""
    kinds = [step.kind for step in run.why().steps]
    assert kinds[:6] == ["trade", "order", "liquidation", "breach", "index", "trade"]
    assert kinds[-4:] == ["index", "trade", "order", "shock"]


def test_steps_are_sentences_with_who_what_and_how_much(run):
    """The words have the account, the amount, the price and the change."""
    text = {step.kind: step.text for step in reversed(run.why().steps)}
    assert text["trade"] == (
        "alpha-2 sold 120 ATOM on ATOM/USDT at 0.3 (36 USDT) to stale bidder 4, "
        "part of an order of 620"
    )
    assert text["liquidation"] == "liquidation of alpha-2: sell collateral, ATOM/USDT"
    assert text["breach"] == (
        "alpha-2 fell to health 1.03; the repricing of WBETH cost it most"
    )
    assert (
        text["index"] == "index price of WBETH went from 3,000.00 to 2,940.00 (−2.0 %)"
    )
    assert text["shock"] == "sale of USD 1,000,000 of WBETH"


def test_warning_says_at_what_health_and_what_cost_most():
    """As a breach does, with two digits of the health."""
    run = fake_run()
    breach = next(run.log.single("breach"))
    warning = run.log.add(
        "warning",
        breach.time,
        breach.cause,
        account=breach.account,
        asset=breach.asset,
        value=1.387,
        text="health",
    )
    assert run.why(event_id=warning).steps[0].text == (
        "alpha-1 was warned at health 1.39; the repricing of WBETH cost it most"
    )


def test_sale_of_what_had_not_fallen_is_noted(run):
    """The liquidation of ATOM says that ATOM's own price was not the reason."""
    notes = [step.note for step in run.why().steps if step.kind == "liquidation"]
    assert notes[0] == "ATOM had not fallen when forced sales of it began: 0.0 %"
    assert not any(notes[1:]), "WBETH had fallen"


def test_age_of_the_order_that_was_hit_is_noted(run):
    """The stale bid had been there from the start."""
    assert run.why().steps[0].note == "the order it hit was there from the start"


def test_deepest_print_of_a_market_is_that_of_the_market(run):
    """With a market its own lowest print is walked back."""
    why = run.why("WBETH/USDT")
    assert why.title.startswith("Why WBETH/USDT traded at 2,940.00")


def test_any_event_can_be_asked_for(run):
    """A breach, too, has a chain to the shock."""
    breach = next(run.log.single("breach"))
    why = run.why(event_id=breach.id)
    assert [step.kind for step in why.steps] == [
        "breach",
        "index",
        "trade",
        "order",
        "shock",
    ]
    assert why.title.startswith("Why breach at 62.0 s")


@pytest.mark.parametrize("event_id", [0, -1, 10**9])
def test_event_that_is_not_there_is_refused(run, event_id):
    """The message says which events there are."""
    with pytest.raises(LookupError, match=rf"from 1 to {len(run.log)} \(got"):
        run.why(event_id=event_id)


def test_market_without_trades_has_no_deepest_print():
    """A run in which nothing happened says so instead of guessing."""
    quiet = fake_run(crashes=False)
    quiet.prints.time[:] = -1.0
    with pytest.raises(LookupError, match="nothing traded in ATOM/USDT"):
        quiet.why("ATOM/USDT")


# -- TELLING IT


def test_rounds_that_repeat_are_told_once():
    """The text stays short however many rounds there are; the steps are all kept."""
    short, long = fake_run(rounds=6).why(), fake_run(rounds=30).why()
    assert len(long.steps) == len(short.steps) + 5 * 24
    assert len(str(long).splitlines()) == len(str(short).splitlines())
    assert "these 4 links 29 times more" in str(long)


def test_pattern_comes_before_its_fold_in_both_directions(run):
    """Read from the root, too, the links come first and the repetition after them."""
    links = run.why().links()
    turned = forward(links)
    assert len(turned) == len(links)
    at = next(i for i, link in enumerate(turned) if isinstance(link, Fold))
    size = turned[at].links
    kinds = [link.kind for link in turned[at - size : at]]
    assert kinds == ["liquidation", "trade", "index", "breach"]
    assert turned[0].kind == "shock"
    assert turned[-1].kind == "trade"


class Link:
    """A step that is only its key."""

    def __init__(self, key: str) -> None:
        self.key, self.time = key, 0.0


@given(st.text("ab", max_size=60))
def test_folds_lose_no_link(word):
    """Told again, the folded links give the chain that was folded."""
    told = ""
    for link in fold([Link(key) for key in word], lambda link: (link.key,)):
        told += told[-link.links :] * link.times if isinstance(link, Fold) else link.key
    assert told == word


@pytest.mark.parametrize(
    ("word", "shown"), [("aab", 3), ("aaab", 3), ("abababab", 3), ("xabcabcabcy", 6)]
)
def test_pattern_is_folded_from_three_times_on(word, shown):
    """Twice is told as it is; three times and more as once and a fold."""
    links = fold([Link(key) for key in word], lambda link: (link.key,))
    assert len(links) == shown


def test_picture_has_a_card_for_each_link(run):
    """In HTML, root first, with the kind of each event and an escaped text."""
    why = run.why()
    page = why._repr_html_()
    assert page.count("<li") == len(why.links())
    assert page.index('class="shock"') < page.index('class="liquidation"')


def test_figure_has_a_mark_and_words_for_each_link(run):
    """Root on top; each step with what happened and what goes back to it."""
    why = run.why()
    figure = chain_figure(why)
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    places = [trace.y[0] for trace in marks]
    assert len(marks) == len(why.links())
    assert places == sorted(places, reverse=True)
    words = [note.text for note in figure.layout.annotations]
    for link in why.links():
        told = link.text.split(";")[0][:30]
        assert any(told in text.replace("<br>", " ") for text in words)
    assert any(why.flow_text(why.steps[-1]) in text for text in words)


def test_trunk_of_the_figure_is_as_wide_as_what_goes_on(run):
    """Each piece leads from one step to the next, as wide as the flow of the next."""
    why = run.why()
    flows = [why.flow(s).usd for s in forward(why.links()) if isinstance(s, Step)]
    trunks = [
        trace
        for trace in chain_figure(why).data
        if trace.fill == "toself" and max(trace.x) == 0.0 and len(trace.x) == 5
    ]
    widths = [-min(trunk.x) for trunk in trunks]
    assert len(trunks) == len(flows) - 1
    for width, flow in zip(widths, flows[1:], strict=True):
        assert width == pytest.approx(TRUNK * max(THREAD, flow / max(flows)))


# -- WHAT GOES BACK TO A STEP


def test_root_of_the_chain_has_all_forced_trades(run):
    """All of them come from the one shock; the print itself has its own dollars."""
    why, trades = run.why(), run.prints
    forced = trades.forced
    assert why.flows[-1].trades == forced.sum()
    assert why.flows[-1].usd == pytest.approx(trades.usd[forced].sum())
    rows = np.flatnonzero(forced)
    assert why.flows[-1].lost == pytest.approx(lost_usd(run, rows).sum())
    assert why.flows[0].usd == pytest.approx(120 * 0.3)
    assert why.flows[0].trades == 1


def test_flow_of_a_step_is_what_its_walk_back_meets(run):
    """Counted one by one: a trade goes back to a step if its chain holds it."""
    why, trades = run.why(), run.prints
    chains = [
        {event.id for event in run.log.chain(int(event))}
        for event in trades.event[trades.forced]
    ]
    for step in why.steps:
        met = [step.event.id in chain for chain in chains]
        assert why.flow(step).trades == sum(met)
        assert why.flow(step).usd == pytest.approx(trades.usd[trades.forced][met].sum())


def test_flow_never_grows_away_from_the_root(run):
    """What goes back to an event goes back to its cause."""
    usd = [flow.usd for flow in run.why().flows]
    assert usd == sorted(usd)


def test_run_without_forced_trades_counts_all():
    """Else the picture of such a run would be empty."""
    run = fake_run(crashes=False)
    why = run.why()
    assert why.flows[0].usd > 0.0
    assert why.flow_text(why.steps[0]).endswith("traded")


def test_table_of_a_chain_has_a_row_for_each_step(run):
    """Numbers of event and cause, words, and what goes back to it."""
    why = run.why()
    rows = why.table().to_pylist()
    assert [row["event"] for row in rows] == [step.event.id for step in why.steps]
    assert [row["text"] for row in rows] == [step.text for step in why.steps]
    assert rows[-1]["forced_usd"] == why.flows[-1].usd
    for row, cause in pairwise(rows):
        assert row["cause"] == cause["event"]


# -- THE WHOLE GRAPH


def test_causes_hold_every_forced_trade(run):
    """Volume and trades add up to what the liquidation engine traded."""
    rows = run.causes().to_pylist()
    assert sum(row["usd"] for row in rows) == pytest.approx(
        run.prints.usd[run.prints.forced].sum()
    )
    assert sum(row["trades"] for row in rows) == run.prints.forced.sum()
    assert {row["root"] for row in rows} == {"sale of USD 1,000,000 of WBETH"}
    assert {row["repriced"] for row in rows} == {"WBETH index"}
    assert {row["group"] for row in rows} == {"market makers"}


def test_causes_hold_what_was_lost(run):
    """The sum is that of all forced trades against the price outside."""
    lost = lost_usd(run, np.flatnonzero(run.prints.forced)).sum()
    assert sum(row["lost"] for row in run.causes().to_pylist()) == pytest.approx(lost)


def test_flow_of_the_run_has_five_columns_of_the_same_width(run):
    """Shock, repricing, class, market, wick: each holds every forced dollar."""
    (flow,) = run.flow().data
    assert set(flow.node.label) == {
        "sale of USD 1,000,000 of WBETH",
        "WBETH index",
        "market makers",
        "ATOM/USDT",
        "WBETH/USDT",
        "fell 90 % or more",
        "fell 5 to 50 %",
    }
    forced = run.prints.usd[run.prints.forced].sum()
    sources, targets = set(flow.link.source), set(flow.link.target)
    assert len(sources - targets) == 1, "one shock"
    links = list(
        zip(*(flow.link[k] for k in ("source", "target", "value")), strict=True)
    )
    out = sum(value for source, _, value in links if source not in targets)
    into = sum(value for _, target, value in links if target not in sources)
    assert out == pytest.approx(forced, abs=5)
    assert into == pytest.approx(forced, abs=5)
    assert all("USD forced" in told for told in flow.link.customdata)


def test_long_name_is_cut_in_the_picture_and_told_on_hovering():
    """Else it would lie on the names of the next column."""
    shock = "sale of everything that anybody ever had of wrapped ether"
    (flow,) = fake_run(shock=shock).flow().data
    assert "sale of everything that …" in flow.node.label
    assert any(told.startswith(shock) for told in flow.node.customdata)


def test_smallest_names_of_a_column_go_by_one(run):
    """With how many they are."""
    labels = flow_figure(run, shown=0).data[0].node.label
    assert "2 others" in labels


def test_generation_counts_the_breaches_on_the_way(run):
    """The first sales follow one breach, those of each later round one more."""
    wbeth = {
        row["generation"]: row["usd"]
        for row in run.causes().to_pylist()
        if row["market"] == "WBETH/USDT"
    }
    assert sorted(wbeth) == [1, 2, 3, 4, 5, 6]
    assert wbeth[1] == pytest.approx(20 * 3240)
    atom = [
        r["generation"] for r in run.causes().to_pylist() if r["market"] != "WBETH/USDT"
    ]
    assert sorted(atom) == [1, 7]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.data())
def test_origin_is_what_walking_back_finds(picks, data):
    """All at once have the same root, breach and count as each walked to its end."""
    log = EventLog()
    for i, pick in enumerate(picks):
        kind = data.draw(st.sampled_from(["breach", "index"]))
        log.add(kind, i, pick % (i + 1))
    some = data.draw(st.sets(st.integers(1, len(picks)), min_size=1))
    events = np.array(sorted(some))
    origins = Links.of(log).ancestry(events)
    for event_id, row in zip(events.tolist(), origins.of(events).tolist(), strict=True):
        chain = log.chain(event_id)
        breaches = [event.id for event in chain if event.kind == "breach"]
        assert origins.event[row] == event_id
        assert origins.root[row] == chain[-1].id
        assert origins.generation[row] == len(breaches)
        assert origins.breach[row] == [*breaches, chain[-1].id][0]


def test_forced_trades_are_walked_back_to_a_shock() -> None:
    """By the US dollars: through breaches and orders, however long the way is."""
    story = Known()
    shock = story.shock()
    own = story.trade(125.0, A, 99.0)
    breaches = [story.log.add("breach", 130 * 10**9, c) for c in (shock, own, 0)]
    for time, usd, cause in (
        (190.0, 100.0, breaches[0]),
        (191.0, 300.0, breaches[1]),
        (192.0, 200.0, breaches[2]),
        (251.0, 400.0, shock),
    ):
        story.trade(time, A, 100.0, usd / 100.0, forced=True, cause=cause)
    met = story.log.next_id  # the order that comes next meets an emptied book
    late = story.trade(255.0, A, 90.0)
    story.log.met.add(np.array([met]), np.array([shock]))
    story.trade(310.0, A, 100.0, 10.0, forced=True, cause=late)
    run = story.run()
    for part, share in (
        (("20:51", "20:52"), 100 / 600),
        (("20:52", "20:53"), 1.0),
        (None, 1500 / 2000),
    ):
        assert run.measure("forced.from_shocks", part) == pytest.approx(share)
    with pytest.raises(NoFigure, match="nothing was traded by force then"):
        run.measure("forced.from_shocks", ("20:48", "20:49"))


def test_forced_trades_that_nothing_caused_go_back_to_no_shock() -> None:
    """The share is 0, and not unknown."""
    story = Known()
    story.shock()
    story.trade(190.0, A, 100.0, forced=True)
    assert story.run().measure("forced.from_shocks") == 0.0


# -- DELEVERAGING


def test_deleveraging_says_who_closed_against_whom_and_what_it_lost() -> None:
    """Sides of the winner: against a long that is closed it bought."""
    run = fake_run()
    breach = next(run.log.single("breach"))
    told = []
    for side, lost in ((Side.SELL, 950.0), (Side.BUY, -20.0)):
        event = run.log.add(
            "adl",
            breach.time,
            breach.id,
            account=ALPHA_1,
            counterparty=ALPHA_2,
            market=ATOM,
            side=side,
            price=3_800,
            qty=50_000,
            value=lost,
            text="USD of profit forgone",
        )
        told.append(run.why(event_id=event).steps[0].text)
    assert [text.removeprefix("alpha-2 was deleveraged: it ") for text in told] == [
        "bought 500 ATOM on ATOM/USDT at 3.8 from alpha-1, 950 USD of profit forgone",
        "sold 500 ATOM on ATOM/USDT at 3.8 to alpha-1, 20 USD better than at mark",
    ]


def test_shared_loss_says_how_many_bore_how_much() -> None:
    """And whose it was."""
    run = fake_run()
    event = run.log.add(
        "socialised", 0, 0, account=ALPHA_2, asset=USDT, qty=312, value=2.5e6
    )
    (step,) = run.why(event_id=event).steps
    assert step.text == "312 accounts bore 2.50 M USD of what alpha-2 owed"
