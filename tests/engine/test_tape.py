"""Saved messages of a run make the same trades in fresh books."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from attrs import evolve
from pyarrow import parquet
from scenario_text import MINI

from flashwick.engine import tape as module
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit, market
from flashwick.engine.run import Run
from flashwick.engine.scenario import load
from flashwick.engine.store import MANIFEST, OWN, RunFileError, _digest, _facts
from flashwick.engine.tape import replay_run
from flashwick.margin.markets import MarketSpec
from flashwick.orderbook.orders import Flag, Reason, Side

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"


@pytest.fixture(scope="module")
def crash() -> Run:
    """A small crash with liquidations."""
    return load(SMALL).run(seed=0)


@pytest.fixture
def saved(crash: Run, tmp_path: Path) -> Path:
    """The folder it was saved to."""
    return crash.save(tmp_path / "run")


def rewrite(folder: Path, **columns: object) -> None:
    """Change columns of the tape, and let the manifest say that it was so."""
    path = folder / "tape.parquet"
    table = parquet.read_table(path)
    for name, change in columns.items():
        at = table.schema.get_field_index(name)
        values = change(table[name].to_numpy().copy())
        table = table.set_column(at, name, pa.array(values))
    parquet.write_table(table, path)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["tape.parquet"] |= _facts(path)
    del manifest[OWN]
    manifest[OWN] = _digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_crash_comes_out_byte_for_byte(crash: Run, saved: Path) -> None:
    """Every trade, every field of it, and the fate of every message."""
    ids, rows, _ = crash.log.messages()
    found = replay_run(saved)
    assert found.ok
    assert found.rows == len(ids)
    assert found.check("trades equal").matched == len(crash.prints.time) > 100
    assert found.check("fingerprint").matched == 1
    assert found.check("messages accepted").matched == len(ids)
    # Liquidations are among it.
    assert (rows["flags"] & Flag.LIQUIDATION).any()


def test_the_shipped_sweep_comes_out_byte_for_byte(tmp_path: Path) -> None:
    """71 prints of the real ladder; with a price band fewer, and the same again."""
    scenario = load("atom-sweep")
    for n, one in enumerate((scenario, scenario.variation("band-30"))):
        run = one.run(seed=0)
        found = replay_run(run.save(tmp_path / f"run-{n}"))
        assert found.ok
        assert found.check("trades equal").total == (71, 41)[n]


def test_the_books_at_the_end_can_start_another_exchange(saved: Path) -> None:
    """Of a market of the run; the nearest name is told for another."""
    found = replay_run(saved)
    state = found.state("ATOM/USDT")
    assert len(state.asks) > 0
    exchange = Exchange.from_book(state)
    for side in (Side.BUY, Side.SELL):
        number = list(found.markets).index("ATOM/USDT")
        theirs = found.books.orders(number, side)
        ours = exchange.books.orders(0, side)
        assert ours["price"].tolist() == theirs["price"].tolist()
        assert ours["qty"].tolist() == theirs["qty"].tolist()
    assert exchange.books.last_price(0) == state.last > 0
    with pytest.raises(LookupError, match=r"did you mean 'ATOM/USDT'\?"):
        found.state("ATOM/USDC")


def test_batches_are_whole_across_pieces(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tape is read in pieces, whose ends are not those of batches."""
    monkeypatch.setattr(module, "ROWS_READ", 7)
    shares: list[float] = []
    assert replay_run(saved, on_progress=shares.append).ok
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] < 0.1
    assert shares[-1] == 1.0


# -- WHAT THE LEDGER HAD A SAY IN


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A run by hand, of refused and cut orders, saved as one of a scenario."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    base = load(path).run(seed=0)
    specs = [
        MarketSpec.define(name, market.tick, market.lot, {"ATOM": 6})
        for name, market in base.scenario.config.markets.items()
    ]
    exchange = Exchange(specs, decimals={"ATOM": 6})
    exchange.reprice({"ETH": 4_000, "WBETH": 4_300, "ATOM": 4})
    seller, holder, buyer = (exchange.open_account({"USDT": 10**6}) for _ in range(3))
    poor = exchange.open_account()
    perp = "ETH/USDT:PERP"

    def limit_(who: int, side: str, price: float, qty: int, **more: bool) -> Reason:
        return exchange.submit(limit(who, perp, side, price, qty, **more)).reason

    assert limit_(seller, "sell", 4_000, 20) == Reason.OK
    assert limit_(poor, "buy", 4_000, 5) == Reason.INSUFFICIENT_MARGIN
    assert limit_(holder, "sell", 4_010, 5, reduce_only=True) == Reason.REDUCE_ONLY
    assert limit_(holder, "buy", 4_000, 3) == Reason.OK
    cut = exchange.submit(limit(holder, perp, "sell", 4_010, 5, reduce_only=True))
    assert (cut.reason, cut.open) == (Reason.REDUCE_ONLY, 3.0)
    bought = exchange.submit(market(buyer, perp, "buy", 19))
    assert bought.fills["maker_flags"].tolist() == [0, int(Flag.REDUCE_ONLY)]
    assert limit_(seller, "buy", 3_990, 9) == Reason.OK
    sold = exchange.submit(market(buyer, perp, "sell", 40, reduce_only=True))
    assert sold.fills["flags"].tolist() == [int(Flag.REDUCE_ONLY)]
    return evolve(base, log=exchange.log).save(tmp_path / "judged")


def test_refused_and_cut_orders_come_out_byte_for_byte(judged: Path) -> None:
    """Flags of reduce-only orders too, taker's and maker's, are in the fingerprint."""
    found = replay_run(judged)
    assert found.ok, found
    assert found.check("trades equal").matched == 4
    assert found.check("messages accepted").matched == 8


@pytest.mark.parametrize("column", ["accepted", "room"])
def test_the_verdicts_are_needed(judged: Path, column: str) -> None:
    """With all let in and nothing cut, the replay says that it differs."""

    def other(values: np.ndarray) -> np.ndarray:
        return np.ones_like(values) if column == "accepted" else np.zeros_like(values)

    rewrite(judged, **{column: other})
    found = replay_run(judged)
    assert not found.ok
    assert found.check("messages accepted").missed > 0
    assert "tape.parquet: message of event" in found.check("messages").first_miss


@pytest.mark.parametrize("name", ["set_price_band", "_check"])
def test_what_was_set_on_the_way_is_set_again(tmp_path: Path, name: str) -> None:
    """A band between two orders stops the second; calls of other names are refused."""
    base = load("atom-sweep").run(seed=0)
    exchange = Exchange(["ATOM/USDT"])
    exchange.reprice({"ATOM": 2})
    maker, taker = (exchange.open_account({"USDT": 10**6}) for _ in range(2))
    exchange.deposit(taker, "ATOM", 100)
    for price in ("1.688", "1.5", "1"):
        exchange.submit(limit(maker, "ATOM/USDT", "buy", price, 10))
    exchange.submit(market(taker, "ATOM/USDT", "sell", 5))
    exchange.books.set_price_band(0, 300_000)
    exchange.log.note_call(name, *((0, 300_000) if name != "_check" else ()))
    stopped = exchange.submit(market(taker, "ATOM/USDT", "sell", 25))
    assert (stopped.filled, stopped.reason) == (15.0, Reason.PRICE_BAND)
    folder = evolve(base, log=exchange.log).save(tmp_path / "run")
    if name == "_check":
        with pytest.raises(RunFileError, match=r"a call must be one of .*got '_check'"):
            replay_run(folder)
    else:
        assert replay_run(folder).ok


# -- WHAT DOES NOT AGREE


def test_the_first_trade_that_differs_is_shown(saved: Path) -> None:
    """With its row, what was recorded and what came."""

    def more(qty: np.ndarray) -> np.ndarray:
        return qty * 2

    rewrite(saved, qty=more)
    found = replay_run(saved)
    assert not found.ok
    assert found.check("fingerprint").missed == 1
    told = found.check("trades equal").first_miss
    assert told.startswith(f"{saved}/trades.parquet: row ")
    assert "must be {'event': " in told


def test_a_run_without_its_messages_is_refused(saved: Path) -> None:
    """As an older flashwick saved it: the remedy is told."""
    (saved / "tape.parquet").unlink()
    manifest = json.loads((saved / MANIFEST).read_text())
    del manifest["files"]["tape.parquet"], manifest[OWN]
    manifest[OWN] = _digest(manifest)
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(RunFileError, match=r"without the messages .*reproduce\("):
        replay_run(saved)


def test_a_damaged_run_is_refused(saved: Path) -> None:
    """Cut off, missing, or no run at all."""
    path = saved / "tape.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunFileError, match=r"tape.parquet must have .* bytes"):
        replay_run(saved)
    shutil.rmtree(saved)
    with pytest.raises(RunFileError, match="is not a directory"):
        replay_run(saved)


def test_the_tape_is_small(tmp_path: Path, crash: Run, saved: Path) -> None:
    """A few bytes a message, against the 64 that it is in memory."""
    size = (saved / "tape.parquet").stat().st_size
    assert size < 8 * len(crash.log.messages()[0]) + 10_000
