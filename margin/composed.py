"""Indices that are more than a mean: what a policy makes of a board's sources.

The compiled board prices the sources and takes their mean, with a band and a floor.
Where a rule asks for more, a feed makes the index, and what its policy holds back of
the mean stays with its cause, as what a band holds back does.
"""

from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .feeds import Feed, Last, Price, Seen
from .oracles import VOTE, PriceRule, policy_of, voted

MEAN = "mean"
"""The source of a feed that the compiled board's index is."""


def feed_of(rule: PriceRule) -> Feed:
    """The feed of an index; one that is plain waits for a vote alone."""
    return Feed(voted(rule, Last(MEAN)) if rule.plain else policy_of(rule))


def after(rule: PriceRule, feed: Feed, seen: Seen, now_ns: int) -> Feed:
    """The feed after new prices; the first it has seen for as long as it looks back."""
    if feed.at_ns is None and rule.memory_ns:
        feed = feed.after(seen, now_ns - rule.memory_ns)
    return feed.after(seen, now_ns)


def worths(terms: NDArray[np.void], inputs: Any, index: Any) -> NDArray[np.float64]:
    """US dollars that each source says; NaN, 0 or below where there is none."""
    price = terms["coefficient"] * inputs[terms["source"]]
    turned = (terms["inverse"] != 0) & (price > 0.0)
    price[turned] = 1.0 / price[turned]
    return np.asarray(price * index[terms["factor"]])


def seen_of(
    rule: PriceRule,
    terms: NDArray[np.void],
    worth: NDArray[np.float64],
    now_ns: int,
    traded_ns: NDArray[np.int64] | None,
) -> dict[str, float | tuple[float, int]]:
    """What the sources of a rule say, those of markets with the time of their trade."""
    names = [*rule.parts, *([rule.anchor] if rule.anchor is not None else [])]
    seen: dict[str, float | tuple[float, int]] = {}
    for name, source, value in zip(
        names, terms["source"].tolist(), worth.tolist(), strict=True
    ):
        known = traded_ns is not None and source < len(traded_ns)
        at = int(traded_ns[source]) if traded_ns is not None and known else now_ns
        seen[name] = value, at
    return seen


def settle(terms: NDArray[np.void], old: float, value: float) -> None:
    """Say what moved an index from ``old`` to ``value``, and what is held back.

    The mean is ahead of the index by what is pending. A move that nothing pending goes
    with, as one that comes late, is its heaviest source's.
    """
    if np.isnan(old):
        return
    mean = fsum((terms["share"] * terms["price"] * terms["rate"]).tolist())
    ahead = fsum([*terms["own"].tolist(), *terms["through"].tolist()])
    left, behind = 0.0, mean - value
    if ahead * behind > 0.0:
        left = min(behind / ahead, 1.0)
    for name in ("own", "through"):
        terms[f"{name}_pending"] = terms[name] * left
    move = value - old
    if move and not move * ahead > 0.0:
        terms["own"] = terms["through"] = 0.0
        terms["own"][int(np.argmax(terms["share"]))] = move


def is_voted(price: Price) -> bool:
    """Whether a price is what a vote has set."""
    return price.live and price.source == VOTE
