"""The page of 10 October 2025 shows what was kept of its verification."""

from pathlib import Path

import october
from marks import marked

import flashwick as fw

PAGE = Path(october.PAGE).read_text("utf-8")


def test_table_of_targets_is_that_of_the_runs_that_were_kept() -> None:
    """Every target of the file, with the bands that the file has now."""
    rows = october.stored()
    assert [row.target.id for row in rows] == [
        target.id for target in fw.load(october.SCENARIO).config.targets
    ]
    assert october.targets(rows) in marked(PAGE, "targets")


def test_verdicts_are_those_of_the_bands() -> None:
    """The median of the kept values is in the band where the table says so."""
    for row in october.stored():
        low, high = row.target.band or (0.0, 0.0)
        middle = float(october.np.median(row.values))
        assert (low <= middle <= high) == (row.verdict == "ok"), row.target.id


def test_every_variation_has_its_row() -> None:
    """A what-if that the file names is in the table."""
    table = marked(PAGE, "what-ifs")
    for name in fw.load(october.SCENARIO).config.variations:
        assert f"| `{name}` |" in table
