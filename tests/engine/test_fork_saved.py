"""Simulations on disk: gone on with in another process, refused when not whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flashwick as fw
from flashwick.engine import saving
from tests.fingerprint import fingerprint
from tests.worlds import SMALL

ELSEWHERE = """
import sys
import flashwick as fw
from tests.fingerprint import fingerprint
sys.stdout.write(fingerprint(fw.resume(sys.argv[1]).finish()))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the small crash at its 15th second."""
    path = tmp_path_factory.mktemp("saved") / "crash.sim"
    return SMALL.start(seed=0).run(15).save(path)


def test_it_goes_on_to_the_same_bytes_in_another_process(saved: Path) -> None:
    """The process that wrote it is not needed any more."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(saved)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == fingerprint(SMALL.run(seed=0))


def test_it_is_resumed_as_often_as_wanted(saved: Path) -> None:
    """Saving leaves the simulation as it is, and so does resuming the file."""
    whole = fingerprint(SMALL.run(seed=0))
    found = [fw.resume(saved) for _ in range(2)]
    found[0].change({"oracles.WBETH.policy": "redemption"})
    assert [fingerprint(one.finish()) == whole for one in found] == [False, True]


def test_what_was_done_before_is_in_the_file(tmp_path: Path) -> None:
    """Its run can be entered before that and after it."""
    simulation = SMALL.start(seed=0).run(5)
    simulation.change({"gateway.rate": 500}).run(10)
    run = fw.resume(simulation.save(tmp_path / "sim")).finish()
    assert run.label == "small-crash, gateway.rate=500 at 5 s"
    assert fingerprint(run.at(3).finish()) == fingerprint(SMALL.run(seed=0))
    assert fingerprint(run.at(8).finish()) == fingerprint(simulation.finish())


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Unless it is asked for; a directory never."""
    simulation = SMALL.start(seed=0)
    path = simulation.save(tmp_path / "new" / "sim")
    with pytest.raises(fw.SavedError, match="overwrite=True"):
        simulation.save(path)
    simulation.run(5).save(path, overwrite=True)
    assert fw.resume(path).now == 5.0
    with pytest.raises(fw.SavedError, match="is a directory"):
        simulation.save(tmp_path, overwrite=True)
    assert [p.name for p in path.parent.iterdir()] == ["sim"]
    with pytest.raises(fw.SavedError, match="cannot be written: File name too long"):
        simulation.save(tmp_path / ("x" * 300))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_what_is_no_plain_file_is_not_put_aside(tmp_path: Path) -> None:
    """A pipe or a device stays what it is, also if it may be written over."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(fw.SavedError, match="is no plain file"):
        SMALL.start(seed=0).save(pipe, overwrite=True)
    assert pipe.is_fifo()


@pytest.mark.parametrize("missing", [1, 100, 10_000, 10**9])
def test_of_what_does_not_fit_nothing_is_left(tmp_path: Path, missing: int) -> None:
    """Wherever the disk is full: in the middle, or when the last bytes go out."""
    resource = pytest.importorskip("resource")
    simulation = SMALL.start(seed=0).run(5)
    path = simulation.save(tmp_path / "sim")
    good = path.read_bytes()
    most = max(0, len(good) - missing)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(fw.SavedError, match="cannot be written: File too large"):
            simulation.save(path, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [found.name for found in tmp_path.iterdir()] == ["sim"]
    assert path.read_bytes() == good


def test_what_has_no_address_is_not_written(tmp_path: Path) -> None:
    """A class inside a function can be forked, but no file could name it."""

    class Hidden(fw.Agent):
        pass

    simulation = SMALL.start(agents=[Hidden()])
    with pytest.raises(fw.SavedError, match="classes of a module"):
        simulation.save(tmp_path / "sim")
    assert not list(tmp_path.iterdir())


# -- FILES THAT ARE NOT WHOLE


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if anything of a file is used."""

    def used(*_: Any) -> None:
        raise AssertionError("the state of a wrong file was read")

    monkeypatch.setattr(saving, "put_together", used)


def refused(path: Path) -> str:
    """The text with which a file is refused."""
    with pytest.raises(fw.SavedError) as told:
        fw.resume(path)
    text = str(told.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_or_cut_file_is_refused_before_it_is_read(
    saved: Path, unread: None, data: st.DataObject
) -> None:
    """Any byte flipped, any number of them missing or added."""
    good = saved.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1) | st.integers(0, 600), "at")
    what = data.draw(st.sampled_from(["flip", "cut", "add"]), "what")
    bad = bytearray(good)
    if what == "flip":
        bad[at] ^= data.draw(st.integers(1, 255), "by")
    elif what == "cut":
        del bad[at:]
    else:
        bad[at:at] = b"x"
    path = saved.with_name("bad.sim")
    path.write_bytes(bad)
    assert "cut off or changed" in (text := refused(path)) or "no saved" in text


def test_a_file_of_another_version_is_refused_with_both(
    saved: Path, unread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the package, or of the code under the same version."""
    own = saving.stamp_of()
    monkeypatch.setattr(saving, "stamp_of", lambda: own | {"flashwick": "9.9.9"})
    text = refused(saved)
    assert f"saved by flashwick {own['flashwick']}, and this is 9.9.9" in text
    monkeypatch.setattr(saving, "stamp_of", lambda: own | {"layout": "0"})
    assert "by another state of flashwick" in refused(saved)


def test_the_stamp_is_of_all_code_that_a_simulation_goes_on_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of the layout of what is compiled: read otherwise, its memory is garbage."""
    read, seen = Path.read_bytes, set()

    def noted(path: Path) -> bytes:
        seen.add(f"{path.parent.name}/{path.name}")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    assert saving.stamp_of.__wrapped__() == saving.stamp_of()
    assert seen >= {
        "engine/simulation.py",
        "defi/chain.py",
        "margin/liquidation.py",
        "orderbook/orders.py",
        "cython_ext/_ladder.pxd",
        "cython_ext/_rows.pxd",
    }


@pytest.mark.parametrize("content", [b"", b"flashwick", b"\x80\x05", b"PAR1" * 99])
def test_another_kind_of_file_is_refused(
    tmp_path: Path, unread: None, content: bytes
) -> None:
    """An empty one, a pickle, a table."""
    path = tmp_path / "other"
    path.write_bytes(content)
    assert "is no saved simulation; simulation.save(path) writes one" in refused(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With what the system says."""
    assert "cannot be read: No such file" in refused(tmp_path / "none")
    assert "cannot be read: Is a directory" in refused(tmp_path)
    with pytest.raises(TypeError, match="'path' must be the path of a file"):
        fw.resume(5)  # type: ignore[arg-type]
