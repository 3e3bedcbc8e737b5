"""Make what the documents show of runs: the pictures, a chain of causes, a table.

    .venv/bin/python docs/make.py

Takes a minute and a half: the table needs five rules with eight seeds each. With the
word ``studies`` it makes what attribution.md and frontier.md show: half an hour.
"""

import sys
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import flashwick as fw
from flashwick.engine.pages.plots import DEPTH, FORCED, INK, PRICE, SHOCK
from flashwick.engine.pages.wick import wick_svg

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
SCENARIO = "unified-margin-wick"
SEEDS = 8

BEGIN = "<!-- {}: written by docs/make.py -->"
END = "<!-- end of {} -->"

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
    return f"```text\n{run.why()}\n```"


def marked(text: str, name: str) -> str:
    """What stands between the two marker lines of a name."""
    return text.partition(BEGIN.format(name))[2].partition(END.format(name))[0].strip()


def write(name: str, content: str) -> None:
    """Put the content between the two marker lines of its name in the README."""
    begin, end = BEGIN.format(name), END.format(name)
    text = README.read_text("utf-8")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    README.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}", "utf-8")


# -- THE PICTURE OF THE MECHANISM

WIDTH, LEFT, RIGHT = 880, 16, 864
PANEL, GAP, TOP = 92, 44, 34
COLOURS = (PRICE, "#c98a1b", DEPTH)


class _Panel:
    """One strip of the picture: lines over the same seconds, on a scale from 0."""

    def __init__(self, number: int, title: str, most: float, span: Any) -> None:
        self.top = TOP + number * (PANEL + GAP)
        self.most, self.span = most, span
        self.parts: list[str] = []
        self.text(LEFT, self.top - 10, title, INK)
        base = self.top + PANEL
        self.parts.append(
            f'<path d="M{LEFT},{base}H{RIGHT}" stroke="{INK}" opacity=".4"/>'
        )

    def x(self, time: float) -> float:
        first, last = self.span
        return round(LEFT + (time - first) / (last - first) * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        share = min(max(value / self.most, 0.0), 1.0)
        return round(self.top + (1.0 - share) * PANEL, 1)

    def text(
        self, x: float, y: float, words: str, color: str, anchor: str = "start"
    ) -> None:
        at = f'x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}"'
        self.parts.append(f"<text {at}>{escape(words)}</text>")

    def line(self, time: Any, values: Any, color: str, style: str = "") -> None:
        points: list[tuple[float, float]] = []
        for t, v in zip(time.tolist(), values.tolist(), strict=True):
            x, y = self.x(t), self.y(v)
            # A sample holds until the next one.
            points += [(x, points[-1][1] if points else y), (x, y)]
        # Points on a level line say nothing.
        kept = points[:1] + [
            here
            for (before, here), (_, after) in zip(
                pairwise(points[:-1]), pairwise(points[1:]), strict=True
            )
            if not before[1] == here[1] == after[1]
        ]
        path = "M" + "L".join(f"{x},{y}" for x, y in [*kept, points[-1]])
        self.parts.append(
            f'<path d="{path}" stroke="{color}" stroke-width="1.6" {style}/>'
        )


def mechanism_svg(run: fw.Run, begin: float = 54.0, end: float = 146.0) -> str:
    """Collateral's index, the makers' leverage, and the bids, one above the other."""
    series, names = run.series, run.names
    time = series.time * 1e-9
    inside = (time >= begin) & (time <= end)
    time, span = time[inside], (begin, end)
    start = int(np.searchsorted(series.time * 1e-9, run.start))

    index = _Panel(0, "index of the makers' collateral, share of its start", 1.05, span)
    for k, name in enumerate(("USDE", "WBETH", "BNSOL")):
        values = series.index[:, names.assets.index(name)]
        index.line(time, values[inside] / values[start], COLOURS[k])
        index.text(RIGHT - 62 * (2 - k), index.top - 10, name, COLOURS[k], "end")

    leverage = _Panel(1, "leverage of the makers that hold it", 5.0, span)
    holders = np.flatnonzero(series.maker_leverage[start] > 1.0)
    for k in holders.tolist():
        leverage.line(
            time, series.maker_leverage[inside, k], FORCED, 'stroke-opacity=".7"'
        )
    for level in (2, 4):
        y = leverage.y(level)
        leverage.parts.append(
            f'<path d="M{LEFT},{y}H{RIGHT}" stroke="{INK}" opacity=".25"/>'
        )
        leverage.text(LEFT, y - 4, f"{level}×", INK)

    alts = [
        i
        for i, market in enumerate(names.markets)
        if market in ("ATOM/USDT", "SUI/USDT", "DOGE/USDT", "ENJ/USDT", "IOTX/USDT")
    ]
    depth = series.bid_depth[:, alts].sum(axis=1)
    before = f"{depth[start] * 1e-6:.0f} m USD at the start"
    bids = _Panel(2, f"bids of the alt books, {before}", 1.05 * depth[start], span)
    fill = f'fill="{DEPTH}" fill-opacity=".3"'
    edge = np.concatenate([[time[0]], time, [time[-1]]])
    bids.line(edge, np.concatenate([[0.0], depth[inside], [0.0]]), DEPTH, fill)

    bottom = bids.top + PANEL
    parts = [part for panel in (index, leverage, bids) for part in panel.parts]
    shock = bids.x(run.start)
    parts.append(
        f'<path d="M{shock},{TOP}V{bottom}" stroke="{SHOCK}" stroke-dasharray="2 4"/>'
        f'<text x="{shock + 6}" y="{bottom - 8}" fill="{SHOCK}">first shock</text>'
    )
    parts += [
        f'<text x="{bids.x(at)}" y="{bottom + 20}" fill="{INK}" '
        f'text-anchor="middle">{at} s</text>'
        for at in range(70, 146, 15)
    ]
    title = "Collateral is repriced, leverage rises without a trade, the bids go"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 30}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="none" '
        f'stroke-linejoin="round" role="img"><title>{title}</title>'
        + "".join(parts)
        + "</svg>\n"
    )


def write_pictures(run: fw.Run) -> None:
    """Draw both pictures."""
    folder = DOCS / "pictures"
    folder.mkdir(exist_ok=True)
    (folder / "wick.svg").write_text(wick_svg(run), "utf-8")
    (folder / "mechanism.svg").write_text(mechanism_svg(run), "utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["studies"]:
    from studies import make

    make()
elif __name__ == "__main__":
    first = fw.load(SCENARIO).run(seed=0)
    write_pictures(first)
    write("chain", chain(first))
    write("table", table())
