"""Make what the documents show of runs: the pictures, a chain of causes, a table.

    .venv/bin/python docs/make.py

Takes a minute and a half: the table needs five rules with eight seeds each. With the
word ``history`` it makes what the pages of the replays show, one to two minutes; with
``october`` that of 10 October 2025, a quarter of an hour or more; with ``studies`` what
attribution.md and frontier.md show, half an hour.
"""

import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from marks import text_block, write
from panels import Panel, millions, strips

import flashwick as fw
from flashwick.engine.pages.plots import DEPTH, FORCED, INDEX, PRICE
from flashwick.engine.pages.wick import wick_svg

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
SCENARIO = "unified-margin-wick"
SEEDS = 8

RULES = {
    "base": "nothing: the index is made of the venue's own books",
    "redemption-index": "index of USDe, WBETH and BNSOL at the conversion ratio",
    "no-withdrawal": "market makers never withdraw their bids",
    "no-stale-bids": "no old bids far below the price",
    "no-flow-withdrawal": "makers with dollars stay when others are sold by force",
    "bankruptcy-cap": "forced orders trade no worse than the bankruptcy price",
    "rate-limit": "at most 5 liquidation orders a second",
}
"""What each row of the table changes in the scenario."""

# -- THE TABLE

HEADER = (
    "rule",
    "what is changed",
    "deepest alt drop",
    "median alt drop",
    "makers liquidated",
    "forced, USD m",
    "of it spot sales, USD m",
    "amplification",
)


def cells(measures: dict[str, Any]) -> list[str]:
    """The figures of one run as the table writes them."""
    return [
        f"{100 * measures['alts.deepest_drop']:.1f} %",
        f"{100 * measures['alts.median_drop']:.1f} %",
        f"{measures['makers.liquidated']:.0f}",
        f"{measures['forced_usd'] * 1e-6:.1f}",
        f"{measures['forced.sold_spot_usd'] * 1e-6:.1f}",
        f"{measures['amplification']:.1f}×",
    ]


def varied(name: str) -> fw.Scenario:
    """The scenario with the rule of one row."""
    scenario = fw.load(SCENARIO)
    return scenario if name == "base" else scenario.variation(name)


def row(name: str, seeds: int) -> str:
    """One row: seed 0 and, in brackets, the median of each figure over the seeds."""
    runs = [varied(name).run(seed=seed).measures() for seed in range(seeds)]
    names = [key for key, value in runs[0].items() if not isinstance(value, str)]
    # A coin that nobody sold in one of the runs has no figures there.
    middle = {key: median([run[key] for run in runs if key in run]) for key in names}
    pairs = zip(cells(runs[0]), cells(middle), strict=True)
    figures = [f"{first} ({other})" for first, other in pairs]
    return f"| {' | '.join([f'`{name}`', RULES[name], *figures])} |"


def table() -> str:
    """The whole table, as Markdown."""
    head = f"| {' | '.join(HEADER)} |"
    rule = "|---|---|" + "--:|" * (len(HEADER) - 2)
    return "\n".join([head, rule, *(row(name, SEEDS) for name in RULES)])


def chain(run: fw.Run) -> str:
    """The causes of the deepest print, as a block of text."""
    return text_block(run.why())


# -- THE PICTURE OF THE MECHANISM

COLOURS = (PRICE, INDEX, DEPTH)


def mechanism_svg(run: fw.Run, begin: float = 54.0, end: float = 146.0) -> str:
    """Collateral's index, the makers' leverage, and the bids, one above the other."""
    series, names = run.series, run.names
    time = series.time * 1e-9
    inside = (time >= begin) & (time <= end)
    time, span = time[inside], (begin, end)
    start = int(np.searchsorted(series.time * 1e-9, run.start))

    title = "index of the makers' collateral, share of its start"
    index = Panel(title, span, 0.0, 1.05, (0, 0.5, 1))
    for color, name in zip(COLOURS, ("USDE", "WBETH", "BNSOL"), strict=True):
        values = series.index[:, names.assets.index(name)]
        index.line(time, values[inside] / values[start], color, name)

    title = "leverage of the makers that hold it"
    leverage = Panel(title, span, 0.0, 5.0, (0, 2, 4), word="{:g}×".format)
    holders = np.flatnonzero(series.maker_leverage[start] > 1.0)
    for k in holders.tolist():
        values = series.maker_leverage[inside, k]
        leverage.line(time, values, FORCED, style='stroke-opacity=".7"')

    alts = [
        i
        for i, market in enumerate(names.markets)
        if market in ("ATOM/USDT", "SUI/USDT", "DOGE/USDT", "ENJ/USDT", "IOTX/USDT")
    ]
    depth = series.bid_depth[:, alts].sum(axis=1)
    title = "bids of the alt books, millions of USD"
    most = 1.05 * depth[start]
    bids = Panel(
        title,
        span,
        0.0,
        most,
        (0, depth[start]),
        word=lambda usd: millions(round(usd, -6)),
    )
    fill = f'fill="{DEPTH}" fill-opacity=".3"'
    edge = np.concatenate([[time[0]], time, [time[-1]]])
    level = np.concatenate([[0.0], depth[inside], [0.0]])
    bids.line(edge, level, DEPTH, style=fill)
    return strips(
        "Collateral is repriced, leverage rises without a trade, the bids go",
        (index, leverage, bids),
        [(at, f"{at} s") for at in range(70, 146, 15)],
        [(run.start, "first shock")],
    )


def write_pictures(run: fw.Run) -> None:
    """Draw both pictures."""
    folder = DOCS / "pictures"
    folder.mkdir(exist_ok=True)
    (folder / "wick.svg").write_text(wick_svg(run), "utf-8")
    (folder / "mechanism.svg").write_text(mechanism_svg(run), "utf-8")


def write_readme() -> None:
    """Write what the README shows."""
    first = fw.load(SCENARIO).run(seed=0)
    write_pictures(first)
    write(README, "chain", chain(first))
    write(README, "table", table())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["studies"]:
            import studies

            studies.make()
        case ["history", *names]:
            import history

            history.make(names)
        case ["october"]:
            import october

            october.make()
        case _:
            write_readme()
