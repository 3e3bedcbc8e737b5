"""Mark prices of perpetuals: what positions are valued and liquidated at."""

from math import nan

import attrs
import numpy as np
from numpy.typing import NDArray

from .presets import RulesError, nearest
from .schedule import Floats

POLICIES = ("binance", "hyperliquid", "index", "last")
"""How a mark may be made; each is explained by `MarkBoard`."""


def mark_price(
    index: float,
    funding_rate: float,
    time_fraction: float,
    basis_mean: float,
    last: float,
) -> float:
    """The mark price of a perpetual: the median of three prices, in its quote asset.

    They are the index with the part of the funding still to come, the index with the
    mean of mid − index, and the last trade. ``time_fraction`` is the time to the
    next funding over the funding interval.

    Source: https://www.binance.com/en/support/faq/360033525071

    >>> mark_price(100_000, 0.0001, 0.5, -35, 99_900)
    99965
    """
    funded = index * (1.0 + funding_rate * time_fraction)
    return sorted((funded, index + basis_mean, last))[1]


def hyperliquid_mark(
    *,
    oracle: float,
    basis: float,
    bid: float,
    ask: float,
    last: float,
    elsewhere: float,
) -> float:
    """The mark price of a Hyperliquid perpetual: the median of three prices.

    They are the oracle price with the mean basis of its own mid (exponential, 150 s),
    the median of best bid, best ask and last trade, and the weighted median of the
    perpetuals ``elsewhere``.

    Source: https://hyperliquid.gitbook.io/hyperliquid-docs/trading/robust-price-indices

    >>> hyperliquid_mark(
    ...     oracle=100_000, basis=-20, bid=99_950, ask=99_960, last=99_900,
    ...     elsewhere=99_990,
    ... )
    99980
    """
    book = sorted((bid, ask, last))[1]
    return sorted((oracle + basis, book, elsewhere))[1]


def decay(seconds: float, lasting: float) -> float:
    """The number e to the power of ``-seconds / lasting``, the same on every machine.

    >>> abs(decay(150.0, 150.0) - 0.36787944117144233) < 1e-15
    True
    """
    x, halvings = min(seconds / lasting, 700.0), 0
    while x > 0.5:
        x, halvings = 0.5 * x, halvings + 1
    total = 1.0
    for i in range(14, 0, -1):
        total = 1.0 - total * x / i
    for _ in range(halvings):
        total *= total
    return total


@attrs.frozen(kw_only=True)
class MarkRule:
    """How marks are made, as data; RulesError for a policy there is not."""

    policy: str = "binance"
    samples: int = 30
    """Of mid − index, whose mean is the basis (binance)."""

    sample_ns: int = 5_000_000_000
    """Time between two of them."""

    basis_s: float = 150.0
    """Time constant of the exponential mean of the basis (hyperliquid)."""

    def __attrs_post_init__(self) -> None:
        """Refuse a policy that does not exist."""
        if self.policy not in POLICIES:
            near = nearest(self.policy, POLICIES)
            text = f"{self.policy!r} is not a policy of marks{near}"
            raise RulesError([("mark.policy", text)])


class MarkBoard:
    """The mark prices of all perpetual markets, with the samples of their basis.

    ``binance`` is `mark_price`: the mean basis is over the last ``samples`` samples of
    mid − index; a market without a mid gives none, and one without any has basis 0.
    ``hyperliquid`` is `hyperliquid_mark`; without a price elsewhere the index stands
    in, so that no trade in the own book moves two of the three. ``index`` and ``last``
    are those prices alone. A market that never traded has its index for last price.
    """

    def __init__(self, markets: int, rule: MarkRule | None = None) -> None:
        self.rule = rule or MarkRule()
        self.mark = np.full(markets, nan)
        self._ring = np.full((self.rule.samples, markets), nan)
        self._taken = 0  # samples so far
        self._slot = -1  # time of the last one, in sample_ns
        self._mean = np.zeros(markets)  # of the samples there are
        self._basis = np.zeros((2, markets))  # sum and weight of an exponential mean
        self._at: int | None = None  # time of the last update, ns

    def update(
        self,
        time_ns: int,
        *,
        index: Floats,
        bid: Floats,
        ask: Floats,
        last: Floats,
        elsewhere: Floats | float = nan,
        funding_rate: Floats | float = 0.0,
        time_fraction: Floats | float = 0.0,
    ) -> Floats:
        """The new marks, by market.  O(markets × samples).

        All prices are in the quote asset; a price of 0 or NaN is none. ``elsewhere``
        are perpetuals of other venues; ``time_fraction`` is as in `mark_price`.
        """
        traded = np.where(last > 0.0, last, index)
        if self.rule.policy == "binance":
            basis = self._mean_of_samples(time_ns, index, bid, ask)
            funded = index * (1.0 + funding_rate * time_fraction)
            self.mark = _median(funded, index + basis, traded)
        elif self.rule.policy == "hyperliquid":
            self.mark = self._hyperliquid(
                time_ns, index, (bid, ask, traded), np.asarray(elsewhere)
            )
        else:
            self.mark = (index if self.rule.policy == "index" else traded).copy()
        return self.mark.copy()

    def _mean_of_samples(
        self, time_ns: int, index: Floats, bid: Floats, ask: Floats
    ) -> Floats:
        if time_ns // self.rule.sample_ns > self._slot:
            mid = _mid(bid, ask)
            self._slot = time_ns // self.rule.sample_ns
            row = self._ring[self._taken % len(self._ring)]
            row[:] = np.where(mid > 0.0, mid - index, nan)
            self._taken += 1
            there = ~np.isnan(self._ring)
            basis = np.where(there, self._ring, 0.0).sum(axis=0)
            self._mean = basis / np.maximum(there.sum(axis=0), 1)
        return self._mean

    def _hyperliquid(
        self,
        time_ns: int,
        index: Floats,
        best: tuple[Floats, Floats, Floats],
        elsewhere: Floats,
    ) -> Floats:
        bid, ask, traded = best
        mid = _mid(bid, ask)
        # Each sample weighs the time it stood for, the first of them a second.
        seconds = 1.0 if self._at is None else (time_ns - self._at) * 1e-9
        self._at = time_ns
        book = _median(
            np.where(mid > 0.0, bid, traded), np.where(mid > 0.0, ask, traded), traded
        )
        gap = np.where(mid > 0.0, mid - index, nan)
        basis = _mean(self._basis, gap, seconds, self.rule.basis_s)
        others = np.where(elsewhere > 0.0, elsewhere, index)
        return _median(index + basis, book, others)

    def _check(self) -> None:
        """Assert every invariant."""
        assert np.isnan(self._ring[self._taken :]).all()
        assert (self._basis[1] >= 0.0).all()
        assert (self.mark[~np.isnan(self.mark)] > 0.0).all()


def _mid(bid: Floats, ask: Floats) -> Floats:
    # Halfway between both, 0 without one of them.
    return np.where((bid > 0.0) & (ask > 0.0), 0.5 * (bid + ask), 0.0)


def _median(a: Floats, b: Floats, c: Floats) -> NDArray[np.float64]:
    lower, upper = np.minimum(a, b), np.maximum(a, b)
    return np.asarray(np.maximum(lower, np.minimum(upper, c)))


def _mean(
    state: Floats, sample: Floats, seconds: float, lasting: float
) -> NDArray[np.float64]:
    # The exponential mean with one more sample, which NaN is not; 0 without any.
    there = ~np.isnan(sample)
    state *= decay(seconds, lasting)
    state[0] += np.where(there, sample, 0.0) * seconds
    state[1] += np.where(there, seconds, 0.0)
    mean = np.zeros(len(sample))
    np.divide(state[0], state[1], mean, where=state[1] > 0.0)
    return mean
