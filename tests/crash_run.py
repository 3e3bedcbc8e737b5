"""A run made by hand whose measures are known: four markets, ten minutes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from flashwick.engine.events import EventLog
from flashwick.engine.record import BANDS, Chained, Names, Series, Watched
from flashwick.engine.run import Run
from flashwick.engine.scenario import LoadedScenario, load
from flashwick.orderbook.orders import FILL, RESULT, Flag, Side, messages

SECOND = 10**9
MINUTE = 60 * SECOND
MARKETS = ("A/USDT", "A/USDC", "A/BTC", "B/USDT", "A/USDT:PERP")
A, A_USDC, A_BTC, B, PERP = range(5)
ASSETS = ("A", "B", "BTC", "USDT", "USDC")
START = 20 * 3600 + 48 * 60  # 20:48
SHOCK = 120.0  # 20:50
DURATION = 600
VENUE, CROWD, MAKER_1, MAKER_2, STALE = range(5)
CLASSES = ("venue", "background", "market_makers", "stale_bids")

TOML = """\
name = "known"
duration = 600
start = 74880
[assets]
A = { price = 100 }
B = { price = 10 }
BTC = { price = 1000 }
USDT = { price = 1 }
USDC = { price = 1 }
[markets]
"A/USDT" = { tick = "0.1", lot = "0.1", high = 125 }
"A/USDC" = { tick = "0.1", lot = "0.1" }
"A/BTC" = { tick = "0.0001", lot = "0.1" }
"B/USDT" = { tick = "0.01", lot = "0.1" }
"A/USDT:PERP" = { tick = "0.1", lot = "0.1" }
[oracles]
USDT = { policy = "fixed", value = 1 }
USDC = { policy = "fixed", value = 1 }
A = { policy = "outside", ratio = 2.0, underlying = "B" }
B = { policy = "outside" }
BTC = { policy = "outside" }
[rules]
preset = "binance-pm"
liquidation = { cycle_s = 6.4 }
[record]
markets = ["A/USDT:PERP"]
"""
TICK = np.array([0.1, 0.1, 0.0001, 0.01, 0.1])


NAMES = Names(
    assets=ASSETS,
    markets=MARKETS,
    tick=TICK,
    lot=np.full(5, 0.1),
    base=(0, 0, 0, 1, 0),
    quote=(3, 4, 2, 3, 3),
    perpetual=(False, False, False, False, True),
    accounts={},
    account_class=np.array([0, 1, 2, 2, 3], np.uint8),
    classes=CLASSES,
)


def scenario() -> LoadedScenario:
    """The scenario that the run pretends to be of."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "known.toml"
        path.write_text(TOML)
        return load(path)


class Known:
    """Writes a run, trade by trade."""

    def __init__(self, *, traded: bool = False) -> None:
        self.log = EventLog(traded=traded)
        self.order = 0
        self.parts: dict[str, Any] = {}

    def trade(
        self,
        time: float,
        market: int,
        price: float,
        qty: float = 1.0,
        *,
        side: Side = Side.SELL,
        forced: bool = False,
        taker: int = CROWD,
        maker: int = MAKER_1,
        maker_order: int = 0,
        cause: int = 0,
    ) -> int:
        """One trade at a time in seconds; its event."""
        self.order += 1
        rows, results, fills = messages(1), np.zeros(1, RESULT), np.zeros(1, FILL)
        results["order_id"], results["accepted"] = self.order, 1
        rows["time"] = fills["time"] = round(time * SECOND)
        rows["market"] = fills["market"] = market
        rows["account"] = fills["taker"] = taker
        rows["side"] = fills["taker_side"] = side
        rows["cause"] = cause
        rows["flags"] = fills["flags"] = int(Flag.LIQUIDATION) if forced else 0
        fills["price"], fills["qty"] = round(price / TICK[market]), round(qty / 0.1)
        fills["maker"], fills["maker_order"] = maker, maker_order
        fills["taker_order"] = self.order
        return self.log.add_batch(rows, results, fills)

    def rest(self, time: float, market: int, account: int) -> int:
        """An order that is there for later; its number."""
        self.order += 1
        rows, results = messages(1), np.zeros(1, RESULT)
        rows["time"], rows["market"] = round(time * SECOND), market
        rows["account"] = account
        results["order_id"], results["open"], results["accepted"] = self.order, 5, 1
        self.log.add_batch(rows, results, np.zeros(0, FILL))
        return self.order

    def shock(self) -> int:
        """The first shock; its event."""
        return self.log.add("shock", round(SHOCK * SECOND), text="news")

    def run(self) -> Run:
        """The run, with samples each second that stand still but for `parts`."""
        time = np.arange(DURATION + 1)
        shape = len(time), len(MARKETS)
        prices = np.tile([100.0, 100.0, 0.1, 10.0, 100.0], (len(time), 1))
        dollars = np.tile([100.0, 50.0, 1000.0, 1.0, 1.0], (len(time), 1))
        pair = len(time), 2
        series = {
            "time": time * SECOND,
            "bid": prices * 0.999,
            "ask": prices * 1.001,
            "last": prices,
            "mark": prices,
            "bid_depth": np.full(shape, 1e6),
            "ask_depth": np.full(shape, 1e6),
            "index": dollars,
            "outside": np.tile([100.0, 10.0, 1000.0, 1.0, 1.0], (len(time), 1)),
            "maker_accounts": np.array([MAKER_1, MAKER_2]),
            "maker_time": time * SECOND,
            "maker_equity": np.full(pair, 1e6),
            "maker_adjusted": np.full(pair, 1e6),
            "maker_maintenance": np.full(pair, 1e5),
            "maker_health": np.full(pair, 10.0),
            "maker_leverage": np.full(pair, 2.0),
            "maker_leverage_unrepriced": np.full(pair, 2.0),
            "maker_quoting": np.ones(pair),
            **dict.fromkeys(
                ("forced_usd", "liquidated", "gateway_delay", "exogenous_usd"),
                np.zeros(len(time)),
            ),
            "fund_usd": np.full(len(time), 1e6),
            "transfers_open": np.ones(len(time)),
        }
        near = {
            "bid": np.full((len(time), 1), 99.95),
            "ask": np.full((len(time), 1), 100.05),
            "mark": np.full((len(time), 1), 100.0),
            "index": np.full((len(time), 1), 100.0),
            "depth": np.full((len(time), 1, 2, len(BANDS)), 1e5),
            "sent": np.zeros((11, 2, len(CLASSES), 4), np.int64),
            "makers": np.ones((11, 1, 2, 3), np.int64),
        }
        for name, part in self.parts.items():
            where, _, key = name.partition(".")
            (near if where == "watched" else series)[key or where] = part
        watched = Watched(
            markets=(PERP,),
            time=time * SECOND,
            minute=np.arange(11) * MINUTE,
            **near,
        )
        return Run(
            scenario=scenario(),
            seed=0,
            log=self.log,
            names=NAMES,
            series=Series(
                **series,
                watched=watched,
                chain=Chained(time=np.empty(0, np.int64), figures={}),
            ),
        )
