"""The one writer of pages: blocks, captions, and what must not break them."""

import json
import re

import plotly.graph_objects as go
import pytest

from flashwick.engine.pages.page import (
    Choice,
    Code,
    Folded,
    Html,
    Report,
    Section,
    page_path,
    page_text,
    write_page,
)
from flashwick.engine.pages.plots import relaid, scale_switch, style
from flashwick.engine.store import RunFileError
from flashwick.engine.text import Grid


def figure(title: str, **layout) -> go.Figure:
    """A figure with a title."""
    drawn = style(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), title, 300)
    return drawn.update_layout(**layout)


def page(*sections: Section, **given) -> str:
    """The page of some sections, without plotly.js and the text of the figures."""
    told = {"label": "a result", "finding": "It held.", "sections": sections} | given
    text = page_text(Report(**told))
    return text[: text.index('<script type="application/json"')]


def figures(*sections: Section) -> dict:
    """The figures of the page, as its script reads them."""
    text = page_text(Report(label="", finding="", sections=sections))
    start = text.index(">", text.index('<script type="application/json"')) + 1
    return json.loads(text[start : text.index("</script>", start)])


def test_section_without_heading_takes_the_title_of_its_first_figure():
    """The title is told once: as the heading, and not as a caption too."""
    text = page(Section("", "what it is", figure("It rose by 3 %")))
    assert "<h2>It rose by 3\N{NO-BREAK SPACE}%</h2>" in text
    assert text.count("It rose by") == 1
    assert "<figcaption" not in text


def test_long_title_is_in_lines_with_room_above_the_figure():
    """A notebook would cut it; the legend stays below the axis."""
    short, long = figure("one"), figure("a word " * 30)
    lines = long.layout.title.text.split("<br>")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 70
    assert long.layout.margin.t == short.layout.margin.t + 2 * 22
    assert long.layout.legend.y < short.layout.legend.y < 0
    # On a page the title is no part of the figure.
    drawn = [one["layout"] for one in figures(Section("", short, long)).values()]
    assert drawn[0]["legend"]["y"] == pytest.approx(drawn[1]["legend"]["y"])


def test_figures_under_a_heading_have_captions():
    """Alone and side by side; none is drawn with its title."""
    section = Section("All", figure("one"), (figure("two"), figure("three")))
    assert re.findall(r"<figcaption.*?>(.*?)<", page(section)) == [
        "one",
        "two",
        "three",
    ]
    assert all("title" not in f["layout"] for f in figures(section).values())


def test_choice_shows_the_first_and_lists_all():
    """Each option is the key of its figure; one box for all of them."""
    choice = Choice("Measure", {"wick": figure("a"), "forced, USD": figure("b")})
    text, kept = page(Section("x", choice)), figures(Section("x", choice))
    options = re.findall(r'<option value="(\w+)">(.*?)<', text)
    assert [words for _, words in options] == ["wick", "forced, USD"]
    assert [kept[key]["caption"] for key, _ in options] == ["a", "b"]
    assert re.findall(r'data-figure="(\w+)"', text) == [options[0][0]]


def test_scale_switch_of_a_figure_becomes_one_of_the_page():
    """Plotly's own buttons would have no room there."""
    drawn = relaid(figure("a"), scale_switch("log"))
    assert "log scale" in page(Section("x", drawn))
    assert "log scale" not in page(Section("x", figure("a")))
    assert "updatemenus" not in figures(Section("x", drawn))["f0"]["layout"]


def test_wide_figure_scrolls_in_a_box_of_its_own():
    """So that the page itself does not."""
    text = page(Section("x", figure("a", meta={"least_width": 780})))
    assert '<div class="scroll"><div class="plot"' in text
    assert "min-width:780px" in text
    assert "min-width" not in page(Section("x", figure("a"))).partition("<body>")[2]


def test_texts_are_escaped_wherever_they_stand():
    """Window and page title, headings, paragraphs, tiles, options, code and cells."""
    evil = "<script>alert(1)</script>"
    text = page(
        Section(
            evil,
            evil,
            Code(evil),
            Folded(evil, [evil]),
            Grid(evil, (evil,), ((evil,),), evil),
            Choice(evil, {evil: figure(evil)}),
        ),
        label=evil,
        finding=evil,
        about=evil,
        tiles=[(evil, evil, evil)],
    )
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") == 19
    assert "<b>bold</b>" in page(Section("x", Html("<b>bold</b>")))


def test_text_that_looks_like_a_place_of_the_template_stays_text():
    """Braces in a scenario fill nothing in."""
    assert "{{plotly}}" in page(Section("x", Code("{{plotly}}")))


def test_empty_text_is_no_paragraph():
    """A section may be told that there is nothing to say."""
    assert "<p" not in page(Section("x", "")).partition("<main>")[2]


def test_words_of_a_prose_table_stand_on_the_left():
    """In text and on the page; figures stand on the right."""
    rows = (("a", "word"), ("b", "x"))
    prose = Grid("", ("", "what"), rows, prose=True)
    assert str(prose).splitlines()[2] == "b  x"
    assert str(Grid("", ("", "what"), rows)).splitlines()[2] == "b     x"
    assert '<div class="table texts">' in prose.html()


@pytest.mark.parametrize("path", [3, None, b"x.html"])
def test_what_is_no_path_is_refused(path):
    """Before anything is made."""
    with pytest.raises(TypeError, match="'path' must be the path of a file"):
        page_path(path)


@pytest.mark.parametrize("path", ["", "."])
def test_path_without_a_name_is_refused(path, tmp_path, monkeypatch):
    """An empty path, or that of the folder one is in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFileError):
        page_path(path)


def test_page_is_written_where_it_is_asked_for(tmp_path):
    """And nothing stays beside it."""
    report = Report(label="a", finding="b")
    assert write_page(report, tmp_path / "x.html") == tmp_path / "x.html"
    assert (tmp_path / "x.html").read_text("utf-8") == page_text(report)
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]
