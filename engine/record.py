"""What a run keeps: names, and series sampled at an interval."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .simulation import World

Floats = NDArray[np.float64]


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


@frozen(kw_only=True)
class Series:
    """Samples of a run: T times, M markets, A assets, K market makers.

    Prices are in the quote asset, NaN where there is none; depth is US dollars resting
    within the recorded share of the outside price.
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


class Recorder:
    """Samples a world at an interval."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._times: list[int] = []
        self._rows: dict[str, list[Floats]] = {}

    def sample(self, now: int) -> None:
        """Take one sample of everything."""
        world, exchange = self.world, self.world.exchange
        top = exchange.books.top()
        prices = np.where(top[:, [0, 2, 4]] > 0, top[:, [0, 2, 4]], np.nan)
        prices *= exchange.tick[:, None]
        self._times.append(now)
        makers = world.maker_accounts
        value = exchange.risk.at(accounts=makers)
        equity, exposure = value["equity"], value["exposure"]
        unrepriced = equity + world.collateral_lost()
        samples = {
            "bid": prices[:, 0],
            "ask": prices[:, 1],
            "last": prices[:, 2],
            "mark": exchange.mark,
            "bid_depth": self._depth(0, 1.0 - world.config.record.depth),
            "ask_depth": self._depth(1, 1.0 + world.config.record.depth),
            "index": exchange.index,
            "outside": exchange.prices.outside,
            "maker_equity": equity,
            "maker_adjusted": value["adjusted"],
            "maker_maintenance": value["maintenance"],
            "maker_health": value["health"],
            "maker_leverage": _ratio(exposure, equity),
            "maker_leverage_unrepriced": _ratio(exposure, unrepriced),
            "maker_quoting": world.maker_quoting(),
            "fund_usd": exchange.insurance_fund,
            "forced_usd": exchange.forced_usd.sum(),
            "liquidated": len(exchange.liquidator.liquidated),
            "gateway_delay": world.gateway.delay(now),
            "exogenous_usd": world.exogenous_usd,
            "transfers_open": world.channel.open,
        }
        for name, sample in samples.items():
            self._rows.setdefault(name, []).append(np.array(sample, np.float64))

    def _depth(self, side: int, share: float) -> Floats:
        exchange = self.world.exchange
        edge = np.nan_to_num(self.world.fair * share / exchange.tick)
        limits = np.ceil(edge) if side == 0 else np.floor(edge)
        volume = exchange.books.volume_within(side, limits.astype(np.int64))[:, 1]
        usd = np.nan_to_num(exchange.index[exchange.quote])
        return np.asarray(volume * exchange.tick * exchange.lot * usd)

    def series(self) -> Series:
        """Return all samples."""
        columns = {name: np.array(rows) for name, rows in self._rows.items()}
        return Series(
            time=np.array(self._times, np.int64),
            maker_accounts=self.world.maker_accounts,
            **columns,
        )


def _ratio(exposure: Floats, equity: Floats) -> Floats:
    # Without equity there is no leverage to speak of, only ruin.
    some = np.where(equity > 0, equity, 1.0)
    return np.where(equity > 0, exposure / some, np.where(exposure > 0, np.inf, 0.0))
