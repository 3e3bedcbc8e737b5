"""What each player adds to a game: Shapley values, interactions, sampled orders.

A game gives every coalition a value. A coalition is a whole number whose bit i says
whether player i is in it, so that ``2**n - 1`` is everybody and 0 is nobody.

Sources: L. S. Shapley, A value for n-person games (1953); M. Grabisch and M. Roubens,
An axiomatic approach to the concept of interaction among players in cooperative games
(1999), for the interaction; J. Castro, D. Gómez and J. Tejada, Polynomial calculation
of the Shapley value based on sampling (2009), and R. Mitchell et al., Sampling
permutations for Shapley value estimation (2022), for orders and their reverses.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from math import factorial, fsum

from ..chance import Stream

Game = Callable[[int], float]
Order = tuple[int, ...]
Pair = tuple[int, int]

Group = tuple[Order, int]
"""An order, and where its pairs of neighbours begin: at the first place or the second.

It stands for four: itself, itself with each pair of neighbours swapped, and both
backwards.
"""


def shares(n: int, game: Game) -> list[float]:
    """The Shapley value of each of n players: what it adds, mean over all orders.

    Exact, from all 2**n coalitions; O(n 2**n).

    >>> shares(2, lambda coalition: 1.0 if coalition == 3 else 0.0)
    [0.5, 0.5]
    """
    weight = [factorial(s) * factorial(n - 1 - s) / factorial(n) for s in range(n)]
    return [
        fsum(
            weight[others.bit_count()] * (game(others | 1 << i) - game(others))
            for others in range(1 << n)
            if not others >> i & 1
        )
        for i in range(n)
    ]


def interactions(n: int, game: Game) -> dict[Pair, float]:
    """The Shapley interaction of each pair: what both add beyond what each does.

    Above 0 they need each other, below it one can stand in for the other.

    >>> interactions(2, lambda coalition: 1.0 if coalition else 0.0)
    {(0, 1): -1.0}
    """
    weight = [
        factorial(s) * factorial(n - 2 - s) / factorial(n - 1) for s in range(n - 1)
    ]
    return {
        (i, j): fsum(
            weight[others.bit_count()] * mixed(game, others, i, j)
            for others in range(1 << n)
            if not others & (1 << i | 1 << j)
        )
        for i, j in combinations(range(n), 2)
    }


def mixed(game: Game, others: int, i: int, j: int) -> float:
    """What two players together add to others beyond what each adds alone."""
    first, second = others | 1 << i, others | 1 << j
    return fsum((game(first | second), -game(first), -game(second), game(others)))


# -- SAMPLED


def groups(n: int, count: int, seed: int) -> list[Group]:
    """Random orders of n players; pairs begin at the first place and second in turn."""
    stream = Stream(seed, "orders of the players")
    found = []
    for k in range(count):
        order = list(range(n))
        draws = stream.uniform(n)
        for last in range(n - 1, 0, -1):
            other = int(draws[last] * (last + 1))
            order[last], order[other] = order[other], order[last]
        found.append((tuple(order), k % 2))
    return found


def four(group: Group) -> list[Order]:
    """The orders that a group stands for.

    >>> four(((2, 0, 1), 0))
    [(2, 0, 1), (0, 2, 1), (1, 0, 2), (1, 2, 0)]
    """
    order, _ = group
    swapped = list(order)
    for at in _pairs(group):
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    both = [order, tuple(swapped)]
    return [*both, *(one[::-1] for one in both)]


def _pairs(group: Group) -> range:
    order, first = group
    return range(first, len(order) - 1, 2)


def coalitions(group: Group) -> Iterator[int]:
    """Every coalition that the orders of a group go through; at most 3 n of them."""
    seen = dict.fromkeys(step for order in four(group) for step in _steps(order))
    yield from seen


def _steps(order: Order) -> Iterator[int]:
    coalition = 0
    yield coalition
    for player in order:
        coalition |= 1 << player
        yield coalition


def sampled_shares(group: Group, game: Game) -> list[float]:
    """What each player adds, mean over the orders of a group; they sum to the whole."""
    added: list[list[float]] = [[] for _ in group[0]]
    for order in four(group):
        for player, (before, after) in zip(order, pairwise(_steps(order)), strict=True):
            added[player].append(game(after) - game(before))
    return [fsum(each) / len(each) for each in added]


def sampled_interactions(group: Group, game: Game) -> dict[Pair, float]:
    """The interaction of the pairs of neighbours, mean over the orders of a group.

    A pair stands behind each number of others equally often, over many groups with as
    many of either beginning, as in `interactions`.
    """
    order, _ = group
    steps = list(_steps(order))
    everybody = steps[-1]
    found = {}
    for at in _pairs(group):
        i, j = sorted(order[at : at + 2])
        before, after = steps[at], everybody & ~steps[at + 2]
        both = mixed(game, before, i, j), mixed(game, after, i, j)
        found[i, j] = 0.5 * fsum(both)
    return found
