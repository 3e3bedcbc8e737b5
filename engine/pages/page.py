"""One HTML file for any result: tiles, texts, tables and figures, without a network.

A result says what its page holds, as a `Report`; `write_page` is the one writer.
"""

import json
from collections.abc import Mapping, Sequence
from errno import EISDIR
from html import escape
from importlib.resources import files
from itertools import count
from os import PathLike, fspath, scandir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen
from attrs.validators import min_len

from ..arguments import expect
from ..store import RunFileError, path_of, told_of
from ..text import Grid, held
from ..why import CHAIN_STYLE
from .plots import TOP
from .tiles import Tile, columns

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Name = str | PathLike[str]


# -- WHAT A PAGE HOLDS


@frozen
class Code:
    """Text that is shown as it stands."""

    text: str


@frozen
class Html:
    """A piece of the page itself; whoever made it has escaped what needs it."""

    text: str


@frozen
class Choice:
    """Figures of which one is shown at a time; ``what`` says what is chosen.

    The words of each are its key; the first is shown until another is chosen.
    """

    what: str
    figures: "Mapping[str, Figure]" = field(validator=min_len(1))


@frozen
class Folded:
    """Blocks that are shown when their summary is opened."""

    summary: str
    blocks: Sequence[Any]


@define(init=False)
class Section:
    """A heading and blocks that stand below it.

    A block is a paragraph (a string), a `Grid`, a plotly figure, several small figures
    side by side (a tuple), or one of the classes above. Without a heading the title of
    its first figure is one; other figures have theirs as captions.
    """

    heading: str
    blocks: "tuple[Any, ...]"

    def __init__(self, heading: str, *blocks: Any) -> None:
        self.heading, self.blocks = heading, tuple(b for b in blocks if b != "")


@frozen(kw_only=True)
class Report:
    """What a page says: ``label`` what it is of, ``finding`` what came out, a sentence.

    ``about`` is a line below; ``tiles`` are (what, how much, beside what to read it).
    """

    label: str
    finding: str
    about: str = ""
    tiles: Sequence[Tile] = field(factory=tuple)
    sections: Sequence[Section] = field(factory=tuple)


def write_page(report: Report, path: Name) -> Path:
    """Write a report as one HTML file and return where it is.

    The file is complete or not there: it is written beside its place and moved.
    TypeError if the path is none, RunFileError if it cannot be written.
    """
    target = page_path(path)
    partial = target.with_name(f".{target.name}.partial")
    with told_of(target, "name a file in a folder that is there"):
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(page_text(report))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def page_path(path: Name) -> Path:
    """Check where a page is to be; to be asked before anything long is computed.

    TypeError if it is no path, RunFileError if it is a folder or lies in none.
    """
    expect("path", path, (str, PathLike), "the path of a file")
    target = path_of("path", path, "that of a file")
    if not target.name:
        raise RunFileError(f"'path' must be that of a file (got {fspath(path)!r})")
    with told_of(target, "name a file in a folder that is there"):
        if target.is_dir():
            raise IsADirectoryError(EISDIR, "it is a directory")
        scandir(target.parent).close()
    return target


def page_text(report: Report) -> str:
    """The page as text."""
    from plotly.offline import get_plotlyjs

    page = _Page()
    parts = {
        "title": escape(report.label),
        "label": escape(report.label),
        "finding": words(report.finding.rstrip(".")),
        "about": words(report.about),
        "tiles": "".join(map(_tile, report.tiles)),
        "columns": str(columns(len(report.tiles))),
        "sections": "\n".join(map(page.section, report.sections)),
        "style": _file("page.css"),
        "chain_style": CHAIN_STYLE,
        # A text of the scenario must not end the script that holds it.
        "figures": json.dumps(page.figures).replace("</", "<\\/"),
        "plotly": get_plotlyjs(),
        "script": _file("page.js"),
    }
    return _filled(_file("page.html"), parts)


def _file(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _filled(template: str, parts: Mapping[str, str]) -> str:
    # Each name once, so that no text can ask for another.
    first, *pieces = template.split("{{")
    cut = (piece.partition("}}") for piece in pieces)
    return first + "".join(parts[name] + rest for name, _, rest in cut)


# -- FROM BLOCKS TO HTML


def words(text: str) -> str:
    """A text for the page, escaped; a number and its unit stay on one line."""
    return held(escape(text))


def _tile(tile: Tile) -> str:
    what, value, beside = map(words, tile)
    return f"<div><dt>{what}</dt><dd>{value}<small>{beside}</small></dd></div>"


@define
class _Page:
    """The figures that the page has so far, by their keys."""

    figures: dict[str, Any] = Factory(dict)
    _numbers: Any = Factory(count)

    def section(self, section: Section) -> str:
        """A section of the page."""
        heading, blocks = section.heading, section.blocks
        parts = []
        for block in blocks:
            plain = not heading and hasattr(block, "to_plotly_json")
            heading = self.caption(block) if plain else heading
            parts.append(self.block(block, captioned=not plain))
        return f"<section><h2>{words(heading)}</h2>{''.join(parts)}</section>"

    def block(self, block: Any, *, captioned: bool = True) -> str:
        """A block of a section."""
        match block:
            case str():
                return f'<p class="soft">{words(block)}</p>'
            case Grid():
                return block.html()
            case Code():
                return f"<pre>{escape(block.text)}</pre>"
            case Html():
                return block.text
            case Folded():
                inner = "".join(map(self.block, block.blocks))
                summary = f"<summary>{words(block.summary)}</summary>"
                return f"<details>{summary}{inner}</details>"
            case Choice():
                return self.choice(block)
            case tuple():
                inner = "".join(self.figure(figure, "strong") for figure in block)
                return f'<div class="row">{inner}</div>'
        return self.figure(block, "" if captioned else None)

    def choice(self, choice: Choice) -> str:
        """A figure, and a list to choose another."""
        keys = {name: self.add(figure) for name, figure in choice.figures.items()}
        options = "".join(
            f'<option value="{key}">{words(name)}</option>'
            for name, key in keys.items()
        )
        first = next(iter(keys.values()))
        caption = words(self.figures[first]["caption"])
        logs = self.log_switch() if self.figures[first]["switch"] else ""
        return (
            '<figure><div class="controls">'
            f'<label>{words(choice.what)} <select autocomplete="off">{options}</select>'
            f"</label>{logs}"
            f"</div><figcaption>{caption}</figcaption>{self.box(first)}</figure>"
        )

    def log_switch(self) -> str:
        """A box to tick for a log scale."""
        return '<label><input type="checkbox" autocomplete="off"> log scale</label>'

    def figure(self, figure: "Figure", caption: str | None) -> str:
        """A figure with its caption, in a class of captions; none if that is None."""
        key = self.add(figure)
        kind = f' class="{caption}"' if caption else ""
        told = words(self.figures[key]["caption"])
        told = "" if caption is None else f"<figcaption{kind}>{told}</figcaption>"
        logs = self.log_switch() if self.figures[key]["switch"] else ""
        logs = f'<div class="controls">{logs}</div>' if logs else ""
        return f"<figure>{told}{logs}{self.box(key)}</figure>"

    def caption(self, figure: "Figure") -> str:
        """The title of a figure as a caption."""
        return str(figure.layout.title.text or "").replace("<br>", " ")

    def add(self, figure: "Figure") -> str:
        """Take a figure in and return its key; its title becomes the caption."""
        made = json.loads(figure.to_json())
        layout, key = made["layout"], f"f{next(self._numbers)}"
        layout.pop("title", None)
        # The page has its own switch and its own room for the caption.
        switch = layout.pop("updatemenus", None) is not None
        margin, legend = layout.setdefault("margin", {}), layout.get("legend", {})
        if "y" in legend and {"t", "b"} <= margin.keys():
            # In shares of the height, which a long title made smaller.
            height = layout["height"] - margin["b"]
            legend["y"] *= (height - margin["t"]) / (height - TOP)
        margin["t"] = 26
        self.figures[key] = {
            "data": made["data"],
            "layout": layout,
            "caption": self.caption(figure),
            "switch": switch,
        }
        return key

    def box(self, key: str) -> str:
        """Where a figure is drawn."""
        layout = self.figures[key]["layout"]
        width = (layout.get("meta") or {}).get("least_width")
        least = f";min-width:{width}px" if width else ""
        style = f'style="height:{layout.get("height", 380)}px{least}"'
        # No wider than the page: what is wider scrolls in its own box.
        plot = f'<div class="plot" data-figure="{key}" {style}></div>'
        return f'<div class="scroll">{plot}</div>' if width else plot
