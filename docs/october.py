"""Make what history/oct10.md shows: targets, what-ifs, chains of causes, pictures.

    .venv/bin/python docs/make.py october

Takes a quarter of an hour or more on two cores: eight seeds of the whole day, and one
run of each variation. What is done is kept in build/october; nothing is run twice.
"""

import csv
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from history import Row, cells_of, figure, ours, row_of, verdict
from marks import text_block, write
from panels import MINUTE, Panel, millions, since, strips, times

import flashwick as fw
from flashwick.engine.lab.verify import verify
from flashwick.engine.look import Look, NoFigure
from flashwick.engine.pages.plots import DEPTH, FORCED, INDEX, PRICE
from flashwick.engine.wick_measures import falls

DOCS = Path(__file__).parent
PAGE = DOCS / "history" / "oct10.md"
STORED = DOCS / "october.csv"
KEPT = DOCS.parent / "build" / "october"
FACTS = DOCS.parent / "tests" / "scenarios" / "oct10_targets.csv"
SCENARIO = "oct10"
WORKERS = 2  # each needs 2 GB

WHAT_IFS = {
    "base": ("oct10", None, "the day as the file has it"),
    "redemption-index": (
        "oct10",
        "redemption-index",
        "USDe, WBETH, BNSOL counted at what they are redeemed for",
    ),
    "no-freeze": ("oct10", "no-freeze", "transfers stay open"),
    "no-stale-bids": ("oct10", "no-stale-bids", "no old bids far below in the alts"),
    "adl-pro-rata": ("oct10", "adl-pro-rata", "deleveraging in proportion"),
    "beta-0": ("oct10", "beta-0", "makers do not shrink from forced sales"),
    "breaker": ("oct10", "breaker", "30 % in 300 s halt a book"),
    "no-degradation": ("oct10", "no-degradation", "the gateway is as ever"),
    "fundamentals": ("oct10", "fundamentals", "what came from outside alone"),
    "calm": ("oct10", "calm", "nothing comes from outside"),
    "oct10-article": ("oct10-article", None, "USDe first: a narrative, not history"),
}
"""By row of the table: the scenario, its variation, and what is changed."""

# -- WHAT IS TAKEN OF A RUN


@attrs.frozen
class Column:
    """A figure of the table of what-ifs."""

    title: str
    measure: str
    word: Callable[[float], str]


def share(value: float) -> str:
    """A share below zero or above, in percent."""
    return f"{100 * value:.1f} %".replace("-0.0 ", "0.0 ").replace("-", "−")


def fallen(value: float) -> str:
    """The same of a fall."""
    return share(-value)


def clock(value: float) -> str:
    """Seconds after midnight as hours, minutes and seconds."""
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def in_millions(value: float) -> str:
    """US dollars in millions."""
    return f"{value * 1e-6:,.1f}"


COLUMNS = (
    Column("BTC", "BTC/USDT:PERP.low_5s", share),
    Column("ETH", "ETH/USDT:PERP.low_5s", share),
    Column("SOL", "SOL/USDT:PERP.low_5s", share),
    Column("USDE", "USDE/USDT.drop", fallen),
    Column("lowest at", "USDE/USDT.low_5s_time", clock),
    Column("WBETH", "WBETH/USDT.drop", fallen),
    Column("BNSOL", "BNSOL/USDT.drop", fallen),
    Column("index of USDE", "USDE.index_drift", share),
    Column("of WBETH", "WBETH.index_drift", share),
    Column("of BNSOL", "BNSOL.index_drift", share),
    Column("trio sold by force, USD m", "trio", in_millions),
    Column("median pair", "wicks.median", fallen),
    Column("pairs below a tenth", "wicks.share_over.90", share),
    Column("accounts liquidated", "accounts.liquidated", lambda n: f"{n:,.0f}"),
    Column("fund paid, USD m", "fund.draw_usd", in_millions),
)
TRIO = ("USDE/USDT", "WBETH/USDT", "BNSOL/USDT")


def measured(run: fw.Run, name: str) -> float:
    """One figure; NaN where the run has none."""
    if name == "trio":
        return sum(taken(run, f"{market}.forced_sold_usd") for market in TRIO)
    return taken(run, name, nothing=float("nan"))


def taken(run: fw.Run, name: str, nothing: float = 0.0) -> float:
    """A measure, or what stands for none."""
    try:
        return float(run.measure(name))
    except NoFigure:
        return nothing


def kept(name: str, make: Callable[[], Any]) -> Any:
    """What was made before, or is made now."""
    path = KEPT / f"{name}.pickle"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        made = make()
        path.write_bytes(pickle.dumps(made))
    return pickle.loads(path.read_bytes())


def what_if(name: str) -> dict[str, float]:
    """The figures of one row, seed 0."""
    file, variation, _ = WHAT_IFS[name]
    scenario = fw.load(file)
    run = (scenario.variation(variation) if variation else scenario).run(seed=0)
    return {column.measure: measured(run, column.measure) for column in COLUMNS}


def kept_what_if(name: str) -> dict[str, float]:
    """The same, kept."""
    found: dict[str, float] = kept(name, lambda: what_if(name))
    return found


# -- TABLES


def facts() -> dict[str, str]:
    """What really was, by target, in the unit of the target."""
    with FACTS.open(encoding="utf-8", newline="") as file:
        return {row["id"]: real_of(row) for row in csv.DictReader(file)}


def real_of(row: dict[str, str]) -> str:
    """A number over the factor that its unit has; words as they stand."""
    try:
        return figure(float(row["real"]) / float(row["factor"] or 1))
    except ValueError:
        return row["real"]


def accepted(row: Row) -> str:
    """The band of a target."""
    assert row.target.band is not None
    return " to ".join(map(figure, row.target.band))


def targets(rows: Iterable[Row]) -> str:
    """Every target with what really was, as Markdown."""
    real = facts()
    lines = [
        "| target | measure | real | accepted | ours, median | verdict |",
        "|---|---|--:|--:|--:|---|",
    ]
    for row in rows:
        found = ours(row) if row.values else row.note
        name = row.target.id
        cells = (
            f"`{name}`",
            f"`{row.what}`",
            real.get(name, ""),
            accepted(row),
            found,
            verdict(row),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def stored() -> list[Row]:
    """The rows as they were kept, with the targets as the scenario has them now."""
    known = {target.id: target for target in fw.load(SCENARIO).config.targets}
    with STORED.open(encoding="utf-8", newline="") as file:
        return [row_of(line, known) for line in csv.DictReader(file)]


def what_ifs(found: dict[str, dict[str, float]]) -> str:
    """All what-ifs, as Markdown."""
    titles = ["", "what is changed", *(column.title for column in COLUMNS)]
    lines = [f"| {' | '.join(titles)} |", "|---|---|" + "--:|" * len(COLUMNS)]
    for name, (_, _, words) in WHAT_IFS.items():
        cells = (
            "–" if np.isnan(value) else column.word(value)
            for column in COLUMNS
            for value in [found[name][column.measure]]
        )
        lines.append(f"| {' | '.join((f'`{name}`', words, *cells))} |")
    return "\n".join(lines)


def chains(run: fw.Run) -> Iterator[str]:
    """Where the deepest prints of ten pairs come from, as lines of Markdown."""
    yield "| pair | lowest price | of the price before | links | ends in |"
    yield "|---|--:|--:|--:|---|"
    deepest = sorted(
        (run.measure(f"{name}.drop"), name)
        for name in run.names.markets
        if name.endswith("/USDT") and len(run.prints.of(run.market(name)))
    )[-10:]
    for drop, name in reversed(deepest):
        steps = run.why(name).steps
        links = run.log.chain(steps[0].event.id)
        low = f"{run.measure(f'{name}.trough'):.6g}"
        root = links[-1]
        end = f"own decision, {run.group(root.account).replace('_', ' ')}"
        if root.kind == "shock":
            end = root.text
        yield f"| {name} | {low} | {1 - drop:.2%} | {len(links)} | {end} |"


# -- PICTURES

SPAN = (0.0, 6_240.0)
START = 74_760.0
QUANTILES = {5: 21.26, 10: 33.94, 25: 58.1, 50: 70.46, 75: 81.7, 90: 87.9, 95: 93.0}
"""Falls of 429 pairs from the high of the day, percent; the 99th is 99.92."""


def at(clock: str) -> float:
    """Seconds of the run at a time of day."""
    return since(clock, START)


def course(run: fw.Run) -> str:
    """The day from 20:46: majors, depth, makers, the trio, forced trades."""
    series, names = run.series, run.names
    time = series.time * 1e-9
    majors = Panel("perpetuals against 20:49:55, %", SPAN, -35, 2, (0, -10, -20, -30))
    before = int(np.searchsorted(time, 235.0))
    lows = (("BTC", "21:20", -12.9), ("ETH", "21:20", -14.7), ("SOL", "21:21", -30.7))
    for (coin, clock, low), color in zip(lows, (PRICE, INDEX, FORCED), strict=True):
        last = series.last[:, run.market(f"{coin}/USDT:PERP")]
        majors.line(time, 100 * (last / last[before] - 1), color, coin)
        majors.ring(at(clock), low, color=color)
    depth = Panel(
        "depth within 25 bp against the calm, perpetuals; no line: less than 0.005",
        SPAN,
        0.005,
        10,
        (0.01, 0.1, 1, 10),
        logarithmic=True,
    )
    real = (("BTC", "21:17", 0.13), ("ETH", "21:18", 0.03), ("SOL", "21:18", 0.02))
    for (coin, clock, low), color in zip(real, (PRICE, INDEX, FORCED), strict=True):
        minutes, ratio = depth_of(run, f"{coin}/USDT:PERP")
        depth.line(minutes, np.where(ratio < depth.low, np.nan, ratio), color)
        depth.ring(at(clock), low, color=color)
    trio = Panel(
        "collateral on its USDT book, share of what it stands for",
        SPAN,
        0.0,
        1.1,
        (0, 0.5, 1),
    )
    worth = (("USDE", 0.65), ("WBETH", 0.091), ("BNSOL", 0.158))
    for (coin, low), color in zip(worth, (DEPTH, INDEX, FORCED), strict=True):
        last = series.last[:, run.market(f"{coin}/USDT")]
        out = series.outside[:, names.assets.index(coin)]
        trio.line(time, last / out, color, coin)
        around = at("21:36"), at("22:16")
        trio.range(around, (low - 0.02, low + 0.02))
        if coin != "WBETH":
            words = "USDE" if coin == "USDE" else "BNSOL, WBETH"
            trio.note(at("22:17"), low - 0.06, words)
    forced = Panel("forced trades a minute, USD m", SPAN, 0, most(run), word=millions)
    minutes, usd = by_minute(run)
    forced.ticks = (0, forced.high / 2, forced.high)
    forced.line(minutes, usd, FORCED)
    return strips(
        "10 October 2025, 20:46 to 22:30 UTC",
        (majors, depth, trio, forced),
        list(times(SPAN, 15 * MINUTE, START)),
        [
            (at("20:50"), "tariffs of 100 % are announced"),
            (at("21:18"), "transfers are cut until 21:51"),
            (at("21:36"), "the indices of the trio are off, until 22:16"),
        ],
    )


def depth_of(run: fw.Run, market: str) -> tuple[Any, Any]:
    """Minutes, and mean depth of both sides within 25 bp over the calm before."""
    watched = run.series.watched
    k = watched.markets.index(run.market(market))
    usd = watched.depth[:, k, :, 0].sum(axis=1)
    time = watched.time * 1e-9
    minute = (time // MINUTE).astype(int)
    mean = np.bincount(minute, np.nan_to_num(usd)) / np.bincount(minute)
    calm = np.nan_to_num(usd[time < run.start]).mean()
    return MINUTE * np.arange(len(mean)), mean / calm


def by_minute(run: fw.Run) -> tuple[Any, Any]:
    """Minutes, and the US dollars that were traded by force in each."""
    trades = run.prints
    minute = (trades.time[trades.forced] // MINUTE).astype(int)
    count = int(SPAN[1] // MINUTE)
    usd = np.bincount(minute, trades.usd[trades.forced], count)
    return MINUTE * np.arange(len(usd)), usd


def most(run: fw.Run) -> float:
    """A round number above what was traded by force in any minute."""
    high = float(by_minute(run)[1].max())
    unit = 10.0 ** np.floor(np.log10(high))
    return float(unit * np.ceil(high / unit))


def cross_section(run: fw.Run) -> str:
    """How deep the pairs fell, from the one that fell least to the deepest."""
    deep = 100 * np.sort(falls(Look(run, None)))
    panel = Panel(
        "fall of a pair from the high of its day, %",
        (0.0, 100.0),
        0,
        100,
        (0, 25, 50, 75, 100),
        height=240,
    )
    share_of_pairs = 100 * (np.arange(len(deep)) + 0.5) / len(deep)
    panel.line(share_of_pairs, deep, PRICE, "ours")
    for quantile, real in {**QUANTILES, 99: 99.92}.items():
        panel.ring(quantile, real)
    return strips(
        "Falls of all pairs with USDT",
        (panel,),
        [(n, f"{n} % of the pairs") for n in (25, 50, 75)],
    )


# -- MAKING


@attrs.frozen
class Shown:
    """What is taken of the run of seed 0."""

    course: str
    falls: str
    chains: str
    why: str
    roots: dict[str, float]


def roots(run: fw.Run) -> dict[str, float]:
    """Share of the USD traded by force that goes back to each beginning."""
    table = run.causes().group_by("root").aggregate([("usd", "sum")]).to_pylist()
    whole = sum(row["usd_sum"] for row in table)
    ranked = sorted(table, key=lambda row: -float(row["usd_sum"]))
    return {row["root"]: row["usd_sum"] / whole for row in ranked}


def shown() -> Shown:
    """Run seed 0, and take it."""
    run = fw.load(SCENARIO).run(seed=0)
    return Shown(
        course(run),
        cross_section(run),
        "\n".join(chains(run)),
        text_block(run.why("ATOM/USDT")),
        roots(run),
    )


def make(_: Iterable[str] = ()) -> None:
    """Run what has not been run yet, and write the page's tables and pictures."""
    verified = kept("verified", lambda: verify(SCENARIO, jobs=WORKERS))
    seen = kept("shown", shown)
    with ProcessPoolExecutor(WORKERS) as pool:
        found = dict(zip(WHAT_IFS, pool.map(kept_what_if, WHAT_IFS), strict=True))
    with STORED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("target", "verdict", "values"))
        for row in verified.rows:
            writer.writerow(cells_of(row))
    write(PAGE, "targets", f"{verified.headline}.\n\n{targets(verified.rows)}")
    write(PAGE, "what-ifs", what_ifs(found))
    parts = (f"{share(part)} {root}" for root, part in seen.roots.items())
    whole = f"Where all that was traded by force begins, by USD: {'; '.join(parts)}."
    write(PAGE, "chains", f"{seen.chains}\n\n{whole}\n\n{seen.why}")
    for name in ("course", "falls"):
        text = getattr(seen, name)
        (DOCS / "pictures" / f"oct10-{name}.svg").write_text(text, "utf-8")
