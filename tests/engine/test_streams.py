"""The stream of a run: taken, edited, replayed open-loop and closed-loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from own_agents import Gambler, WickBuyer
from worlds import CANCEL, ORDER, SMALL

import flashwick as fw
from flashwick.engine.store import event_fingerprint, fingerprint
from flashwick.engine.stream_rows import ROW
from flashwick.engine.stream_table import COLUMNS
from flashwick.engine.streams import Edits


@pytest.fixture(scope="module")
def run() -> fw.Run:
    """A run of the small crash."""
    return SMALL.run(seed=1)


@pytest.fixture(scope="module")
def stream(run: fw.Run) -> fw.Stream:
    """Its stream."""
    return run.stream()


def same(one: fw.Run, other: fw.Run) -> bool:
    """Whether trades, messages, replies and all other events are equal to the byte."""
    tables = zip(one.log.messages(), other.log.messages(), strict=True)
    return (
        fingerprint(one) == fingerprint(other)
        and event_fingerprint(one) == event_fingerprint(other)
        and all(a.tobytes() == b.tobytes() for a, b in tables)
    )


# -- UNEDITED


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unedited_replay_in_an_open_loop_is_the_run(seed: int) -> None:
    """Byte for byte: trades, messages, replies, events with their causes."""
    run = SMALL.run(seed=seed)
    again = SMALL.replay(run.stream())
    assert len(run.prints.time) > 300
    assert same(run, again)
    assert run.outcome["conserved"] == again.outcome["conserved"] == 1.0


SHIPPED = ["atom-sweep", "unified-margin-wick", "whole-chain"]


@pytest.mark.parametrize("scenario", SHIPPED)
def test_unedited_replays_of_shipped_scenarios_are_their_runs(scenario: str) -> None:
    """Open-loop, through thousands of liquidations, and with lending on chain."""
    crash = fw.load(scenario)
    run = crash.run(seed=4)
    assert same(run, crash.replay(run.stream(), loop="open"))


def test_unedited_replay_in_a_closed_loop_is_the_simulation(
    run: fw.Run, stream: fw.Stream
) -> None:
    """Nobody was edited, so everybody acts by himself."""
    assert same(run, SMALL.replay(stream, loop="closed"))


def test_nobody_draws_or_decides_in_an_open_loop(stream: fw.Stream) -> None:
    """Makers that would withdraw sooner send what they sent."""
    careful = SMALL.vary({"market_makers.alpha.withdraw_at": 1e6})
    columns = ["time", "market", "price", "qty", "taker_account", "maker_account"]
    run, acted, replayed = (
        r.trades().select(columns)
        for r in (SMALL.run(seed=1), careful.run(seed=1), careful.replay(stream))
    )
    assert acted != run
    assert replayed == run
    series = SMALL.replay(stream).series
    assert np.isnan(series.maker_quoting).all()
    assert np.isfinite(series.maker_equity).all()


def test_a_replay_can_be_replayed(run: fw.Run, stream: fw.Stream) -> None:
    """Its stream is the one that was played."""
    again = SMALL.replay(stream).stream()
    assert again.rows.tobytes() == stream.rows.tobytes()


def test_agents_of_ones_own_are_played_like_everybody() -> None:
    """Their accounts, their wake-ups and their messages are in the stream."""
    agents = [WickBuyer(), Gambler()]
    run = SMALL.run(seed=1, agents=agents)
    stream = run.stream()
    assert stream.where(sender="agents.Gambler").sum() > 50
    assert same(run, SMALL.replay(stream))
    assert same(run, SMALL.replay(stream, loop="closed", agents=agents))
    with pytest.raises(fw.StreamError, match=r"\(wick-buyer, Gambler\), which react"):
        SMALL.replay(stream, loop="closed")


def test_edited_agents_of_a_scenario_are_played() -> None:
    """Like other edited senders; given beside edited rows of its own it is refused."""
    joined = SMALL.with_agents([WickBuyer(), Gambler()])
    stream = joined.run(seed=1).stream()
    less = stream.drop(stream.where(sender="agents.wick-buyer"))
    replayed = joined.replay(less, loop="closed")
    assert list(replayed.agents) == ["Gambler"]
    without = SMALL.run(seed=1, agents=[Gambler()])
    columns = ["time", "market", "side", "price", "qty", "liquidation"]
    assert replayed.trades().select(columns) == without.trades().select(columns)
    for loop in ("open", "closed"):
        with pytest.raises(fw.StreamError, match="has edited rows of agent 'wick-buye"):
            SMALL.replay(less, loop=loop, agents=[WickBuyer(), Gambler()])


def test_a_new_agent_reacts_to_a_stream_that_does_not_react_to_it(
    stream: fw.Stream,
) -> None:
    """Open-loop it is alone in acting by itself; closed-loop all do, as in a run."""
    opened = SMALL.replay(stream, agents=[WickBuyer()])
    assert len(opened.agents["wick-buyer"].fills) > 0  # type: ignore[attr-defined]
    closed = SMALL.replay(stream, loop="closed", agents=[WickBuyer()])
    assert same(closed, SMALL.run(seed=1, agents=[WickBuyer()]))


# -- WHAT IS IN IT


def test_table_has_what_was_sent_in_units(run: fw.Run, stream: fw.Stream) -> None:
    """Messages through the gateway as the run's own table has them, and no others."""
    table = stream.table
    assert tuple(table.column_names) == COLUMNS
    rows = [row for row in table.to_pylist() if row["kind"] in ("limit", "market")]
    sent = {row["event"]: row for row in run.messages().to_pylist()}
    events = stream.rows["event"][stream.rows["kind"] <= 1].tolist()
    assert len(rows) == len(events) > 500
    for row, event in zip(rows, events, strict=True):
        for name in ("time", "kind", "market", "account", "side", "price", "qty"):
            assert row[name] == sent[event][name]
        assert row["order"] == sent[event]["order"]
    _, raw, _ = run.log.messages()
    assert (raw["flags"] & int(fw.Flag.LIQUIDATION)).any()
    assert (stream.rows["flags"] & int(fw.Flag.LIQUIDATION) == 0).all()


def test_table_has_what_was_done_beside_messages(stream: fw.Stream) -> None:
    """Coins moved, trades elsewhere, decisions told."""
    rows = stream.table.to_pylist()
    kinds = {row["kind"] for row in rows}
    assert kinds == {
        *("limit", "market", "replace", "cancel", "cancel_all"),
        *("transfer", "outside", "note"),
    }
    notes = [row["text"] for row in rows if row["kind"] == "note"]
    assert any(text.startswith("withdrawal: bids withdrawn") for text in notes)
    assert any(text.startswith("refusal: messages of") for text in notes)


def test_rows_are_picked_by_sender_class_kind_and_time(stream: fw.Stream) -> None:
    """A class is all of its senders."""
    rows = stream.table.to_pylist()
    picked = stream.where(sender="market_makers", side=["buy"], after=10.0, before=20)
    assert picked.sum() > 20
    for row, there in zip(rows, picked.tolist(), strict=True):
        maker = row["sender"].startswith("market_makers.")
        assert there == (maker and row["side"] == "buy" and 10 <= row["time"] < 20)
    account = rows[0]["account"]
    assert stream.where(account=account).sum() == sum(
        row["account"] == account for row in rows
    )


# -- EDITS


class Frame:
    """A table as other libraries give theirs to Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, schema: Any = None) -> object:
        return self.table.__arrow_c_stream__(schema)


def test_table_taken_back_unchanged_is_no_edit(stream: fw.Stream) -> None:
    """As an Arrow table, as columns, as a NumPy array, in any order of rows."""
    table = stream.table
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    kinds = [(name, column.dtype) for name, column in columns.items()]
    array = np.empty(len(table), kinds)
    for name, column in columns.items():
        array[name] = column
    for given in (table, shuffled, columns, array, Frame(table)):
        assert stream.edit(given).rows.tobytes() == stream.rows.tobytes()
    assert stream.edits == Edits()


def test_edits_by_method_are_those_by_table(stream: fw.Stream) -> None:
    """Drop, delay and resize, by a script over columns."""
    marked = stream.where(sender="background", side="sell")
    table = stream.table
    assert (
        stream.drop(marked).rows.tobytes()
        == stream.edit(table.filter(pa.array(~marked))).rows.tobytes()
    )
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    later = columns | {"time": columns["time"] + 0.25 * marked}
    assert (
        stream.delay(marked, 0.25).rows.tobytes() == stream.edit(later).rows.tobytes()
    )
    double = columns | {"qty": columns["qty"] * (1 + marked)}
    assert stream.resize(marked, 2).rows.tobytes() == stream.edit(double).rows.tobytes()


def test_resized_by_one_the_largest_orders_stay(stream: fw.Stream) -> None:
    """Quantities are rounded down to whole lots, never up."""
    marked = stream.where(kind="limit")
    large = {**ORDER, "qty": 3e11, "account": 188}
    edited = stream.insert([large])
    again = edited.resize(edited.where(kind="limit"), 1.0)
    assert again.rows.tobytes() == edited.rows.tobytes()
    less = stream.resize(marked, 0.7)
    before = stream.rows["qty"][marked & (stream.rows["qty"] * 0.7 >= 1)]
    after = less.rows["qty"][less.where(kind="limit")]
    assert (after <= 0.7 * before + 1e-6).all()
    assert (after > 0.7 * before - 1.0).all()


def test_edits_are_counted_and_shown(stream: fw.Stream) -> None:
    """How many rows, whose, and from when on."""
    marked = stream.where(sender="background", after=5)
    edited = stream.drop(marked).insert([ORDER])
    assert edited.edits.dropped == marked.sum()
    assert edited.edits.inserted == 1
    assert edited.edits.first == 3_200_000_000  # of the inserted order
    assert edited.edits.senders[0] == "background.retail"
    assert "1 inserted>" in repr(edited)
    told = f"open-loop replay, {marked.sum():,} dropped, 1 inserted"
    replayed = SMALL.replay(edited)
    assert replayed.replayed == told
    assert told in fw.compare(SMALL.run(seed=1), replayed).labels[1]
    assert stream.edits == Edits()


def test_dropped_orders_do_not_come(stream: fw.Stream) -> None:
    """Nothing of the shocks is left; only in a closed loop do makers notice."""
    calm = stream.drop(stream.where(sender="shocks"))
    opened, closed = (SMALL.replay(calm, loop=loop) for loop in ("open", "closed"))
    for replayed in (opened, closed):
        assert replayed.outcome["conserved"] == 1.0
        assert "shocks" not in replayed.replies()["class"].to_pylist()
    sent = [len(r.stream().where(sender="market_makers")) for r in (opened, closed)]
    assert sent[0] != sent[1]
    makers = calm.rows[calm.where(sender="market_makers", kind="cancel_all")]
    replayed = opened.stream()
    again = replayed.rows[replayed.where(sender="market_makers", kind="cancel_all")]
    assert again["time"].tolist() == makers["time"].tolist()
    withdrawn = [
        sum(1 for _ in r.log.single("withdrawal")) for r in (SMALL.run(seed=1), opened)
    ]
    assert withdrawn[0] == withdrawn[1] > 0


@pytest.mark.parametrize("group", ["holders", "background", "arbitrage"])
def test_a_class_dropped_in_a_closed_loop_is_the_scenario_without_it(
    stream: fw.Stream, group: str
) -> None:
    """The same trades, whoever is left: accounts alone have other numbers."""
    columns = ["time", "market", "side", "price", "qty", "liquidation"]
    calm = stream.drop(stream.where(sender=group))
    replayed = SMALL.replay(calm, loop="closed").trades().select(columns)
    without = SMALL.vary({f"{group}.*.enabled": False}).run(seed=1)
    assert replayed == without.trades().select(columns)
    assert replayed != SMALL.run(seed=1).trades().select(columns)


def test_resized_and_delayed_orders_trade_so(stream: fw.Stream) -> None:
    """A shock of half the size, two seconds later, in a closed loop."""
    marked = stream.where(sender="shocks")
    edited = stream.resize(marked, 0.5).delay(marked, 2.0)
    whole, half = (
        sum(t["qty"] for t in messages_of(r, "shocks"))
        for r in (SMALL.run(seed=1), SMALL.replay(edited, loop="closed"))
    )
    assert half == pytest.approx(whole / 2, rel=0.01)
    first = [
        messages_of(r, "shocks")[0]["time"]
        for r in (SMALL.run(seed=1), SMALL.replay(edited))
    ]
    assert first[1] == pytest.approx(first[0] + 2.0, abs=1e-9)


def messages_of(run: fw.Run, group: str) -> list[dict[str, Any]]:
    """What a class of accounts sent."""
    rows = run.messages().to_pylist()
    return [row for row in rows if run.group(row["account"]) == group]


def test_inserted_orders_come_and_their_cancels_find_them(stream: fw.Stream) -> None:
    """Prices are rounded to the passive side, quantities down."""
    account = int(stream.rows["account"][stream.where(sender="background")][0])
    rows = [row | {"account": account} for row in (CANCEL, ORDER)]
    replayed = SMALL.replay(stream.insert(rows))
    own = [
        row for row in messages_of(replayed, "background") if row["time"] in (3.2, 3.9)
    ]
    assert [(row["kind"], row["price"], row["qty"]) for row in own] == [
        ("limit", 1.234, 10.0),
        ("cancel", 0.0, 0.0),
    ]
    assert own[0]["order"] == own[1]["order"]
    assert all(row["accepted"] for row in own)


def test_a_cancel_before_its_order_finds_nothing(stream: fw.Stream) -> None:
    """It is refused, and nobody else's order goes."""
    account = int(stream.rows["account"][stream.where(sender="background")][0])
    early = {**CANCEL, "account": account, "time": 3.1}
    replayed = SMALL.replay(stream.insert([{**ORDER, "account": account}, early]))
    (row,) = [r for r in messages_of(replayed, "background") if r["time"] == 3.1]
    assert (row["accepted"], row["reason"]) == (False, "unknown_order")


def test_cancel_in_the_batch_of_its_order_finds_it(stream: fw.Stream) -> None:
    """However close they come."""
    account = int(stream.rows["account"][stream.where(sender="background")][0])
    rows = [row | {"account": account} for row in (ORDER, CANCEL)]
    rows[1]["time"] = 3.200000001
    replayed = SMALL.replay(stream.insert(rows))
    own = messages_of(replayed, "background")
    (row,) = [r for r in own if r["kind"] == "cancel"]
    assert row["accepted"]


def test_numbers_of_orders_shift_and_nobody_loses_anothers_order(
    stream: fw.Stream,
) -> None:
    """After a drop each replace means the order of its own account, or none."""
    edited = stream.drop(stream.where(sender="background", before=20))
    replayed = SMALL.replay(edited)
    owner: dict[int, int] = {}
    moved = 0
    for row in replayed.messages().to_pylist():
        if row["kind"] in ("limit", "market") and row["order"]:
            owner[row["order"]] = row["account"]
        elif row["kind"] == "replace" and row["accepted"]:
            assert owner[row["order"]] == row["account"]
            moved += 1
    assert moved > 50
    counts = {
        (r["class"], r["reason"]): r["messages"]
        for r in replayed.replies().to_pylist()
        if not r["accepted"]
    }
    was = {
        (r["class"], r["reason"]): r["messages"]
        for r in SMALL.run(seed=1).replies().to_pylist()
        if not r["accepted"]
    }
    lost = ("market_makers", "unknown_order")
    assert counts.get(lost, 0) > was.get(lost, 0)


def test_causes_are_those_of_the_run_up_to_the_edit_and_after_it_known_or_roots(
    run: fw.Run, stream: fw.Stream
) -> None:
    """Shocks and decisions are found again behind an edit; nothing points ahead."""
    late = 25.0
    edited = stream.drop(stream.where(sender="background", after=late))
    replayed = SMALL.replay(edited)
    ids, rows, _ = replayed.log.messages()
    _, before, _ = run.log.messages()
    early = int((rows["time"] < late * 1e9 - 1e9).sum())
    assert rows[:early].tobytes() == before[:early].tobytes()
    assert (rows["cause"] < ids).all()
    shocks = set(replayed.log.rare("shock")[0].tolist())
    flows = {row["event"] for row in messages_of(replayed, "shocks")}
    causes = {int(c) for i, c in zip(ids, rows["cause"], strict=True) if i in flows}
    assert causes
    assert causes <= shocks
    told = dict(
        zip(replayed.log.rare("withdrawal")[0].tolist(), range(10**6), strict=False)
    )
    pulls = rows[(rows["kind"] == fw.Kind.CANCEL_ALL) & (rows["flags"] == 0)]
    assert all(int(row["cause"]) in told for row in pulls)


def test_shocks_are_found_again_by_what_they_are(stream: fw.Stream) -> None:
    """In a scenario where another shock comes later than they do, too."""
    replayed = SMALL.vary({"shocks.0.at": 11.0}).replay(stream)
    told = {event.id: event.text for event in replayed.log.single("shock")}
    ids, rows, _ = replayed.log.messages()
    causes = dict(zip(ids.tolist(), rows["cause"].tolist(), strict=True))
    for market in ("WBETH/USDT", "WBETH/ETH"):
        sold = [
            row["event"]
            for row in messages_of(replayed, "shocks")
            if row["market"] == market and row["time"] < 20
        ]
        assert len(sold) == 16
        texts = {told.get(causes[event]) for event in sold}
        assert texts == {f"sell 1,300,000 USD of {market} at market"}


def test_empty_stream_leaves_what_the_venue_does_itself(stream: fw.Stream) -> None:
    """Old bids rest, prices are published, nobody sends anything."""
    empty = stream.drop(np.ones(len(stream), np.bool_))
    replayed = SMALL.replay(empty)
    assert len(empty) == 0
    assert set(replayed.replies()["class"].to_pylist()) <= {
        "stale_bids",
        "liquidation engine",
    }
    assert stream.edit(stream.table.slice(0, 0)).edits.dropped == len(stream)
    assert SMALL.run(seed=1).outcome["messages"] > 0 == replayed.outcome["messages"]


def test_rows_out_of_order_are_put_in_order(stream: fw.Stream) -> None:
    """Times decide, and at one time the order of the run."""
    table = stream.table
    back = stream.edit(table.take(np.arange(len(table))[::-1]))
    assert back.rows.tobytes() == stream.rows.tobytes()


def test_transfers_are_edited_too(stream: fw.Stream) -> None:
    """Coins that are not brought are not there."""
    marked = stream.where(kind="transfer")
    replayed = SMALL.replay(stream.drop(marked))
    assert marked.sum() > 3
    assert replayed.outcome["conserved"] == 1.0
    assert replayed.stream().where(kind="transfer").sum() == 0


# -- WHAT CANNOT BE REPLAYED


def test_runs_that_kept_few_messages_have_no_stream() -> None:
    """The remedy is told."""
    run = SMALL.vary({"record.messages": "traded"}).run()
    for ask in (run.stream, run.replies):
        with pytest.raises(fw.StreamError, match=r"record\.messages = 'all'"):
            ask()


def test_runs_that_were_changed_on_the_way_have_no_stream() -> None:
    """Nobody sent what was done to them."""
    simulation = SMALL.start(seed=1).run(until=10.0)
    simulation.exchange.set_price_band("ATOM/USDT", 0.5)
    with pytest.raises(fw.StreamError, match="changed on its way"):
        simulation.finish().stream()


def test_streams_of_other_participants_are_refused(stream: fw.Stream) -> None:
    """Account numbers would be others'; rules may differ."""
    fewer = SMALL.vary({"traders.longs.count": 100})
    with pytest.raises(fw.StreamError, match="other markets or participants"):
        fewer.replay(stream)
    coarse = SMALL.vary({'markets."ATOM/USDT".tick': "0.01"})
    with pytest.raises(fw.StreamError, match="other markets or participants"):
        coarse.replay(stream)
    rule = SMALL.vary({"oracles.WBETH.policy": "redemption"})
    replayed = rule.replay(stream)
    assert replayed.outcome["conserved"] == 1.0
    assert "open-loop replay, seed 1" in repr(replayed)


def test_saved_replays_say_what_they_are(stream: fw.Stream, tmp_path: Path) -> None:
    """Their tables are there; a manifest does not hold the stream."""
    SMALL.replay(stream).save(tmp_path / "replay")
    manifest = json.loads((tmp_path / "replay" / "manifest.json").read_text())
    assert manifest["replayed"] == "open-loop replay"
    with pytest.raises(fw.RunFileError, match="is a replay of a stream"):
        fw.reproduce(tmp_path / "replay")


def test_rows_have_no_padding() -> None:
    """So that equal rows are equal bytes."""
    assert ROW.itemsize == sum(ROW[name].itemsize for name in ROW.names or ())
