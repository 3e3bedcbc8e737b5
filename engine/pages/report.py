"""What the page of a run says, and that of several runs side by side."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import facts
from ..chain_summary import chain_figure, chain_prices
from ..lab.compare import Comparison, compare
from ..prints import NANO
from ..store import fingerprint
from ..summary import DEEP
from ..text import (
    NOTHING,
    Grid,
    held,
    join,
    number,
    percent,
    seconds,
    short_usd,
    times,
    whole_percent,
)
from . import figures
from .cause_figures import flow_figure
from .crowd_figures import MANY, falls_figure, sizes_figure
from .page import Choice, Code, Folded, Html, Report, Section
from .tiles import Tile
from .tiles import tiles as run_tiles

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..run import Run

SHOWN = 24
"""Markets with a figure of their own, those that fell most; each is about 70 kB."""

MOST_TILES = 6
"""Runs side by side with a tile each; of more, the table says enough."""

LOST = "What was lost is against the price outside at that moment."

OVERLAID = 8
"""Markets of a comparison with a figure of their own."""


def run_report(run: "Run", others: Sequence["Run"] = ()) -> Report:
    """The report of a run, with others beside it."""
    title = run.scenario.config.title
    about = f"{title.rstrip('.')}. " if title else ""
    about += f"{seconds(run.scenario.config.duration)} simulated"
    return Report(
        label=f"{run.label}, seed {run.seed}",
        finding=facts.finding(run),
        about=f"{about}, {number(len(run.log))} events.",
        tiles=run_tiles(run),
        sections=[
            *([_prices(run)] if run.names.markets else []),
            *_falls(run),
            *_collateral(run),
            *_makers(run),
            *_depth(run),
            *_forced(run),
            *_chain(run),
            *_why(run),
            *_story(run),
            _tables(run),
            *_what_ifs(run, others),
            *_about(run),
        ],
    )


def comparison_report(comparison: Comparison) -> Report:
    """The report of several runs side by side."""
    runs, labels = comparison.runs, comparison.labels
    finding, headline = _fell(comparison)
    made = [_made(run, label) for run, label in zip(runs, labels, strict=True)]
    differ = any(any(row.differences[1:]) for row in comparison.rows)
    return Report(
        label=f"{runs[0].scenario.name}: {join(labels)}",
        finding=finding,
        about=" ".join(comparison.notes) or f"All with seed {runs[0].seed}.",
        tiles=headline if len(headline) <= MOST_TILES else (),
        sections=[
            *_overlays(comparison),
            Section("What became of each", _became(comparison)),
            *([Section("", comparison.differences())] if differ else []),
            Section("Every measure", _every(comparison)),
            *(_parting(comparison, case) for case in range(1, len(runs))),
            *made,
        ],
    )


def _fell(comparison: Comparison) -> tuple[str, list[Tile]]:
    # The runs in one sentence, and each as a tile.
    runs, labels = comparison.runs, comparison.labels
    if not runs[0].names.markets:
        return " ".join(_findings(comparison)), []
    market = runs[0].names.markets[facts.chosen_market(runs[0])]
    falls = [percent(_fallen(run, market)) for run in runs]
    others = [f"{fall} with {label}" for fall, label in zip(falls, labels, strict=True)]
    tiles: list[Tile] = []
    for label, fall, run in zip(labels, falls, runs, strict=True):
        forced = f"{short_usd(facts.venue(run).forced)} USD traded by force"
        tiles.append((f"{market} fell, {label}", fall, forced))
    return f"{market} fell {falls[0]}, and {join(others[1:])}", tiles


def _findings(comparison: Comparison) -> Iterator[str]:
    # A run whose finding is that of the first is told by what differs most.
    own = facts.finding(comparison.runs[0])
    yield f"{comparison.labels[0]}: {own}"
    pairs = zip(comparison.labels, comparison.runs, strict=True)
    for k, (label, run) in enumerate(pairs):
        finding = facts.finding(run)
        if k and finding != own:
            yield f"{label}: {finding}"
        elif k:
            differing = [row for row in comparison.rows if row.differences[k]]
            told = [comparison.told(row, k) for row in differing[:1]]
            yield f"{label}: {told[0] if told else 'the same'}."


def _became(comparison: Comparison) -> Grid:
    # Of runs without a market what their protocols came to.
    some = comparison.runs[0].names.markets
    return what_ifs(comparison) if some else comparison.grid()


def _every(comparison: Comparison) -> Grid:
    some = comparison.runs[0].names.markets
    return comparison.grid() if some else comparison.measures()


def _fallen(run: "Run", market: str) -> float:
    # A run of another file may lack the market.
    return next((m.drop for m in facts.markets(run) if m.market == market), np.nan)


# -- PRICES


def shown_markets(run: "Run") -> list[str]:
    """Markets with a figure: the deepest, those watched, those that fell most."""
    first = run.names.markets[facts.chosen_market(run)]
    order = [first, *run.scenario.config.record.markets]
    names = dict.fromkeys([*order, *(m.market for m in facts.worst(run)[:SHOWN])])
    return list(names)[: max(SHOWN, len(order))]


def _prices(run: "Run") -> Section:
    table = {m.market: m for m in facts.markets(run)}
    near = whole_percent(run.scenario.config.record.depth)
    chosen = {
        f"{name}, {_fall(table[name])}": figures.price_figure(run, run.market(name))
        for name in shown_markets(run)
    }
    return Section(
        "Price, liquidations and bid depth",
        "Every trade of the book, the liquidation engine's marked; below, the bids "
        f"within {near} of the outside price.",
        Choice("Market", chosen),
        shocks(run),
    )


def _fall(market: facts.MarketFacts) -> str:
    return f"−{percent(market.drop)}" if market.drop > 0 else "no fall"


def shocks(run: "Run", shown: int = 8) -> str:
    """What the dotted lines are."""
    told = [
        # Some shocks are named after their time.
        event.text if event.text.startswith(at) else f"{at} {event.text}"
        for event in run.shocks
        for at in [facts.when(run, event.time * NANO)]
    ]
    if not told:
        return ""
    more = [f"and {len(told) - shown} more"] if len(told) > shown else []
    return f"Shocks, dotted: {'; '.join(told[:shown] + more)}."


def _falls(run: "Run") -> Iterator[Section]:
    if len(run.names.markets) > MANY:
        yield Section(
            "",
            "Each row is a spot market, each column a few moments: the darker, the "
            "farther its lowest trade was below the price before the first shock.",
            falls_figure(run),
            sizes_figure(run),
        )


# -- WHO WAS HIT


def _collateral(run: "Run") -> Iterator[Section]:
    assets = figures.collateral_assets(run)[:6]
    if assets:
        yield Section(
            "Collateral: book, index and outside price",
            "The index is what the risk engine values collateral at. Where it follows "
            "the venue's own book, a sale into that book is a loss for everyone who "
            "pledged the coin.",
            tuple(figures.collateral_figure(run, asset) for asset in assets),
        )


def _makers(run: "Run") -> Iterator[Section]:
    if len(run.series.maker_accounts) == 0:
        return
    text = (
        "Leverage is positions and borrowings over equity; health is adjusted equity "
        "over maintenance margin. A line ends, with a cross, at the maker's first "
        "forced sale."
    )
    if len(run.series.maker_accounts) > figures.LINES:
        text = text.partition(" A line")[0]
        text += " Of each fleet the middle maker and the shade of eight in ten, up to "
        text += "their first forced sales."
    measures = run.measures()
    if "makers.leverage_unrepriced" in measures:
        kept = times(float(measures["makers.leverage_unrepriced"]))
        text += (
            f" Had collateral kept its price, leverage there would have been {kept}."
        )
    yield Section("", text, figures.makers_figure(run))


def _depth(run: "Run") -> Iterator[Section]:
    if not (run.depth_before > 0).any():
        return
    near = whole_percent(run.scenario.config.record.depth)
    text = (
        f"The bids within {near} of the outside price, as a share of those before the "
        "first shock."
    )
    books = [m for m in facts.markets(run) if m.depth_before > 0]
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
    yield Section("", text, figures.depth_figure(run))


def _forced(run: "Run") -> Iterator[Section]:
    sales = facts.sales(run)
    if not sales:
        return
    good = [s.market for s in sales if s.sold > 0 and s.fall_before > -0.05]
    text = "All trades that the liquidation engine sent, by market."
    if good:
        names = join(good if len(good) < 7 else [*good[:6], f"{len(good) - 6} others"])
        text += f" {names} had not fallen by 5 % when forced sales there began."
    yield Section("", text, figures.forced_figure(run))


def _chain(run: "Run") -> Iterator[Section]:
    if chain_prices(run):
        text = "Prices of pools and feeds, each as a share of its first."
        dotted = "" if run.names.markets else shocks(run)
        heading = "Pools, feeds and lending markets"
        yield Section(heading, text, chain_figure(run), dotted)


# -- WHY


def _why(run: "Run") -> Iterator[Section]:
    try:
        chain = run.why()
    except LookupError:
        return
    what = "print" if facts.deeper_print(run) is None else "forced print"
    yield Section(
        f"The deepest {what}, walked back cause by cause",
        # The page has the style already.
        Html(held(chain._repr_html_().partition("</style>")[2])),
        Folded("As text, last event first", [Code(str(chain))]),
    )
    if run.prints.forced.any():
        yield Section(
            "",
            "Every forced trade walked back: the shock at its root, the repricing that "
            f"caused the breach, whose account it was, where it was traded. {LOST}",
            flow_figure(run),
        )


def _story(run: "Run") -> Iterator[Section]:
    try:
        story = run.story()
    except LookupError:
        return
    orders = story.orders()
    folded = [Folded("Every forced order", [orders])] if orders.rows else []
    yield Section(story.title, LOST, story.grid(), *folded)


def _tables(run: "Run") -> Section:
    summary = run.summary()
    headline = [summary.figures] if summary.rows else []
    return Section("In numbers", *headline, *summary.grids())


# -- WHAT-IFS


def _what_ifs(run: "Run", others: Sequence["Run"]) -> Iterator[Section]:
    if others:
        comparison = compare(run, *others)
        yield Section(
            "What if: the same crash with something changed",
            _became(comparison),
            Folded("Every measure of every run", [comparison.values()]),
        )


def what_ifs(comparison: Comparison) -> Grid:
    """A row for each run: what was changed, and what came of it."""
    first = comparison.runs[0]
    market = first.names.markets[facts.chosen_market(first)]
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
        deepest = float(run.measures()["alts.deepest_drop"]) if alts else np.nan
        parts = "the end" if until is None else facts.when(run, until)
        rows.append(
            (
                label,
                percent(_fallen(run, market)),
                *([percent(deepest)] if alts else []),
                number(sum(m.drop >= DEEP for m in fallen)),
                *([f"{venue.makers_liquidated} of {venue.makers}"] if makers else []),
                number(venue.liquidated),
                short_usd(venue.forced),
                times(venue.amplification),
                short_usd(venue.taken),
                short_usd(venue.fund_change),
                parts if rows else NOTHING,
            )
        )
    return Grid("", header, tuple(rows), " ".join(comparison.notes))


def _parting(comparison: Comparison, case: int) -> Section:
    found = comparison.parting(case)
    heading = f"Until when {comparison.labels[case]} is the same run"
    return Section(heading, found.finding, found.grid())


def _overlays(comparison: Comparison) -> Iterator[Section]:
    """Prices of the runs in one figure, for each market that fell in one of them."""
    falls: dict[str, float] = {}
    for run in comparison.runs:
        for market in facts.worst(run):
            falls[market.market] = max(falls.get(market.market, 0.0), market.drop)
    names = sorted(falls, key=lambda name: -falls[name])[:OVERLAID]
    chosen: dict[str, Figure] = {name: comparison.figure(name) for name in names}
    if chosen:
        yield Section("Prices", Choice("Market", chosen))


# -- ABOUT


def _made(run: "Run", label: str) -> Section:
    rows = (
        ("scenario", Path(run.scenario.file).name),
        ("changed", "; ".join(_assignments(run)) or "nothing"),
        *((("besides", "; ".join(run.apart)),) if run.apart else ()),
        ("seed", str(run.seed)),
        ("flashwick", version("flashwick")),
        ("numpy", np.__version__),
        ("trades, SHA-256", fingerprint(run)),
    )
    again = (
        "The same seed gives the same run, to the byte, on any machine:",
        Code(reproducing(run)),
    )
    about = Grid("", (), rows, prose=True)
    # What was done besides the scenario no scenario can say.
    return Section(f"About {label}", about, *(() if run.apart else again))


def _about(run: "Run") -> Iterator[Section]:
    made = _made(run, "this run")
    scenario = run.scenario
    texts = {Path(scenario.file).name: scenario.source, **scenario.venues}
    folded = [Folded(f"The file {name}", [Code(text)]) for name, text in texts.items()]
    yield Section(made.heading, *made.blocks, scenario.config.about, *folded)


def _assignments(run: "Run") -> Iterable[str]:
    return (f"{place}={value}" for place, value in run.scenario.changes.items())


def reproducing(run: "Run") -> str:
    """The program that makes the run again."""
    from ..scenario import scenarios

    scenario = run.scenario
    file = Path(scenario.file).name
    shipped = file.removesuffix(".toml")
    name = shipped if shipped in scenarios() else file
    varied = f".vary({scenario.changes!r})" if scenario.changes else ""
    load = f'fw.load("{name}"){varied}'
    return f"import flashwick as fw\n\nrun = {load}.run(seed={run.seed})\n"
