"""Words and pictures of runs of protocols, without a market of an exchange."""

import pytest

import flashwick as fw


@pytest.fixture(scope="module")
def mango():
    """A coin pushed up in a pool, and lent on."""
    return fw.load("mango-2022").run(seed=0)


@pytest.fixture(scope="module")
def compared(mango):
    """The same with a tenth of the position."""
    return fw.compare(mango, fw.load("mango-2022").variation("a-tenth").run(seed=0))


def test_measures_that_differ_are_compared_without_those_of_an_exchange(compared):
    """What was borrowed is a row; the largest relative differences come first."""
    values = {row.measure: row.values for row in compared.rows}
    borrowed, less = values["wallets.long.USDC.end"]
    assert borrowed > 2 * less > 0
    assert "Trades" not in values
    assert all(any(row.differences) for row in compared.rows)
    sizes = [
        abs(row.differences[1]) / max(map(abs, row.values)) for row in compared.rows
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_runs_without_trades_part_where_a_record_does(compared):
    """It is not said that they are the same."""
    text = str(compared)
    count = f"{len(compared.rows)} of {len(compared.runs[0].measures())} measures"
    assert f"no trades in either run; {count} differ, first at 22:24" in text
    assert "supply PERP" in text
    assert "trade by trade" not in text


def test_equal_runs_of_protocols_differ_in_nothing(mango):
    """No row, and none of the measures."""
    same = fw.compare(mango, mango)
    assert same.rows == ()
    assert "none of" in str(same)


def test_rows_of_a_table_are_bounded(compared, monkeypatch):
    """How many more differ is said."""
    monkeypatch.setattr("flashwick.engine.lab.compare.LISTED", 4)
    assert len(compared.grid().rows) == 4
    assert f"{len(compared.rows) - 4} more differ" in compared.grid().note


def test_figure_and_report_tell_what_differs(compared, tmp_path):
    """A bar for each measure; the heading does not say one thing twice."""
    bars = list(compared.differences().data[0].y)
    assert set(bars) == {row.measure for row in compared.rows}
    page = compared.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a-tenth: lending_pools.mango.USDC.cash.low" in page


def test_seeds_of_protocols_are_compared():
    """The borrowed sum is in the table, what neither has is not."""
    base = fw.load("mango-2022")
    found = fw.compare(base, base.variation("a-tenth"), seeds=2, jobs=1)
    shown = [row.measure for row in found.shown()]
    assert "wallets.long.USDC.end" in shown
    assert "amplification" not in shown


def test_finding_is_the_largest_move_either_way(mango):
    """The coin rose 24 times before it fell to half."""
    told = mango.summary()
    assert told.finding.startswith("MNGO rose from 0.0382 to 0.90982")
    assert " at 22:2" in told.finding
    assert "first shock at 22:24" in told.title
    assert "liquidated  " not in str(told).split("Protocols")[0]
    assert told.rows == ()
    assert "<tbody></tbody>" not in told._repr_html_()


def test_time_of_a_shock_is_given_once(mango, tmp_path):
    """Shocks named after their time have it once."""
    page = mango.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "22:24" in page
    assert "22:24 22:24" not in page


def test_run_without_forced_trades_has_empty_causes(mango):
    """The table has no rows, and the picture says so."""
    assert mango.causes().num_rows == 0
    assert "Nothing was traded by force" in mango.flow().layout.title.text


def test_run_without_markets_says_so(mango):
    """A pool is no market."""
    with pytest.raises(LookupError, match=r"no markets \(got 'pools.spot'\)"):
        mango.plot("pools.spot")
