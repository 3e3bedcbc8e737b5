"""A run as one HTML file that needs no network."""

import json
import re
from collections.abc import Iterable, Sequence
from errno import EISDIR
from html import escape
from importlib.metadata import version
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import Factory, define

from . import facts, figures
from .cause_figures import sankey_figure
from .compare import Comparison, compare
from .crowd_figures import MANY, falls_figure, sizes_figure
from .prints import NANO
from .store import RunFileError, fingerprint, told_of
from .summary import DEEP
from .text import (
    NOTHING,
    Grid,
    join,
    number,
    percent,
    seconds,
    short_usd,
    times,
    whole_percent,
)
from .tiles import Tile, columns, tiles
from .why import CHAIN_STYLE

if TYPE_CHECKING:
    from .run import Run

SHOWN = 24
"""Markets with a figure of their own, those that fell most; each is about 70 kB."""


def write_report(
    run: "Run", path: str | PathLike[str], others: Sequence["Run"] = ()
) -> Path:
    """Write the report of a run, with others beside it; return where it is.

    The file is complete or not there: it is written beside its place and moved.
    RunFileError, before anything is rendered, if it cannot be.
    """
    target = Path(path)
    if not target.name:
        raise RunFileError(f"'path' must be that of a file (got {str(path)!r})")
    partial = target.with_name(f".{target.name}.partial")
    with told_of(target, "name a file in a folder that is there"):
        if target.is_dir():
            raise IsADirectoryError(EISDIR, "it is a directory")
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(render(run, others))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def render(run: "Run", others: Sequence["Run"] = ()) -> str:
    """The report as text."""
    from plotly.offline import get_plotlyjs

    page = Page(run)
    sections = [
        _prices(page),
        _falls(page),
        _collateral(page),
        _makers(page),
        _depth(page),
        _forced(page),
        _why(page),
        _tables(page),
        _what_ifs(page, others),
        _about(page),
    ]
    title = run.scenario.config.title
    about = f"{title.rstrip('.')}. " if title else ""
    about += f"{seconds(run.scenario.config.duration)} simulated"
    headline = tiles(run)
    parts = {
        "title": escape(f"{run.label}, seed {run.seed}"),
        "chain_style": CHAIN_STYLE,
        "label": escape(f"{run.label} · seed {run.seed}"),
        "finding": _words(facts.finding(run).rstrip(".")),
        "about": _words(f"{about}, {number(len(run.log))} events."),
        "tiles": "".join(map(_tile, headline)),
        "columns": str(columns(len(headline))),
        "sections": "\n".join(filter(None, sections)),
        # A text of the scenario must not end the script that holds it.
        "figures": json.dumps(page.figures).replace("</", "<\\/"),
        "plotly": get_plotlyjs(),
    }
    template = (files(__package__) / "report.html").read_text("utf-8")
    pieces = template.split("{{")
    return pieces[0] + "".join(
        parts[name] + rest for name, _, rest in (p.partition("}}") for p in pieces[1:])
    )


@define
class Page:
    """The run and the figures that the report has so far, by their keys."""

    run: "Run"
    figures: dict[str, Any] = Factory(dict)

    def add(self, key: str, figure: Any) -> str:
        """Take a figure in; its title becomes the caption. Returns the caption."""
        made = json.loads(figure.to_json())
        layout = made["layout"]
        caption = str(layout.pop("title")["text"]).replace("<br>", " ")
        # The page has its own switch and its own room for the caption.
        layout.pop("updatemenus", None)
        layout["margin"]["t"] = 26
        self.figures[key] = {
            "data": made["data"],
            "layout": layout,
            "caption": caption,
        }
        return caption

    def box(self, key: str, id_: str = "") -> str:
        """Where a figure is drawn."""
        height = self.figures[key]["layout"]["height"]
        own = f' id="{id_}"' if id_ else ""
        style = f'style="height:{height}px"'
        return f'<div class="plot"{own} data-figure="{escape(key)}" {style}></div>'


# -- SECTIONS


def _tile(tile: Tile) -> str:
    what, value, beside = map(escape, tile)
    return f"<div><dt>{what}</dt><dd>{value}<small>{beside}</small></dd></div>"


def _section(heading: str, *parts: str) -> str:
    return f"<section><h2>{_words(heading)}</h2>{''.join(parts)}</section>"


def _text(words: str) -> str:
    return f'<p class="soft">{_words(words)}</p>'


def _words(text: str) -> str:
    return _held(escape(text))


def _held(text: str) -> str:
    # A number and its unit stay on one line.
    return re.sub(r"(?<=\d) (?=(?:%|s|[kMB])\b|%)", "\N{NO-BREAK SPACE}", text)


def _figure(page: Page, key: str, figure: Any, text: str) -> str:
    heading = page.add(key, figure)
    return _section(heading, _text(text), f"<figure>{page.box(key)}</figure>")


def _prices(page: Page) -> str:
    run = page.run
    first = run.names.markets[facts.chosen_market(run)]
    options, table = [], {m.market: m for m in facts.markets(run)}
    # The deepest, those that are watched, and then those that fell most.
    order = [first, *run.scenario.config.record.markets]
    names = dict.fromkeys([*order, *(m.market for m in facts.worst(run)[:SHOWN])])
    for name in list(names)[: max(SHOWN, len(order))]:
        fallen = table[name]
        page.add(f"price {name}", figures.price_figure(run, run.market(name)))
        chosen = " selected" if name == first else ""
        fall = f"−{percent(fallen.drop)}" if fallen.drop > 0 else "no fall"
        value, words = escape(f"price {name}"), f"{name}, {fall}"
        options.append(f'<option value="{value}"{chosen}>{escape(words)}</option>')
    caption = escape(page.figures[f"price {first}"]["caption"])
    near = whole_percent(run.scenario.config.record.depth)
    return _section(
        "Price, liquidations and bid depth",
        _text(
            "Every trade of the book, the liquidation engine's marked; below, the bids "
            f"within {near} of the outside price."
        ),
        '<div class="controls"><label>Market '
        f'<select id="market">{"".join(options)}</select></label>'
        '<label><input type="checkbox" id="log"> log scale</label></div>'
        f'<figure><figcaption id="price-caption">{caption}</figcaption>'
        f"{page.box(f'price {first}', 'price')}</figure>",
        _text(shocks(run)),
    )


def shocks(run: "Run", shown: int = 8) -> str:
    """What the dotted lines are."""
    told = [
        f"{facts.when(run, event.time * NANO)} {event.text}"
        for event in run.log.single("shock")
    ]
    if not told:
        return ""
    more = [f"and {len(told) - shown} more"] if len(told) > shown else []
    return f"Shocks, dotted: {'; '.join(told[:shown] + more)}."


def _falls(page: Page) -> str:
    if len(page.run.names.markets) <= MANY:
        return ""
    heading = page.add("falls", falls_figure(page.run))
    caption = page.add("sizes", sizes_figure(page.run))
    below = (
        "Each row is a spot market, each column a few moments: the darker, the farther "
        "its lowest trade was below the price before the first shock."
    )
    return _section(
        heading,
        _text(below),
        f"<figure>{page.box('falls')}</figure>",
        f"<h3>{_words(caption)}</h3><figure>{page.box('sizes')}</figure>",
    )


def _collateral(page: Page) -> str:
    boxes, run = [], page.run
    for asset in figures.collateral_assets(run)[:6]:
        key = f"collateral {asset}"
        caption = page.add(key, figures.collateral_figure(run, asset))
        boxes.append(
            f"<figure><figcaption>{_words(caption)}</figcaption>{page.box(key)}</figure>"
        )
    if not boxes:
        return ""
    text = (
        "The index is what the risk engine values collateral at. Where it follows the "
        "venue's own book, a sale into that book is a loss for everyone who pledged "
        "the coin."
    )
    grid = f'<div class="three">{"".join(boxes)}</div>'
    return _section("Collateral: book, index and outside price", _text(text), grid)


def _makers(page: Page) -> str:
    if len(page.run.series.maker_accounts) == 0:
        return ""
    text = (
        "Leverage is positions and borrowings over equity; health is adjusted equity "
        "over maintenance margin. A line ends, with a cross, at the maker's first "
        "forced sale."
    )
    if len(page.run.series.maker_accounts) > MANY:
        text = text.partition(" A line")[0]
        text += " Of each fleet the middle maker and the shade of eight in ten, up to "
        text += "their first forced sales."
    measures = page.run.measures()
    if "makers.leverage_unrepriced" in measures:
        kept = times(float(measures["makers.leverage_unrepriced"]))
        text += (
            f" Had collateral kept its price, leverage there would have been {kept}."
        )
    return _figure(page, "makers", figures.makers_figure(page.run), text)


def _depth(page: Page) -> str:
    if not (page.run.depth_before > 0).any():
        return ""
    near = whole_percent(page.run.scenario.config.record.depth)
    text = (
        f"The bids within {near} of the outside price, as a share of those before the "
        "first shock."
    )
    books = [m for m in facts.markets(page.run) if m.depth_before > 0]
    if len(books) > MANY:
        text += " The middle one, and the shade of eight in ten; all together in red."
    elif len(books) > 1:
        text += " One line for each book"
        if any(m.depth_lost >= figures.BARE for m in books):
            text += f"; those that lost {whole_percent(figures.BARE)} or more are blue"
        text += "."
    flat = sum(m.depth_lost >= figures.BARE and m.drop < figures.MOVED for m in books)
    if flat:
        # Else it reads as if prices that did not fall had books that did not empty.
        text += (
            " Bids are lost when they are withdrawn as well as when they are hit: "
            f"{number(flat)} of the books fell by less than "
            f"{whole_percent(figures.MOVED)} all the same, as little was sold there."
        )
    return _figure(page, "depth", figures.depth_figure(page.run), text)


def _forced(page: Page) -> str:
    sales = facts.sales(page.run)
    if not sales:
        return ""
    good = [s.market for s in sales if s.sold > 0 and s.fall_before > -0.05]
    text = "All trades that the liquidation engine sent, by market."
    if good:
        names = join(good if len(good) < 7 else [*good[:6], f"{len(good) - 6} others"])
        text += f" {names} had not fallen by 5 % when forced sales there began."
    return _figure(page, "forced", figures.forced_figure(page.run), text)


def _why(page: Page) -> str:
    run = page.run
    try:
        chain = run.why()
    except LookupError:
        return ""
    parts = [
        # The page has the style already.
        _held(chain._repr_html_().partition("</style>")[2]),
        "<details><summary>As text, last event first</summary>",
        f"<pre>{escape(str(chain))}</pre></details>",
    ]
    if run.prints.forced.any():
        caption = page.add("causes", sankey_figure(run))
        parts += [
            f"<h3>{_words(caption)}</h3>",
            _text(
                "Every forced trade walked back: the shock at its root, the repricing "
                "that caused the breach, whose account it was, where it was sold."
            ),
            f'<figure class="wide">{page.box("causes")}</figure>',
        ]
    what = "print" if facts.deeper_print(run) is None else "forced print"
    return _section(f"The deepest {what}, walked back cause by cause", *parts)


def _tables(page: Page) -> str:
    summary = page.run.summary()
    return _section(
        "In numbers", *(g.html() for g in (summary.figures, *summary.grids()))
    )


# -- WHAT-IFS


def _what_ifs(page: Page, others: Sequence["Run"]) -> str:
    if not others:
        return ""
    comparison = compare(page.run, *others)
    heading = "What if: the same crash with something changed"
    return _section(
        heading,
        what_ifs(comparison).html(),
        "<details><summary>Every measure of every run</summary>"
        f"{comparison.values().html()}</details>",
    )


def what_ifs(comparison: Comparison) -> Grid:
    """A row for each run: what was changed, and what came of it."""
    market = comparison.runs[0].names.markets[facts.chosen_market(comparison.runs[0])]
    alts = all("alts.deepest_drop" in run.measures() for run in comparison.runs)
    makers = any(facts.venue(run).makers for run in comparison.runs)
    header = (
        "run",
        f"{market} fell",
        *(["deepest fall of an alt"] if alts else []),
        f"markets that fell {whole_percent(DEEP)} or more",
        *(["makers liquidated"] if makers else []),
        "accounts liquidated",
        "forced, USD",
        "amplification",
        "takeovers, USD",
        "change of the fund, USD",
        "same trades until",
    )
    rows: list[tuple[str, ...]] = []
    for label, run, until in zip(
        comparison.labels, comparison.runs, comparison.until, strict=True
    ):
        venue, fallen = facts.venue(run), facts.markets(run)
        own = [m.drop for m in fallen if m.market == market]
        deepest = float(run.measures()["alts.deepest_drop"]) if alts else np.nan
        rows.append(
            (
                label,
                percent(own[0] if own else np.nan),
                *([percent(deepest)] if alts else []),
                number(sum(m.drop >= DEEP for m in fallen)),
                *([f"{venue.makers_liquidated} of {venue.makers}"] if makers else []),
                number(venue.liquidated),
                short_usd(venue.forced),
                times(venue.amplification),
                short_usd(venue.taken),
                short_usd(venue.fund_change),
                NOTHING if not rows else "the end" if until is None else seconds(until),
            )
        )
    return Grid("", header, tuple(rows), " ".join(comparison.notes))


# -- ABOUT


def _about(page: Page) -> str:
    run = page.run
    scenario = run.scenario
    rows = (
        ("scenario", Path(scenario.file).name),
        ("changed", "; ".join(_assignments(run)) or "nothing"),
        ("seed", str(run.seed)),
        ("flashwick", version("flashwick")),
        ("numpy", np.__version__),
        ("trades, SHA-256", fingerprint(run)),
    )
    program = reproducing(run)
    files = {Path(scenario.file).name: scenario.source, **scenario.venues}
    return _section(
        "About this run",
        f'<div class="about">{Grid("", (), rows).html()}</div>',
        _text("The same seed gives the same run, to the byte, on any machine:"),
        f"<pre>{escape(program)}</pre>",
        _text(scenario.config.about) if scenario.config.about else "",
        *(_file(name, text) for name, text in files.items()),
    )


def _file(name: str, text: str) -> str:
    return (
        f"<details><summary>{escape(f'The file {name}')}</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def _assignments(run: "Run") -> Iterable[str]:
    return (f"{place}={value}" for place, value in run.scenario.changes.items())


def reproducing(run: "Run") -> str:
    """The program that makes the run again."""
    from .scenario import scenarios

    scenario = run.scenario
    file = Path(scenario.file).name
    shipped = file.removesuffix(".toml")
    name = shipped if shipped in scenarios() else file
    varied = f".vary({scenario.changes!r})" if scenario.changes else ""
    load = f'fw.load("{name}"){varied}'
    return f"import flashwick as fw\n\nrun = {load}.run(seed={run.seed})\n"
