"""The interest rate that adapts to how much of a market is lent out."""

from typing import NamedTuple

import attrs

from .fixed_point import WAD, div_down, towards_zero
from .protocol import YEAR_S, require

_LN2 = 693_147_180_559_945_309
_EXP_MIN = -41_446_531_673_892_822_312
_EXP_MAX = 93_859_467_695_000_404_319
_EXP_MOST = (
    57_716_089_161_558_943_949_701_069_502_944_508_345_128_422_502_756_744_429_568
)


def wad_exp(x: int) -> int:
    """An approximation of e to a power, wads: 2 to a whole power times a parabola.

    At most 0.3 % off. Source: morpho-blue-irm a1a87fd5, ``ExpLib.wExp``.
    """
    if x < _EXP_MIN:
        return 0
    if x >= _EXP_MAX:
        return _EXP_MOST
    half = -(_LN2 // 2) if x < 0 else _LN2 // 2
    twos = towards_zero(x + half, _LN2)
    rest = x - twos * _LN2
    near = WAD + rest + rest * rest // WAD // 2
    return near << twos if twos >= 0 else near >> -twos


class Rate(NamedTuple):
    """The mean rate since the last update, and the target rate now; a second, wads."""

    mean: int
    at_target: int


def per_second(rate: float) -> int:
    """A yearly rate as the markets hold it: a second's, in wads.

    >>> per_second(0.04)
    1268391679
    """
    return round(rate * 10**9) * 10**9 // YEAR_S


@attrs.frozen(kw_only=True)
class AdaptiveCurve:
    """Morpho's curve: steep above the target utilisation, and it moves.

    At the target the rate is ``at_target``; with nothing left to lend it is
    ``steepness`` times that, so at most 800 % a year. The target rate itself grows at
    up to ``speed`` a year, compounded, while more is lent than the target, and falls
    while less is. ``least`` and ``most`` bound it; ``rate_cap`` bounds what borrowers
    pay, as Lista's fork does.

    Source: morpho-blue-irm a1a87fd5, ``AdaptiveCurveIrm``; cap: lista-dao/moolah
    8726f125.
    """

    target: int = 9 * WAD // 10
    steepness: int = 4 * WAD
    speed: int = 50 * WAD // YEAR_S
    initial: int = per_second(0.04)
    least: int = per_second(0.001)
    most: int = per_second(2.0)
    rate_cap: int | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a curve that is none."""
        require(0 < self.target < WAD, "target", "be above 0 and below 1", self.target)
        require(self.steepness >= WAD, "steepness", "be at least 1", self.steepness)
        require(self.speed >= 0, "speed", "not be below 0", self.speed)
        right = 0 < self.least <= self.initial <= self.most
        got = self.least, self.initial, self.most
        require(right, "initial", "be between 'least' and 'most'", got)

    def rate(self, lent: int, supplied: int, at_target: int, elapsed_s: int) -> Rate:
        """The rate over the time since the last update, and the new target rate.

        ``at_target`` is that of the last update, 0 at the first.
        """
        used = div_down(lent, supplied, WAD) if supplied else 0
        width = WAD - self.target if used > self.target else self.target
        error = towards_zero((used - self.target) * WAD, width)
        if at_target == 0:
            return Rate(self._on_curve(self.initial, error), self.initial)
        speed = towards_zero(self.speed * error, WAD)
        move = speed * elapsed_s
        end = middle = at_target
        if move:
            end = self._moved(at_target, move)
            middle = self._moved(at_target, towards_zero(move, 2))
        mean = (at_target + end + 2 * middle) // 4
        return Rate(self._on_curve(mean, error), end)

    def _moved(self, at_target: int, move: int) -> int:
        after = at_target * wad_exp(move) // WAD
        return min(max(after, self.least), self.most)

    def _on_curve(self, at_target: int, error: int) -> int:
        slack = WAD - WAD * WAD // self.steepness
        steep = slack if error < 0 else self.steepness - WAD
        rate = (towards_zero(steep * error, WAD) + WAD) * at_target // WAD
        return rate if self.rate_cap is None else min(rate, self.rate_cap)


def compounded(rate: int, elapsed_s: int) -> int:
    """What a rate adds over a time, wads: three terms of the exponential less one.

    Source: morpho-blue 3085651a, ``MathLib.wTaylorCompounded``.
    """
    first = rate * elapsed_s
    second = first * first // (2 * WAD)
    return first + second + second * first // (3 * WAD)
