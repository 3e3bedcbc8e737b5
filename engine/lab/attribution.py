"""An attribution: shares of mechanisms with their intervals, as tables and pictures."""

from collections.abc import Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from ..scenario import LoadedScenario
from ..text import NOTHING, Grid, join, percent
from .outcomes import in_words, interval
from .spread import Estimate

if TYPE_CHECKING:
    import pyarrow as pa
    from plotly.graph_objects import Figure

HEADER = (
    "mechanism",
    "share",
    "95 % interval",
    "of the effect",
    "knocked out",
    "alone",
)
NOTE = (
    "share: what it adds, mean over all orders of switching on; knocked out: what the "
    "outcome loses without it; alone: what it gains with it and no other"
)


@frozen
class Share:
    """What one mechanism has to do with an outcome, above 0 where it raises it."""

    mechanism: str
    share: Estimate  # the Shapley value
    knocked_out: Estimate  # all on, less all on but it
    alone: Estimate  # it alone on, less all off


@frozen(repr=False, kw_only=True)
class Attribution:
    """How mechanisms share an outcome; the shares sum to ``effect``, ``full - none``.

    ``interactions`` are of pairs: with the sign of the effect the two need each other,
    with the other sign one can stand in for the other. ``orders`` is 0 where every
    coalition was replayed. ``values`` holds the outcomes by the mechanisms that were
    on, one for each seed.
    """

    scenario: LoadedScenario
    outcome: str
    mechanisms: tuple[str, ...]
    seeds: tuple[int, ...]
    orders: int
    full: Estimate
    none: Estimate
    effect: Estimate
    shares: tuple[Share, ...]
    interactions: Mapping[tuple[str, str], Estimate]
    values: Mapping[tuple[str, ...], tuple[float, ...]]

    # -- IN WORDS

    def __str__(self) -> str:
        """The table as plain text."""
        return f"{self.title}\n{self.finding}\n\n{self.grid()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = f"<h3>{escape(self.title)}</h3><p>{escape(self.finding)}</p>"
        return head + self.grid().html() + self.pairs().html()

    @property
    def title(self) -> str:
        """What was attributed, of what, and how."""
        n, k = len(self.mechanisms), len(self.seeds)
        those = "1 mechanism" if n == 1 else f"{n} mechanisms"
        how = f"all {2**n} coalitions of {those}"
        if self.orders:
            how = f"{len(self.values)} coalitions of {those}, in {self.orders} "
            how += "random orders"
        seeds = "1 seed" if k == 1 else f"{k} seeds"
        return f"{self.outcome} of {self.scenario.name}: {how}, {seeds}"

    @property
    def finding(self) -> str:
        """One sentence with the whole effect and the largest shares."""
        whole = (
            f"{self.outcome} is {self.words(self.full.mean)} with all on and "
            f"{self.words(self.none.mean)} with all off"
        )
        large = [row for row in self.ranked() if self._part(row) >= 0.1][:3]
        if not large:
            return f"{whole}."
        told = [f"{row.mechanism} {percent(self._part(row))}" for row in large]
        return f"{whole}; of the difference {join(told)}."

    def words(self, value: float, *, sign: bool = False) -> str:
        """A value of the outcome as people read it; with ``sign``, a difference."""
        return in_words(self.outcome, value, sign=sign)

    def interval(self, found: Estimate, *, sign: bool = True) -> str:
        """The interval of one of the estimates, a difference unless told."""
        return interval(self.outcome, found, sign=sign)

    def ranked(self) -> list[Share]:
        """The shares, largest first, whichever their sign."""
        return sorted(self.shares, key=lambda row: -abs(row.share.mean))

    def _part(self, row: Share) -> float:
        whole = self.effect.mean
        return row.share.mean / whole if whole else 0.0

    def grid(self) -> Grid:
        """Shares with intervals over the seeds, knock-outs, and what they sum to."""
        rows = [
            (
                row.mechanism,
                self.words(row.share.mean, sign=True),
                self.interval(row.share),
                percent(self._part(row), sign=True) if self.effect.mean else NOTHING,
                self.words(row.knocked_out.mean, sign=True),
                self.words(row.alone.mean, sign=True),
            )
            for row in self.ranked()
        ]
        for name, whole in (
            ("sum: all on less all off", self.effect),
            ("all on", self.full),
            ("all off", self.none),
        ):
            sign = whole is self.effect
            part = percent(1.0, sign=True) if sign and whole.mean else ""
            mean = self.words(whole.mean, sign=sign)
            rows.append((name, mean, self.interval(whole, sign=sign), part, "", ""))
        return Grid("", HEADER, tuple(rows), NOTE)

    def pairs(self) -> Grid:
        """Interactions of pairs, largest first, with their intervals."""
        ranked = sorted(self.interactions.items(), key=lambda pair: -abs(pair[1].mean))
        rows = tuple(
            (
                f"{one} and {other}",
                self.words(found.mean, sign=True),
                self.interval(found),
            )
            for (one, other), found in ranked
        )
        note = (
            "with the sign of the whole effect they need each other; with the other "
            "sign one can stand in for the other"
        )
        header = ("pair", "interaction", "95 % interval")
        return Grid("Interactions", header, rows, note)

    # -- DATA AND FILES

    def table(self) -> "pa.Table":
        """The outcome of every replay as an Arrow table: what was on, seed, outcome."""
        import pyarrow as pa

        rows = [
            (on, seed, value)
            for on, found in self.values.items()
            for seed, value in zip(self.seeds, found, strict=True)
        ]
        columns = {
            name: pa.array([name in on for on, _, _ in rows], pa.bool_())
            for name in self.mechanisms
        }
        columns["seed"] = pa.array([seed for _, seed, _ in rows], pa.int64())
        columns["outcome"] = pa.array([value for _, _, value in rows], pa.float64())
        return pa.table(columns)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the attribution into one HTML file that needs no network."""
        from ..pages.page import write_page
        from .attribution_figures import attribution_report

        return write_page(attribution_report(self), path)

    # -- PICTURES

    def figure(self) -> "Figure":
        """Each mechanism's share with its interval, beside its knock-out and alone."""
        from .attribution_figures import shares_figure

        return shares_figure(self)

    def pairs_figure(self) -> "Figure":
        """The interactions of all pairs."""
        from .attribution_figures import interactions_figure

        return interactions_figure(self)
