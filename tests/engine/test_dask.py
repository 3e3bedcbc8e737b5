"""A Dask cluster replays as one process does; it is any other executor."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from jobs import ends_once
from pyarrow import parquet

from flashwick.cli import main
from flashwick.engine.lab.replays import Replay, Shipped, rows, run_one
from flashwick.engine.lab.sweep import sweep
from flashwick.engine.scenario import load

distributed = pytest.importorskip("distributed")

GRID: dict[str, Any] = {"markets.price_band": [None, 0.3, 0.5]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers, each a process, for all tests of this file."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as started:
        yield started


def bytes_of(table: pa.Table) -> bytes:
    """The table as a file: NaN is NaN here."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def test_cluster_gives_the_same_table(cluster: Any) -> None:
    """To the byte, failures too; the client is left open."""
    grid = GRID | {"duration": [1.0, 0.5], "shocks.0.at": [0.2, 0.7]}
    with distributed.Client(cluster) as client:
        executor = client.get_executor(pure=False)
        there = sweep("atom-sweep", grid, seeds=2, executor=executor)
        assert client.submit(int, "1").result() == 1
    here = sweep("atom-sweep", grid, seeds=2, jobs=1)
    assert there.table.num_rows == 18
    assert bytes_of(there.table) == bytes_of(here.table)
    assert [str(one) for one in there.failures] == [str(one) for one in here.failures]


def test_killed_worker_of_a_cluster_costs_no_row(cluster: Any, tmp_path: Path) -> None:
    """The scheduler gives its replay to another; the row is the same."""
    scenario = load("atom-sweep")
    work = (0, 1, {}, 3)
    with distributed.Client(cluster) as client:
        # The first time that anybody runs it, the worker ends itself.
        lost = client.submit(
            ends_once, tmp_path, run_one, Shipped(scenario), work, None, None
        )
        found = lost.result(timeout=60)
    assert (tmp_path / "killed").exists()
    assert [found] == rows(scenario, [Replay({}, 3)], jobs=1)


def test_command_takes_the_address_of_a_cluster(cluster: Any) -> None:
    """As printed in the documents; with --jobs it is refused."""
    command = ["sweep", "atom-sweep", "--grid", "markets.price_band=0.3,0.5"]
    command += ["--seeds", "2", "--measure", "trades"]
    there = [*command, "--dask", cluster.scheduler_address]
    found = CliRunner().invoke(main, there, catch_exceptions=False)
    assert found.exit_code == 0
    here = CliRunner().invoke(main, [*command, "--jobs", "1"], catch_exceptions=False)
    assert found.output == here.output
    both = CliRunner().invoke(main, [*there, "--jobs", "2"])
    assert both.exit_code == 2
    assert "the cluster has its own" in both.output


def test_address_without_a_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one message, without a traceback."""

    def client(address: str) -> Any:
        raise OSError(f"Timed out trying to connect to {address} after 30 s")

    monkeypatch.setattr(distributed, "Client", client)
    command = ["sweep", "atom-sweep", "--dask", "tcp://nowhere:8786"]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 2
    assert "--dask tcp://nowhere:8786: no scheduler answers there" in found.output
