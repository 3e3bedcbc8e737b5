"""The one price at which a call auction trades."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

Levels = Iterable[tuple[int, int]]


def clearing(bids: Levels, asks: Levels, reference: int) -> tuple[int, int, int]:
    """Price, lots that trade at it, and lots left over: > 0 to buy, < 0 to sell.

    Bids and asks are (price, lots), best first. The price lets the most lots trade;
    of several such prices it is one that leaves the fewest over, of these the nearest
    to the reference (0: none, the lowest). All zero when no bid reaches an ask.

    >>> clearing([(103, 5), (101, 4)], [(100, 3), (102, 2)], 0)
    (102, 5, 0)
    >>> clearing([(103, 5)], [(100, 3)], 101)
    (101, 3, 2)
    """
    bids, asks = list(bids), list(asks)
    if not bids or not asks or bids[0][0] < asks[0][0]:
        return 0, 0, 0
    ranges = list(_ranges(bids, asks))
    # The bought lots fall and the sold lots rise with the price, so that the best
    # ranges are neighbours.
    most = max(min(bought, sold) for _, _, bought, sold in ranges)
    ranges = [found for found in ranges if min(found[2:]) == most]
    least = min(abs(bought - sold) for _, _, bought, sold in ranges)
    ranges = [found for found in ranges if abs(found[2] - found[3]) == least]
    price = min(max(reference, ranges[0][0]), ranges[-1][1])
    left = next(
        bought - sold for low, high, bought, sold in ranges if low <= price <= high
    )
    return price, most, left


def _ranges(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> Iterator[tuple[int, int, int, int]]:
    # Lowest and highest price of each range in which one number of lots would buy and
    # one sell, from the best ask to the best bid.
    low, high = asks[0][0], bids[0][0]
    joins = {price: lots for price, lots in asks if price <= high}
    leaves = {price + 1: lots for price, lots in bids if price >= low}
    bought, sold = sum(leaves.values()), 0
    starts = sorted(joins.keys() | leaves.keys())
    for start, end in pairwise(starts):
        bought -= leaves.get(start, 0)
        sold += joins.get(start, 0)
        yield start, end - 1, bought, sold
