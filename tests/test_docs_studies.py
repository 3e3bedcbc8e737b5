"""What the documents show of many replays is what these replays give."""

from pathlib import Path

import pytest
import studies
from marks import marked, text_block

import flashwick as fw
from flashwick.engine.lab.kept import open_kept
from flashwick.engine.reading.switches import combined

ROOT = Path(__file__).parents[1]
STORED = ROOT / "docs/attribution.csv"
ATTRIBUTION = (ROOT / "docs/attribution.md").read_text("utf-8")
FRONTIER = (ROOT / "docs/frontier.md").read_text("utf-8")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> fw.Attribution:
    """The attribution, made from the stored outcomes."""
    into = tmp_path_factory.mktemp("studies") / "attribution"
    crash = fw.load(studies.SCENARIO)
    kept = open_kept(into, crash, [studies.OUTCOME], "attribution", {})
    studies.keep(kept, studies.outcomes(STORED))
    return studies.attribution(into)


def test_shares_in_the_document_are_those_of_the_stored_outcomes(found):
    """Both tables, to the digit, and the picture."""
    assert marked(ATTRIBUTION, "shares") == text_block(found)
    assert marked(ATTRIBUTION, "pairs") == text_block(found.pairs())
    picture = (ROOT / "docs/pictures/shares.svg").read_text("utf-8")
    assert picture == studies.shares_svg(found)


def test_six_shares_sum_to_the_effect(found):
    """Full less none, to rounding, with an interval over eight seeds for each."""
    assert len(found.shares) == 6
    total = sum(row.share.mean for row in found.shares)
    assert total == pytest.approx(found.effect.mean, rel=1e-12)
    assert all(row.share.low < row.share.mean < row.share.high for row in found.shares)
    assert found.seeds == tuple(range(8))


def test_four_links_have_a_quarter_each(found):
    """Each is needed, and none is enough."""
    for row in found.ranked()[:4]:
        assert row.share.mean / found.effect.mean == pytest.approx(0.25, abs=0.03)
        assert row.share.sure
        assert row.knocked_out.mean > 0.98 * found.effect.mean
        assert row.alone.mean < 0.01


@pytest.mark.parametrize("line", [0, 9, 300])
def test_stored_outcomes_come_again(line):
    """A replay of a line gives its outcome, to the last bit."""
    on, seed, outcome = list(studies.outcomes(STORED))[line]
    crash = fw.load(studies.SCENARIO)
    off = [name for name in studies.MECHANISMS if name not in on]
    run = crash.vary(combined(crash.config.switches, off)).run(seed=seed)
    assert run.measure(studies.OUTCOME) == outcome


def edge(text: str) -> tuple[float, float]:
    """Last good and first bad value of a search that a document shows."""
    sides = {}
    for line in text.splitlines():
        for word in ("last good", "first bad"):
            if line.endswith(word):
                sides[word] = float(line.split()[0].replace(",", ""))
    return sides["last good"], sides["first bad"]


def test_largest_cut_of_the_document_is_confirmed():
    """One seed of the cut on either side: nobody is liquidated, somebody is."""
    good, bad = edge(marked(FRONTIER, "cut"))
    assert 0 < bad - good <= 1.0
    crash = fw.load(studies.SCENARIO).vary(studies.MILD | {studies.SALE: 1_000_000})

    def liquidated(points: float) -> float:
        runs = crash.vary(studies.cut(points)).run(seed=3)
        return runs.measure("makers.liquidated")

    assert liquidated(good) == 0
    assert liquidated(bad) > 0


def test_smallest_sale_of_the_document_is_where_it_says():
    """For the median of five seeds, between two values a hundredth apart, confirmed."""
    text = marked(FRONTIER, "sale")
    good, bad = edge(text)
    assert 0 < bad - good <= 100_000
    assert "confirmed, every outcome as before" in text
    assert "for the median seed" in text
