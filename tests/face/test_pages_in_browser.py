"""Pages as a browser shows them: drawn, readable, in any light, on any screen."""

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from browser import Browser, Tab, find
from fakes import OUTSIDE_CHANGE, fake_run

from flashwick.engine.lab.attribute import attribute
from flashwick.engine.lab.attribution_figures import attribution_report
from flashwick.engine.lab.compare import compare
from flashwick.engine.lab.edge_figures import frontier_report
from flashwick.engine.lab.frontier import frontier
from flashwick.engine.lab.paired_figures import paired_report
from flashwick.engine.lab.sweep import sweep
from flashwick.engine.lab.sweep_figures import sweep_report
from flashwick.engine.pages.page import Report, write_page
from flashwick.engine.pages.report import comparison_report, run_report
from flashwick.engine.scenario import load

LAPTOP, TELEPHONE = 1280, 390

DRAWN = """
[...document.querySelectorAll(".plot")].filter(box => box.clientWidth).map(box =>
  box.querySelectorAll(
    ".scatterlayer .trace path, .barlayer .point path, .heatmaplayer image, " +
    ".sankey .sankey-link, .scatterlayer .point"
  ).length)
"""
"""How many marks each figure that is seen has."""

CUT = """
[...document.querySelectorAll(".plot")].filter(box => box.clientWidth).flatMap(box => {
  const room = box.getBoundingClientRect();
  return [...box.querySelectorAll("svg text")].filter(text => {
    const own = text.getBoundingClientRect();
    return own.width && (own.left < room.left - 2 || own.right > room.right + 2
      || own.top < room.top - 2 || own.bottom > room.bottom + 2);
  }).map(text => text.textContent);
})
"""
"""Texts of figures that reach beyond their figure."""

FAINT = """
(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (parts(color).length < 4 || parts(color)[3] === 1) return color;
    }
    return getComputedStyle(document.documentElement).backgroundColor;
  };
  const contrast = (a, b) =>
    (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const texts = document.querySelectorAll(
    "h1, h2, p, dt, dd, small, td, th, pre, summary, figcaption, label, .chain li, " +
    ".plot svg text:not(.heatmap-label text)");
  return [...texts].filter(text => text.textContent.trim()).map(text => {
    const style = getComputedStyle(text);
    const ink = text.closest("svg") ? style.fill : style.color;
    return [contrast(light(ink), light(ground(text))), text.textContent];
  }).filter(([ratio]) => ratio < 4.5).map(([ratio, text]) => `${ratio} ${text}`);
})()
"""
"""Texts that hardly stand out; WCAG 2.2 asks for a contrast of 4.5 of small ones."""

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def crashed() -> Report:
    """A run of the small crash, with another beside it."""
    return run_report(fake_run(), [fake_run(crashes=False, changes=OUTSIDE_CHANGE)])


def quiet() -> Report:
    """A run in which nothing happened."""
    return run_report(fake_run(crashes=False))


def one_book() -> Report:
    """One book without makers."""
    return run_report(load("atom-sweep").run())


def protocols() -> Report:
    """Pools and loops without a book."""
    return run_report(load("usde-loop").run())


def compared() -> Report:
    """Two runs side by side."""
    other = fake_run(crashes=False, changes=OUTSIDE_CHANGE)
    return comparison_report(compare(fake_run(), other))


BAND = 'markets."ATOM/USDT".price_band'
"""A rule of the one book, which stops a fall."""


def paired() -> Report:
    """Scenarios side by side over seeds."""
    crash = load("atom-sweep")
    return paired_report(compare(crash, crash.vary({BAND: 0.3}), seeds=2, jobs=1))


def attributed() -> Report:
    """A fall shared out among two mechanisms."""
    switches = {"no band": {BAND: 0.3}, "whole order": {"shocks.0.qty": "3000"}}
    outcome = "ATOM/USDT.drop"
    return attribution_report(
        attribute("atom-sweep", outcome, switches, seeds=2, jobs=1)
    )


def searched() -> Report:
    """The band at which a fall leaves its bound."""
    bound = "ATOM/USDT.drop < 0.5"
    return frontier_report(
        frontier("atom-sweep", BAND, (0.05, 0.999), bound, seeds=1, jobs=1)
    )


def swept() -> Report:
    """A measure against a rule."""
    bands = {BAND: [0.2, 0.5, 0.8]}
    return sweep_report(sweep("atom-sweep", bands, seeds=2, jobs=1))


PAGES: tuple[Callable[[], Report], ...] = (
    crashed,
    quiet,
    one_book,
    protocols,
    compared,
    paired,
    attributed,
    searched,
    swept,
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """The browser, or a skip."""
    started = Browser(find(), tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@attrs.frozen
class View:
    """What a page looks like on a screen of a width, in a light."""

    name: str
    drawn: list[int]
    wider: int
    cut: list[str]
    faint: list[str]


@attrs.frozen
class Looked:
    """A page, looked at on every screen and in every light."""

    views: list[View]
    complaints: list[str]
    requests: list[str]


def look(tab: Tab) -> Looked:
    """Turn a page through a laptop and a telephone, light and dark."""
    views = []
    for width in (LAPTOP, TELEPHONE):
        for scheme in ("light", "dark"):
            tab.resize(width)
            tab.light(scheme)
            tab.settle()
            seen = [tab.ask(script) for script in (DRAWN, WIDER, CUT, FAINT)]
            views.append(View(f"{width} px, {scheme}", *seen))
    return Looked(views, tab.complaints(), tab.requests())


@pytest.fixture(scope="module", params=PAGES, ids=lambda make: make.__name__)
def looked(request, browser, tmp_path_factory) -> Looked:
    """Each page, looked at."""
    path = tmp_path_factory.mktemp("pages") / "page.html"
    tab = browser.open(write_page(request.param(), path), LAPTOP)
    found = look(tab)
    tab.close()
    return found


def test_every_chart_is_drawn(looked):
    """Each figure that is seen has marks of its data."""
    for view in looked.views:
        assert view.drawn, view.name
        assert min(view.drawn) > 0, view


def test_nothing_is_to_be_scrolled_sideways_for(looked):
    """The page is as wide as the screen; what is wider scrolls in its own box."""
    assert {view.name: view.wider for view in looked.views if view.wider} == {}


def test_no_text_of_a_figure_is_cut_off(looked):
    """Labels of axes, flows and notes are within their figure."""
    assert {view.name: view.cut for view in looked.views if view.cut} == {}


def test_every_text_stands_out_from_its_ground(looked):
    """In the light and in the dark, in figures too."""
    assert {view.name: view.faint for view in looked.views if view.faint} == {}


def test_page_is_silent_and_asks_for_nothing(looked):
    """No word on the console, and no address but its own."""
    assert looked.complaints == []
    assert looked.requests == []


# -- WHAT A READER CAN DO


@pytest.fixture(scope="module")
def crash(browser, tmp_path_factory) -> Iterator[Tab]:
    """The page of the crash."""
    path = tmp_path_factory.mktemp("pages") / "crash.html"
    opened = browser.open(write_page(crashed(), path), LAPTOP)
    yield opened
    opened.close()


def test_another_market_can_be_chosen(crash):
    """The figure, its caption and its scale become those of the market."""
    told = crash.ask("""(() => {
      const list = document.querySelector("select");
      const figure = list.closest("figure"), box = figure.querySelector(".plot");
      const seen = () => [figure.querySelector("figcaption").textContent,
        box.layout.yaxis.type, Math.round(Math.max(...box.calcdata[1].map(p => p.y)))];
      const first = seen();
      list.value = list.options[1].value;
      list.dispatchEvent(new Event("change"));
      return [first, seen()];
    })()""")
    assert told[0][0].startswith("ATOM/USDT fell")
    assert told[1][0].startswith("WBETH/USDT fell")
    assert (told[0][2], told[1][2]) == (4, 4001)


def test_scale_can_be_switched(crash):
    """A tick, and prices are on a log scale; another, and they are not."""
    told = crash.ask("""(() => {
      const tick = document.querySelector("figure input");
      const box = tick.closest("figure").querySelector(".plot");
      const kinds = [box.layout.yaxis.type];
      for (let i = 0; i < 2; i++) { tick.click(); kinds.push(box.layout.yaxis.type); }
      return kinds;
    })()""")
    assert sorted(told[:2]) == ["linear", "log"]
    assert told[2] == told[0]


def test_every_fold_opens(crash):
    """What is folded away is there when it is asked for, and makes nothing wider."""
    crash.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    crash.resize(TELEPHONE)
    crash.settle()
    assert crash.ask(WIDER) == 0
    shown = crash.ask(
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".map(inner => inner.clientHeight)"
    )
    assert len(shown) >= 3
    assert min(shown) > 0


def test_paper_is_white(crash):
    """A page that is dark on the screen is printed dark on light."""
    crash.light("dark")
    crash.settle()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert crash.ask(ground) == "rgb(20, 23, 27)"
    crash.ask("dispatchEvent(new Event('beforeprint'))")
    assert crash.ask(ground) == "rgb(255, 255, 255)"
    assert crash.ask(FAINT) == []
    crash.ask("dispatchEvent(new Event('afterprint'))")
    assert crash.ask(ground) == "rgb(20, 23, 27)"
    crash.light("light")


# -- THE TEST OF THE TESTS


def test_faults_of_a_page_are_seen(browser, tmp_path):
    """A page that is too wide, speaks, asks, throws or is faint is caught."""
    path: Path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><html style='background:#fff'><body>"
        "<p style='color:#ddd'>faint</p><div style='width:3000px'>wide</div>"
        "<div class='plot' style='width:90px;height:50px'><svg width='90'>"
        "<text x='60' y='20'>cut off here</text></svg></div>"
        "<img src='http://localhost:54321/x.png'><script>console.log('word');"
        "throw new Error('thrown');</script></body></html>"
    )
    tab = browser.open(path, LAPTOP)
    told = [words.partition("\n")[0] for words in tab.complaints()]
    assert {"word", "Error: thrown"} <= set(told)
    assert tab.requests() == ["http://localhost:54321/x.png"]
    assert tab.ask(WIDER) > 1000
    assert tab.ask(DRAWN) == [0]
    assert tab.ask(CUT) == ["cut off here"]
    assert len(tab.ask(FAINT)) == 1
    tab.close()
