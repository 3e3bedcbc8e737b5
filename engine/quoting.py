"""What each maker of a fleet quotes: its books, the sizes there, the ladder's shape."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.quotes import Quotes
from .chance import Stream, exp, log
from .config import MarketMakers as Settings

if TYPE_CHECKING:
    from .simulation import World

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEAR = 0.01
"""Share of the price within which a market's ``depth_usd`` rests, on both sides."""


def deal(
    stream: Stream, bases: Integers, count: int, books: int | None
) -> tuple[Integers, Integers]:
    """Deal books out to makers; return maker and book of each pair, in that order.

    ``bases`` is the coin of each book. All books of a coin go together, so that a
    maker can hedge one in another, until a maker has ``books`` (without it: all). They
    come from packs shuffled one after the other: no book has two makers more than
    another, but for the ends of packs.
    """
    n = len(bases)
    if books is None or books >= n:
        return np.repeat(np.arange(count), n), np.tile(np.arange(n), count)
    coins = list(dict.fromkeys(bases.tolist()))
    of = {coin: np.flatnonzero(bases == coin).tolist() for coin in coins}
    pack: list[int] = []
    hands = []
    for _ in range(count):
        hand: dict[int, list[int]] = {}
        while sum(map(len, hand.values())) < books:
            coin = next((coin for coin in pack if coin not in hand), None)
            if coin is None:
                order = np.argsort(stream.uniform(len(coins)), kind="stable")
                pack += [coins[i] for i in order.tolist()]
                continue
            pack.remove(coin)
            hand[coin] = of[coin]
        hands.append(sorted(book for found in hand.values() for book in found))
    maker = np.repeat(np.arange(count), [len(hand) for hand in hands])
    return maker, np.array([book for hand in hands for book in hand], np.int64)


class Ladders:
    """Which pairs of maker and book there are, and how large each maker quotes there.

    A pair's ``scale`` is what it makes of the first level of the settings: by the
    maker's equity and the table ``scale``, and with ``share`` so that the fleet rests
    that share of each market's ``depth_usd`` within 1 % of the price.
    """

    def __init__(
        self, world: "World", settings: Settings, weight: Floats, stream: Stream
    ) -> None:
        exchange = world.exchange
        names = settings.markets
        self.markets = np.array([exchange.market_number[m] for m in names], np.int64)
        bases = exchange.base[self.markets]
        self.maker, self.column = deal(stream, bases, len(weight), settings.books)
        half = settings.half_spread_bp * 1e-4
        steps = np.arange(settings.levels) / max(1, settings.levels - 1)
        self.distance = half * exp(log(np.array([settings.reach / half])) * steps)
        growth = np.full(settings.levels, settings.growth)
        growth[0] = settings.size_usd
        self.size_usd = np.cumprod(growth)
        self.forced_unit = np.full(len(names), 1e6)
        own = weight[self.maker]
        self.scale = (
            own * np.array([settings.scale.get(m, 1.0) for m in names])[self.column]
        )
        if settings.share is not None:
            depth = np.array([world.config.markets[m].depth_usd for m in names])
            self.forced_unit = depth
            near = 2.0 * float(np.cumsum(self.size_usd[self.distance <= NEAR])[-1])
            whole = np.bincount(self.column, own, len(names))[self.column]
            self.scale *= settings.share * depth[self.column] / (near * whole)

    def quotes(self, world: "World", settings: Settings, first: int) -> Quotes:
        """Return what turns them into messages; ``first`` is the first account."""
        exchange = world.exchange
        return Quotes(
            first=first,
            maker=self.maker,
            column=self.column,
            markets=self.markets,
            distance=self.distance,
            size_usd=self.size_usd,
            scale=self.scale,
            limit_usd=settings.inventory_limit_usd,
            skew=settings.skew_bp * 1e-4,
            tick=exchange.tick,
            lot=exchange.lot,
            spot=~exchange.perpetual,
        )
