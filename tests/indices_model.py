"""The indices of `flashwick.cython_ext.indices` in NumPy, all assets of a rank at once.

As in the kernel an index is a weighted sum of terms: weight × coefficient × input ×
index of another asset, or 1 / input. A term without a price gives its weight to others.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OUTSIDE, INDEX, RULE = 1, 2, 3


class Model:
    """Terms in a table, a row of each asset; what is not there has weight 0."""

    def __init__(self, rows: Any, terms: Any, order: Any, inputs: Floats) -> None:
        shape = len(rows), int(rows["terms"].max(initial=1))
        self.rows, self.order, self.inputs = rows, order, inputs
        self.table = np.zeros(shape, terms.dtype)
        self.table["coefficient"] = 1.0
        self.table["source"], self.table["factor"] = len(inputs) - 1, len(rows)
        for table, row in zip(self.table, rows, strict=True):
            n, first = row["terms"], row["first"]
            table[:n] = terms[first : first + n]
        self.fresh = rows["fresh"] != 0
        self.replaced = np.zeros(len(rows), np.bool_)
        self.pending = np.zeros((shape[0], 2 * shape[1]))
        self.last = [np.zeros(shape) for _ in range(3)]

    def update(self, index: Floats) -> None:
        """Compute all indices anew, and what moved them."""
        t, self.old = self.table, index[:-1].copy()
        price = t["coefficient"] * self.inputs[t["source"]]
        turned = (t["inverse"] != 0) & (price > 0.0)
        price[turned] = 1.0 / price[turned]
        share, rate, raw = np.zeros_like(price), np.zeros_like(price), self.old.copy()
        for i in self.order.tolist():
            row = self.rows[i]
            factor = index[t["factor"][i]]
            worth = price[i] * factor
            weight = np.where(worth > 0.0, t["weight"][i], 0.0)
            if not sum(weight) > 0.0:
                continue
            share[i] = weight / sum(weight)
            rate[i] = np.where(worth > 0.0, factor, 0.0)
            raw[i] = sum(np.where(worth > 0.0, share[i] * worth, 0.0))
            held = self.old[i]
            value = np.fmin(np.fmax(raw[i], held * row["low"]), held * row["high"])
            index[i] = max(value, row["floor"])
        self.new = index[:-1].copy()
        self._attribute(share, np.where(share > 0.0, price, 0.0), rate, raw)

    def _attribute(
        self, share: Floats, price: Floats, rate: Floats, raw: Floats
    ) -> None:
        last, known = self.last, share.any(axis=1)
        restart = self.fresh | np.isnan(self.old)
        self.replaced, self.fresh = self.fresh & known, self.fresh & ~known
        mean = 0.5 * (share * price + last[0] * last[1])
        both = (share > 0.0) & (last[0] > 0.0)
        through = np.where(both, mean * (rate - last[2]), 0.0)
        own = share * price * rate
        own -= last[0] * last[1] * last[2] + through
        step = np.concatenate([own, through], axis=1)
        step[~known] = 0.0
        self.pull = self.pending + step
        self.pull[restart] = 0.0
        ahead = np.cumsum(self.pull, axis=1)[:, -1]
        left = np.ones(len(raw))
        np.divide(raw - self.new, ahead, out=left, where=known & (ahead != 0.0))
        self.pending = self.pull * np.clip(left, 0.0, 1.0)[:, None]
        for now, before in zip((share, price, rate), last, strict=True):
            before[known] = now[known]

    def drivers(self, markets: int) -> list[tuple[int, int, float, float, float, int]]:
        """What moved each index that moved: the fields of a DRIVER row."""
        found = []
        for i in np.flatnonzero((self.new != self.old) & ~np.isnan(self.old)).tolist():
            old, new, n = float(self.old[i]), float(self.new[i]), self.rows["terms"][i]
            width = self.table.shape[1]
            own = [*range(n), *range(width, width + n)]
            pull, total = self.pull[i][own], float(np.cumsum(self.pull[i][own])[-1])
            best = int(np.argmax(pull * np.sign(new - old)))
            term = self.table[i, best % n]
            kind, driver, share = RULE, i, 1.0
            if not self.replaced[i] and total != 0.0:
                share = float(pull[best]) / total
                source = int(term["source"])
                kind, driver = INDEX, int(term["factor"])
                if best < n:
                    outside = source >= markets
                    kind = OUTSIDE if outside else 0
                    driver = source - markets if outside else source
            found.append((i, driver, old, new, share, kind))
        return found
