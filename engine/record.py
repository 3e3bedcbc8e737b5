"""What a run keeps: names, and series sampled at an interval."""

from collections.abc import Callable
from itertools import chain
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..cython_ext.repricing import best, limits, worth
from .census import Census
from .state import Kept

if TYPE_CHECKING:
    from .simulation import World

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@frozen(kw_only=True)
class Names:
    """What the numbers in events mean."""

    assets: tuple[str, ...]
    markets: tuple[str, ...]
    tick: Floats  # quote units
    lot: Floats  # base units
    base: tuple[int, ...]  # asset numbers
    quote: tuple[int, ...]
    perpetual: tuple[bool, ...]
    accounts: dict[int, str]  # of those that have a name of their own
    account_class: NDArray[np.uint8]  # by account: number in `classes`
    classes: tuple[str, ...]


MAKERS_S = 2.0
"""Market makers are sampled at least so often, seconds: their leverage counts at the
moment of a sale."""

WATCHED_S = 1.0
"""And the markets that are watched."""

BANDS = (0.0025, 0.01, 0.5)
"""Depth of watched markets is counted within these shares of the middle price."""

EDGES = 1.0 - np.array(BANDS), 1.0 + np.array(BANDS)


@frozen(kw_only=True)
class Watched:
    """Samples of K watched markets, one each second, and messages by minute.

    Prices are in the quote asset, NaN where there is none; ``depth`` is US dollars
    resting within `BANDS` of the middle, or of the last price while a side is empty,
    (times, markets, sides, bands). ``sent`` and ``makers`` are those of a `Census`,
    ``minute`` the start of each of its minutes.
    """

    markets: tuple[int, ...]
    time: NDArray[np.int64]
    bid: Floats
    ask: Floats
    mark: Floats
    index: Floats  # of the base over that of the quote
    depth: Floats
    minute: NDArray[np.int64]
    sent: NDArray[np.int64]
    makers: NDArray[np.int64]


@frozen(kw_only=True)
class Chained:
    """Figures of the protocols around the venue, by name, one at each block's end."""

    time: NDArray[np.int64]
    figures: dict[str, Floats]


@frozen(kw_only=True)
class Series:
    """Samples of a run: T times, M markets, A assets, K market makers.

    Prices are in the quote asset, NaN where there is none; depth is US dollars resting
    within the recorded share of the outside price. Market makers have times of their
    own, which are at most MAKERS_S apart.
    """

    time: NDArray[np.int64]
    bid: Floats
    ask: Floats
    last: Floats
    mark: Floats
    bid_depth: Floats
    ask_depth: Floats
    index: Floats
    outside: Floats
    maker_accounts: NDArray[np.int64]
    maker_time: NDArray[np.int64]
    maker_equity: Floats
    maker_adjusted: Floats
    maker_maintenance: Floats
    maker_health: Floats
    maker_leverage: Floats  # positions and borrowings over equity
    maker_leverage_unrepriced: Floats  # the same with collateral at its first price
    maker_quoting: Floats
    fund_usd: Floats
    forced_usd: Floats
    liquidated: Floats
    gateway_delay: Floats
    exogenous_usd: Floats
    transfers_open: Floats
    watched: Watched
    chain: Chained


class _Samples:
    """Rows of samples under their names, each at a time."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._rows: dict[str, list[Floats]] = {}
        self._before: list[Kept] = []  # earlier times and rows, in pieces

    def __getstate__(self) -> dict[str, Any]:
        """Return what it is; all rows but the last are final, and copies share them."""
        if self._times[1:]:
            rows = {name: rows[:-1] for name, rows in self._rows.items()}
            self._before.append(Kept((self._times[:-1], rows)))
            self._times = self._times[-1:]
            self._rows = {name: rows[-1:] for name, rows in self._rows.items()}
        return self.__dict__

    def add(self, now: int, samples: dict[str, Any]) -> None:
        """Take one row of each; the last of one moment counts."""
        if self._times and self._times[-1] == now:
            self._times.pop()
            for rows in self._rows.values():
                rows.pop()
        self._times.append(now)
        for name, sample in samples.items():
            self._rows.setdefault(name, []).append(np.array(sample, np.float64))

    @property
    def times(self) -> list[int]:
        """When the rows were taken."""
        before = (piece.value[0] for piece in self._before)
        return [*chain.from_iterable(before), *self._times]

    def columns(self) -> dict[str, Floats]:
        """All rows, by name."""
        pieces = [*(piece.value[1] for piece in self._before), self._rows]
        return {
            name: np.array([row for rows in pieces for row in rows[name]])
            for name in self._rows
        }


class _Books:
    """Some of the markets, with what of them counts at each sample.

    Of each the depth within as many prices as there are ``edges``.
    """

    def __init__(self, world: "World", rows: Integers, edges: int) -> None:
        exchange = world.exchange
        self.rows = rows
        self.every = np.concatenate([rows] * edges)
        self.quote = exchange.quote[rows]
        self.tick, self.lot = exchange.tick[rows], exchange.lot[rows]


class Recorder:
    """Samples a world at intervals, and counts its messages.

    All markets and assets every ``record.interval``; market makers and the markets that
    are watched more often, if that is long.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        settings, exchange = world.config.record, world.exchange
        self._venue, self._makers, self._near = _Samples(), _Samples(), _Samples()
        numbers = [exchange.market_number[name] for name in settings.markets]
        self._watched = np.array(numbers, np.int64)
        self._some = _Books(world, self._watched, len(BANDS))
        self._all = _Books(world, np.arange(len(exchange.markets)), 1)
        self.census = Census(
            watched=self._watched,
            markets=len(exchange.markets),
            classes=world.account_classes(),
            makers=world.maker_accounts,
            start_ns=exchange.prices.start_ns,
            duration_ns=int(world.config.duration * 1e9),
        )
        if numbers:
            exchange.log.watch(self.census)

    def plan(self) -> list[tuple[float, Callable[[int], None]]]:
        """What is to be called how often, seconds."""
        interval = self.world.config.record.interval
        if not self.world.exchange.markets:
            # There is nothing to see between two blocks.
            assert self.world.chain is not None
            interval = max(interval, self.world.chain.interval_ns * 1e-9)
            return [(interval, self.sample_venue)]
        step = self.world.step_ns * 1e-9  # nothing is new before
        samplers: list[tuple[float, Callable[[int], None]]] = [
            (interval, self.sample_venue),
            (max(min(interval, MAKERS_S), step), self.sample_makers),
        ]
        if len(self._watched):
            samplers.append((min(interval, WATCHED_S), self.sample_watched))
        return samplers

    # -- SAMPLES

    def sample(self, now: int) -> None:
        """Take one sample of everything."""
        self.sample_venue(now)
        self.sample_makers(now)
        if len(self._watched):
            self.sample_watched(now)

    def sample_venue(self, now: int) -> None:
        """Take one sample of all markets, all assets and the venue."""
        world, exchange = self.world, self.world.exchange
        bid, ask, last = best(exchange.books.top(), exchange.tick, np.nan)
        samples = {
            "bid": bid,
            "ask": ask,
            "last": last,
            "mark": exchange.mark,
            "bid_depth": self._depth(0, 1.0 - world.config.record.depth),
            "ask_depth": self._depth(1, 1.0 + world.config.record.depth),
            "index": exchange.index,
            "outside": exchange.prices.outside,
            "fund_usd": exchange.insurance_fund,
            "forced_usd": fsum(exchange.forced_usd),
            "liquidated": len(exchange.liquidator.liquidated),
            "gateway_delay": world.gateway.delay(now),
            "exogenous_usd": world.exogenous_usd,
            "transfers_open": world.channel.open,
        }
        self._venue.add(now, samples)

    def sample_makers(self, now: int) -> None:
        """Take one sample of the market makers."""
        world = self.world
        value = world.exchange.risk.at(accounts=world.maker_accounts)
        equity, exposure = value["equity"], value["exposure"]
        unrepriced = equity + world.collateral_lost()
        samples = {
            "maker_equity": equity,
            "maker_adjusted": value["adjusted"],
            "maker_maintenance": value["maintenance"],
            "maker_health": value["health"],
            "maker_leverage": _ratio(exposure, equity),
            "maker_leverage_unrepriced": _ratio(exposure, unrepriced),
            "maker_quoting": world.maker_quoting(),
        }
        self._makers.add(now, samples)

    def sample_watched(self, now: int) -> None:
        """Take one sample of the markets that are watched."""
        exchange, rows = self.world.exchange, self._watched
        top = exchange.books.top()[rows]
        bid, ask, last = best(top, self._some.tick, np.nan)
        index = exchange.index_in_quote(rows)
        # What rests on one side is there, though the other is empty.
        both = np.isfinite(bid) & np.isfinite(ask)
        middle = np.where(both, 0.5 * (bid + ask), last)
        down, up = (
            self._within(side, np.multiply.outer(edges, middle), self._some)
            for side, edges in enumerate(EDGES)
        )
        samples = {
            "bid": bid,
            "ask": ask,
            "mark": exchange.mark[rows],
            "index": index,
            "depth": np.stack([down.T, up.T], axis=1),
        }
        self._near.add(now, samples)

    def _depth(self, side: int, share: float) -> Floats:
        fair = self.world.fair[None]
        found: Floats = self._within(side, fair * share, self._all)[0]
        return found

    def _within(self, side: int, edges: Floats, books: _Books) -> Floats:
        # US dollars resting in these markets down to prices, a row each, none where
        # that is 0.
        exchange = self.world.exchange
        limit = limits(edges, books.tick, side == 0)
        volume = exchange.books.volume_within(side, limit, books.every)
        usd = exchange.index[books.quote]
        return worth(volume, limit, books.tick, books.lot, usd)

    # -- WHAT CAME OF IT

    def series(self) -> Series:
        """Return all samples."""
        self.world.exchange.log.settle()
        shape = 0, len(self._watched)
        blank = dict.fromkeys(("bid", "ask", "mark", "index"), np.empty(shape))
        near = blank | {"depth": np.empty((*shape, 2, len(BANDS)))}
        return Series(
            time=np.array(self._venue.times, np.int64),
            maker_accounts=self.world.maker_accounts,
            maker_time=np.array(self._makers.times, np.int64),
            **self._venue.columns(),
            **self._makers.columns(),
            watched=Watched(
                markets=tuple(self._watched.tolist()),
                time=np.array(self._near.times, np.int64),
                **(near | self._near.columns()),
                minute=self.census.minutes,
                sent=self.census.sent,
                makers=self.census.makers,
            ),
            chain=self._chained(),
        )

    def _chained(self) -> Chained:
        times, columns = ([], {}) if (c := self.world.chain) is None else c.series()
        figures = {name: np.array(rows, np.float64) for name, rows in columns.items()}
        return Chained(time=np.array(times, np.int64), figures=figures)


def _ratio(exposure: Floats, equity: Floats) -> Floats:
    # Without equity there is no leverage to speak of, only ruin.
    some = np.where(equity > 0, equity, 1.0)
    return np.where(equity > 0, exposure / some, np.where(exposure > 0, np.inf, 0.0))
