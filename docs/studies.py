"""Make what docs/attribution.md and docs/frontier.md show of many replays.

    .venv/bin/python docs/make.py studies

Takes half an hour on two cores; what is done is kept in build/studies, and an
interrupted study goes on there.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from marks import text_block, write
from panels import svg, words_at

import flashwick as fw
from flashwick.engine.lab.kept import Kept
from flashwick.engine.pages.plots import DEPTH, FORCED, INK, PRICE
from flashwick.engine.reading.changes import plain
from flashwick.engine.reading.switches import combined

DOCS = Path(__file__).parent
KEPT = DOCS.parent / "build" / "studies"
SCENARIO = "unified-margin-wick"
OUTCOME = "median_wick"

MECHANISMS = (
    "own-book-index",
    "collateral-sale",
    "withdrawal-by-health",
    "withdrawal-by-volatility",
    "withdrawal-by-flow",
    "stale-bids",
)
SEEDS = 8

MILD = {
    "shocks.2.usd": 1_100_000,
    "shocks.3.usd": 600_000,
    "shocks.4.usd": 700_000,
    "shocks.5.usd": 400_000,
}
"""A fifth of the sales of the staked coins."""

SALE = "shocks.1.usd"
"""The sale of USDe."""

COINS = {"USDE": 0.95, "WBETH": 0.90, "BNSOL": 0.90}
"""Collateral rates of the preset binance-pm."""

BOUND = "makers.liquidated < 1"


def cut(points: float) -> dict[str, float]:
    """The collateral rates of the three coins, lower by so many hundredths."""
    return {
        f"rules.collateral.{coin}": round(rate - 0.01 * points, 4)
        for coin, rate in COINS.items()
    }


# -- THE STUDIES


def attribution(into: Path = KEPT / "attribution") -> fw.Attribution:
    """Every coalition of six mechanisms with every seed: 512 replays."""
    return fw.attribute(
        fw.load(SCENARIO), OUTCOME, MECHANISMS, SEEDS, into=into, resume=True
    )


def smallest_sale(into: Path = KEPT / "sale") -> fw.Frontier:
    """The sale of USDe that liquidates a market maker, for the median of five seeds."""
    crash = fw.load(SCENARIO).vary(MILD)
    ends = 1_000_000, 11_000_000
    return fw.frontier(
        crash, SALE, ends, BOUND, 5, over="median", into=into, resume=True
    )


def largest_cut(into: Path = KEPT / "cut") -> fw.Frontier:
    """The cut of the rates that a USDe sale of a million survives, in four seeds."""
    crash = fw.load(SCENARIO).vary(MILD | {SALE: 1_000_000})
    return fw.frontier(
        crash, cut, (0.0, 40.0), BOUND, 4, tolerance=0.5, into=into, resume=True
    )


# -- WHAT IS STORED


def write_outcomes(found: fw.Attribution, path: Path) -> None:
    """Store the outcome of every replay, a line each."""
    table = found.table().to_pylist()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table[0])
        for row in table:
            *on, seed, outcome = row.values()
            writer.writerow([*map(int, on), seed, repr(outcome)])


def outcomes(path: Path) -> Iterator[tuple[tuple[str, ...], int, float]]:
    """What was on, seed and outcome of each line."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            on = tuple(name for name in MECHANISMS if row[name] == "1")
            yield on, int(row["seed"]), float(row["outcome"])


def keep(kept: Kept, rows: Iterable[tuple[tuple[str, ...], int, float]]) -> None:
    """Put stored outcomes where `attribute` finds them, as if it had run them."""
    switches = fw.load(SCENARIO).config.switches
    with kept:
        for on, seed, outcome in rows:
            off = [name for name in MECHANISMS if name not in on]
            kept.add(plain(combined(switches, off)), seed, {OUTCOME: outcome})


# -- WHAT IS SHOWN


LEFT, RIGHT, ROW, TOP = 210, 850, 40, 20


def shares_svg(found: fw.Attribution) -> str:
    """Bars of the shares with whiskers, and crosses for what a knock-out takes."""
    most = found.effect.mean

    def x(value: float) -> float:
        return LEFT + max(0.0, value) / most * (RIGHT - LEFT)

    parts = []
    for k, row in enumerate(found.ranked()):
        y = TOP + ROW * k
        middle = y + 0.35 * ROW
        share, out = row.share, x(row.knocked_out.mean)
        parts.append(words_at(LEFT - 10, middle + 5, row.mechanism, anchor="end"))
        bar = f"M{LEFT},{y}H{x(share.mean):.1f}v{0.7 * ROW}H{LEFT}z"
        parts.append(f'<path d="{bar}" fill="{PRICE}"/>')
        whisker = f"M{x(share.low):.1f},{middle}H{x(share.high):.1f}"
        parts.append(f'<path d="{whisker}" stroke="{INK}" stroke-width="2"/>')
        cross = f"M{out - 5:.1f},{middle - 5}l10,10m0,-10l-10,10"
        parts.append(f'<path d="{cross}" stroke="{FORCED}" stroke-width="2"/>')
    bottom = TOP + ROW * len(found.shares)
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        place = x(part * most)
        parts.append(
            f'<path d="M{place:.1f},{TOP - 6}V{bottom}" stroke="{INK}" opacity=".25"/>'
        )
        parts.append(
            words_at(
                place, bottom + 18, f"{part:.0%}".replace("%", " %"), anchor="middle"
            )
        )
    whole = found.words(most, sign=True)
    note = f"of the {whole} that all six add; × what a knock-out of one takes away"
    parts.append(words_at(LEFT, bottom + 42, note))
    return svg(bottom + 54, "Shapley shares of the median wick", parts)


def frontier_svg(found: fw.Frontier) -> str:
    """A dot for each value and number of makers, as large as there are seeds of it."""
    low, high = found.evaluations[0].value, found.evaluations[-1].value
    most = max(max(each.outcomes) for each in found.evaluations)
    bottom, top, left = 230.0, 30.0, 60.0

    def place(value: float, outcome: float) -> tuple[float, float]:
        x = left + (value - low) / (high - low) * (RIGHT - left)
        return x, bottom - outcome / most * (bottom - top)

    parts = []
    for k in range(int(most) + 1):
        y = place(low, k)[1]
        parts.append(
            f'<path d="M{left},{y:.1f}H{RIGHT}" stroke="{INK}" opacity=".25"/>'
        )
        parts.append(words_at(left - 14, y + 5, str(k), anchor="end"))
    for each in found.evaluations:
        for outcome in dict.fromkeys(each.outcomes):
            x, y = place(each.value, outcome)
            size = 4.0 * each.outcomes.count(outcome) ** 0.5
            color = DEPTH if found.bound.held(outcome) else FORCED
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="{color}" '
                'opacity=".8"/>'
            )
    for side in (found.good, found.bad):
        x = place(side.value, 0)[0]
        parts.append(
            f'<path d="M{x:.1f},{top - 10}V{bottom}" stroke="{PRICE}" '
            'stroke-dasharray="4 3"/>'
        )
    ends = ((low, "start"), (found.good.value, "middle"), (high, "end"))
    parts += [
        words_at(place(value, 0)[0], bottom + 24, f"{value:,.0f}", anchor=anchor)
        for value, anchor in ends
    ]
    note = "market makers liquidated, by the USD of USDe sold; larger dots: more seeds"
    parts.append(words_at(left, bottom + 50, note))
    return svg(bottom + 62, "Market makers liquidated by the sale of USDe", parts)


def make() -> None:
    """Run the studies, or go on with them, and write what the documents show."""
    KEPT.mkdir(parents=True, exist_ok=True)
    pictures = DOCS / "pictures"
    found = attribution()
    write_outcomes(found, DOCS / "attribution.csv")
    write(DOCS / "attribution.md", "shares", text_block(found))
    write(DOCS / "attribution.md", "pairs", text_block(found.pairs()))
    (pictures / "shares.svg").write_text(shares_svg(found), "utf-8")
    sale, rates = smallest_sale(), largest_cut()
    write(DOCS / "frontier.md", "sale", text_block(f"{sale}\n\n{sale.confirm()}"))
    write(DOCS / "frontier.md", "cut", text_block(f"{rates}\n\n{rates.confirm()}"))
    (pictures / "frontier.svg").write_text(frontier_svg(sale), "utf-8")
