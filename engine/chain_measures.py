"""Measures of the protocols around a venue: any of their figures, over the run.

``FIGURE.low``, ``.high``, ``.start`` and ``.end``; `Chained.figures` has the names.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .look import NoFigure
from .prints import in_seconds
from .reading.windows import Window

if TYPE_CHECKING:
    from .run import Run

ENDS = ("low", "high", "start", "end")
"""What is taken of a figure: its least and largest value, its first and its last."""


def chain_measure(run: "Run", name: str, part: Window | None) -> float | None:
    """Return a measure of the protocols; None if it is not the name of one.

    NoFigure if there is no value in the window.
    """
    figure, _, end = name.rpartition(".")
    chain = run.series.chain
    if figure not in chain.figures or end not in ENDS:
        return None
    values = chain.figures[figure]
    if part is not None:
        time = in_seconds(chain.time)
        values = values[(time >= part.begin) & (time < part.end)]
    values = values[~np.isnan(values)]
    if len(values) == 0:
        raise NoFigure(f"{figure} has no value then")
    if end in ("start", "end"):
        return float(values[0 if end == "start" else -1])
    return float(values.min() if end == "low" else values.max())


def of_protocols(name: str) -> bool:
    """Whether a measure is one of protocols, by its name."""
    return name.count(".") >= 2 and name.rpartition(".")[2] in ENDS


def chain_names(run: "Run") -> Iterator[str]:
    """Yield the name of every measure of the protocols."""
    for figure in run.series.chain.figures:
        for end in ENDS:
            yield f"{figure}.{end}"


def chain_listed(run: "Run") -> Iterator[tuple[str, float]]:
    """Yield every measure of the protocols that this run can tell."""
    for name in chain_names(run):
        try:
            value = chain_measure(run, name, None)
        except NoFigure:
            continue
        assert value is not None
        yield name, value
