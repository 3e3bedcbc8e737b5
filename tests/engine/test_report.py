"""The report: one page with everything in it."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from crash_run import A, B, Known
from fakes import OUTSIDE_CHANGE, fake_run

from flashwick.engine import facts, summary
from flashwick.engine.lab.compare import compare
from flashwick.engine.pages import figures, report
from flashwick.engine.pages.crowd_figures import CELLS, falls_figure, sizes_figure
from flashwick.engine.pages.page import (
    page_text,
)
from flashwick.engine.pages.report import (
    reproducing,
    run_report,
    what_ifs,
)
from flashwick.engine.pages.tiles import columns, tiles
from flashwick.engine.scenario import load
from flashwick.engine.store import RunFileError
from flashwick.engine.summary import markets_grid


def render(run, others=()):
    """The page of a run as text."""
    return page_text(run_report(run, others))


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Keep what the tag says."""
        if tag not in ("meta", "input"):
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        """Every end has its beginning."""
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        """Keep the text."""
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    def values(self, name):
        """Values of an attribute, wherever it is."""
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def run():
    """The small crash."""
    return fake_run()


@pytest.fixture(scope="module")
def text(run):
    """Its report, another run beside it."""
    return render(run, [fake_run(crashes=False, changes=OUTSIDE_CHANGE)])


@pytest.fixture(scope="module")
def page(text):
    """The report, parsed."""
    return Page(text)


def test_report_is_well_formed(page):
    """Every element that is opened is closed in its order."""
    assert page.open == []


def test_report_needs_no_network(page, text):
    """No tag refers to anything outside the file."""
    assert not {"src", "href", "srcset"} & {name for _, name, _ in page.attributes}
    assert "@import" not in text[: text.index("</style>")]
    assert "url(" not in text[: text.index("</style>")]


def test_report_is_small_enough_to_send(text):
    """plotly.js is in it once; all together is under 7 MB."""
    assert len(text.encode()) < 7_000_000
    assert len(re.findall(r"plotly\.js v\d", text)) == 1


def test_every_figure_has_its_place_and_its_data(page):
    """Each box names a figure, each figure a box or an option."""
    figures = json.loads(page.scripts[0])
    boxes = page.values("data-figure")
    options = [
        v for tag, name, v in page.attributes if (tag, name) == ("option", "value")
    ]
    assert [figures[key]["caption"].split()[0] for key in options] == [
        "ATOM/USDT",
        "WBETH/USDT",
    ]
    assert sorted({*boxes, *options}) == sorted(figures)
    kinds = [figures[key]["data"][0]["type"] for key in boxes]
    assert kinds == ["scatter"] * 4 + ["bar", "sankey"]
    for figure in figures.values():
        assert figure["data"]
        assert "title" not in figure["layout"], "the page has it as a heading"


def test_headline_is_the_runs_own(run, page):
    """Finding, forced volume and leverage are those of the facts."""
    words = " ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ")
    assert facts.finding(run).rstrip(".") in words
    assert "2 of 2 market makers among them" in words
    assert "2.00× → 2.79×" in words


def test_chain_is_there_as_picture_and_as_text(run, page):
    """Both come from the same walk."""
    words = " ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ")
    for step in run.why().links():
        assert words.count(step.text) >= 2


def test_tables_hold_makers_markets_and_sales(page):
    """Every market maker and market has its row."""
    assert {"alpha-1", "alpha-2", "ATOM/USDT", "WBETH/USDT"} <= set(page.texts)


def test_what_ifs_are_there_if_others_are_given(run, page):
    """The other run has its row, its label and when it parted."""
    words = " ".join(page.texts)
    assert "oracles.WBETH.policy=outside" in words
    assert "60.1 s" in words
    assert "What if" not in " ".join(Page(render(run)).texts)


def test_fund_and_takeovers_are_in_the_headline(page):
    """The fund's result and who was closed by it stand beside the forced volume."""
    words = " ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ")
    assert "1.00 M → 950 k" in words
    assert "lowest 950 k; paid 50.0 k, claims left 1.00 k" in words
    assert "2 accounts, 1 of them without a forced trade" in words


def test_what_if_table_has_takeovers_and_the_fund(run):
    """Each run has its own, and the first has nothing to part from."""
    other = fake_run(crashes=False, changes=OUTSIDE_CHANGE)
    grid = what_ifs(compare(run, other))
    columns = [grid.header.index(name) for name in (
        "takeovers, USD", "change of the fund, USD", "same trades until"
    )]  # fmt: skip
    cells = [[row[at] for at in columns] for row in grid.rows]
    assert cells == [["57.0 k", "−50.0 k", "–"], ["0", "−50.0 k", "60.1 s"]]


def test_report_of_one_book_without_makers_speaks_of_neither():
    """One line has no colour to explain, and no makers are not 0 of 0."""
    scenario = load("atom-sweep")
    run = scenario.run()
    words = " ".join(Page(render(run, [scenario.run()])).texts)
    assert "ATOM/USDT lost 100.0" in words
    assert "are blue" not in words
    assert "0 of 0" not in words
    assert "makers liquidated" not in words


def test_texts_of_the_scenario_cannot_break_the_page(run):
    """What a file says is shown, not run."""
    text = render(run)
    assert "<made by hand>" not in text
    assert "&lt;made by hand&gt;" in text
    evil = fake_run(shock="</script><script>alert(1)</script>")
    page = Page(render(evil))
    assert page.open == []
    assert len(page.scripts) == len(Page(text).scripts)
    assert "alert(1)" in "".join(page.texts)


def test_report_says_how_to_make_the_run_again(run):
    """The program has the scenario, what was changed, and the seed."""
    changed = fake_run(changes=OUTSIDE_CHANGE)
    assert reproducing(run).endswith('run = fw.load("small.toml").run(seed=7)\n')
    assert ".vary({'oracles.WBETH.policy': 'outside'}).run(" in reproducing(changed)


def test_report_names_no_folder(run, text):
    """Where a scenario file lay is nobody's business."""
    folder = run.scenario.file.removesuffix("small.toml")
    assert len(folder) > 1
    assert folder not in text


def test_report_of_a_quiet_run_leaves_out_what_is_not_there():
    """No forced sale, no section about them."""
    words = " ".join(Page(render(fake_run(crashes=False))).texts)
    assert "traded by force" not in words
    assert "Where the forced volume came from" not in words


def test_report_is_written_whole_or_not_at_all(run, tmp_path, monkeypatch):
    """The old file stays if the new one cannot be made."""
    path = run.report(tmp_path / "run.html")
    before = path.read_bytes()
    assert before.startswith(b"<!doctype html>")

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(RunFileError, match=r"run\.html cannot be written: no space"):
        run.report(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["run.html"]


# -- WHAT A READER WOULD STUMBLE OVER


def test_books_that_emptied_without_a_fall_are_explained(page):
    """Bids were withdrawn, and little was sold: it is said, where it is so."""
    quiet = " ".join(Page(render(fake_run(crashes=False))).texts)
    told = "2 of the books fell by less than 5 %"
    assert told in quiet.replace("\N{NO-BREAK SPACE}", " ")
    assert "of the books fell by less" not in " ".join(page.texts)


def test_market_that_did_not_fall_has_no_trough():
    """Its lowest price lies above the one before."""
    quiet = fake_run(crashes=False)
    quiet.prices_before[:] = 0.5
    grid = markets_grid(quiet)
    assert [row[grid.header.index("trough")] for row in grid.rows] == ["–", "–"]
    assert ("ATOM/USDT fell", "–", "not below its price before") in tiles(quiet)


def test_no_tile_stands_alone_in_the_last_row():
    """Two to thirteen of them, side by side, with as little room left as can be."""
    for count in range(2, 14):
        assert count % columns(count) != 1
    assert [columns(count) for count in (1, 2, 3, 6, 8, 9)] == [1, 2, 3, 3, 4, 3]


def test_titles_of_axes_are_short(run):
    """They fit beside a figure of a telephone's width."""
    figures = json.loads(Page(render(run)).scripts[0])
    titles = [
        axis["title"]["text"]
        for figure in figures.values()
        for name, axis in figure["layout"].items()
        if name.startswith("yaxis") and "title" in axis
    ]
    assert len(titles) >= 5
    assert max(map(len, titles)) <= 12


def test_number_and_unit_stay_on_one_line_in_the_chain(run, text):
    """As in every other text of the page."""
    chain = text[text.index('<ol class="chain">') :].partition("</ol>")[0]
    assert re.search(r"\d\N{NO-BREAK SPACE}[%s]", chain)
    assert not re.search(r"\d (%|s\b)", chain)


# -- MANY MARKETS


@pytest.fixture(scope="module")
def many():
    """Falls of four pairs by hand; a report of more than MANY markets and makers."""
    story = Known()
    for market, price in ((A, 100.0), (B, 10.0)):
        story.trade(60.0, market, price)
    story.shock()
    story.trade(150.0, A, 50.0, 4.0)
    story.trade(151.0, A, 20.0, 1.0, forced=True)
    story.trade(400.0, A, 90.0, 1.0)
    story.trade(180.0, B, 9.0)
    return story.run()


@pytest.fixture
def few_lines(monkeypatch):
    """As if more than one line were too many."""
    for module in (figures, report):
        monkeypatch.setattr(module, "MANY", 1)
    monkeypatch.setattr(figures, "LINES", 1)


def test_map_of_falls_has_a_row_for_each_pair(many):
    """Deepest on top; each cell the lowest trade then, or the price that holds."""
    figure = falls_figure(many)
    (cells,) = figure.data
    assert list(cells.y) == ["B/USDT", "A/USDT"]
    a, b = cells.z[1], cells.z[0]
    column = 600.0 / CELLS
    for time, fall in ((60, 0), (140, 0), (151, 80), (300, 80), (399, 80), (401, 10)):
        assert a[int(time / column)] == fall, time
    assert (b[int(170 / column)], b[int(500 / column)]) == (0, 10)
    title = figure.layout.title.text.replace("<br>", " ")
    assert "1 by more than half, 0 by more than nine tenths" in title


def test_fall_is_drawn_against_what_was_traded(many):
    """A point for each pair, with the rank correlation in words."""
    figure = sizes_figure(many)
    (points,) = figure.data
    found = dict(zip(points.text, zip(points.x, points.y, strict=True), strict=True))
    assert found["A/USDT"] == (pytest.approx(100 + 200 + 20 + 90), 0.84)
    assert found["B/USDT"] == (pytest.approx(19.0), pytest.approx(0.1))
    assert "rank correlation +1.00" in figure.layout.title.text


@pytest.mark.usefixtures("few_lines")
def test_many_lines_are_told_by_their_quantiles(many):
    """Of books and of makers: a middle, a shade, and all books together."""
    assert [line.name for line in figures.depth_figure(many).data if line.name] == [
        "the middle book, and eight tenths of them",
        "all books together",
    ]
    fleets = [line.name for line in figures.makers_figure(many).data if line.name]
    assert fleets == ["market makers, 2"] * 2


@pytest.mark.usefixtures("few_lines")
def test_fleet_whose_health_has_no_bound_has_a_line_of_leverage_alone():
    """Without positions there is no margin, and no health to draw."""
    story = Known()
    story.trade(60.0, A, 100.0)
    story.shock()
    story.trade(150.0, A, 90.0)
    story.parts["maker_health"] = np.full((601, 2), np.inf)
    lines = [line for line in figures.makers_figure(story.run()).data if line.name]
    assert [line.yaxis for line in lines] == ["y"]


@pytest.mark.usefixtures("few_lines")
def test_report_of_many_markets_has_the_map_and_the_watched_ones(many):
    """The watched market can be chosen beside the deepest; the rest is in tables."""
    page = render(many)
    assert "2 pairs: half of them fell by" in page
    assert ">A/USDT:PERP, no fall</option>" in page
    assert "Of each fleet the middle maker" in page
    assert "at 20:50:31" in page, "the time of day of the low"


def test_axis_of_a_run_with_a_time_of_day_shows_it(many):
    """Whole minutes, at most eight of them; other runs count seconds."""
    axis = many.plot("A/USDT").layout.xaxis
    assert list(axis.ticktext) == ["20:48", "20:50", "20:52", "20:54", "20:56", "20:58"]
    assert list(axis.tickvals) == [0.0, 120.0, 240.0, 360.0, 480.0, 600.0]
    assert fake_run().plot().layout.xaxis.ticksuffix == " s"
    assert fake_run().plot().layout.xaxis.ticktext is None


def test_long_table_is_cut_and_says_so(many, monkeypatch):
    """With where the rest is."""
    monkeypatch.setattr(summary, "LISTED", 1)
    grid = markets_grid(many)
    assert [row[0] for row in grid.rows] == ["A/USDT"]
    assert grid.note == "and 1 more markets; run.measures() has the fall of each"
