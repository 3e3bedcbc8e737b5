"""A small run made by hand: two books, two market makers, one chain of causes.

A sale of WBETH at 60 s drags its index down; alpha-1 breaches and its ATOM, which had
not fallen, is sold; rounds of WBETH sales follow, until alpha-2 breaches as well and
its ATOM meets a stale bid at 0.3. Hunters bring ATOM back.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from attrs import evolve

from flashwick.engine.events import EventLog
from flashwick.engine.prints import Prints
from flashwick.engine.record import BANDS, Chained, Names, Series, Watched
from flashwick.engine.run import Run
from flashwick.engine.scenario import LoadedScenario, load
from flashwick.orderbook.orders import FILL, RESULT, Flag, Kind, Side, messages

SECOND = 10**9
WBETH, ATOM = 0, 1  # markets, and assets
USDT = 2
FUND, SELLER, ALPHA_1, ALPHA_2, STALE, HUNTER, CROWD = range(7)
CLASSES = ("venue", "shocks", "market_makers", "stale_bids", "bargain_hunters", "crowd")
DURATION = 180
OUTSIDE_CHANGE = {"oracles.WBETH.policy": "outside"}
"""A change of the scenario; the story stays what it is."""

TOML = """\
name = "small"
title = "A small crash <made by hand>"
duration = 180.0

[assets.USDT]
price = 1.0
[assets.WBETH]
price = 4000.0
[assets.ATOM]
price = 4.0

[oracles.USDT]
policy = "fixed"
value = 1.0
[oracles.WBETH]
policy = "own_book"
market = "WBETH/USDT"

[markets."WBETH/USDT"]
tick = "0.01"
lot = "0.0001"
[markets."ATOM/USDT"]
tick = "0.001"
lot = "0.01"

[market_makers.alpha]
count = 2
markets = ["ATOM/USDT", "WBETH/USDT"]
collateral = { WBETH = 0.6, USDT = 0.4 }

[[shocks]]
at = 60.0
kind = "order"
market = "WBETH/USDT"
usd = 1e6
"""


def scenario(changes: dict | None = None) -> LoadedScenario:
    """The scenario that the run pretends to be of."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "small.toml"
        path.write_text(TOML)
        loaded = load(path)
    return loaded.vary(changes) if changes else loaded


class Story:
    """Writes a log, event by event."""

    def __init__(self) -> None:
        self.log = EventLog()
        self.orders = 0
        self.tick = np.array([0.01, 0.001])
        self.lot = np.array([0.0001, 0.01])

    def rest(self, time: float, account: int, market: int, price: float) -> int:
        """A bid that is there for later; its order id."""
        return self._send(time, account, market, Side.BUY, price, 5.0, 0, 0, None)[1]

    def trade(
        self,
        time: float,
        taker: int,
        market: int,
        side: Side,
        fills: list[tuple[float, float, int, int]],
        cause: int = 0,
        forced: bool = False,
    ) -> int:
        """A market order, its fills (price, qty, maker, maker's order); last trade."""
        qty = sum(fill[1] for fill in fills)
        flags = Flag.LIQUIDATION if forced else 0
        first, _ = self._send(time, taker, market, side, 0, qty, cause, flags, fills)
        return first + len(fills) - 1

    def _send(self, time, account, market, side, price, qty, cause, flags, fills):
        self.orders += 1
        batch, results = messages(1), np.zeros(1, RESULT)
        rows = np.zeros(len(fills or ()), FILL)
        batch["kind"] = Kind.LIMIT if fills is None else Kind.MARKET
        batch["account"], batch["market"], batch["side"] = account, market, side
        batch["price"] = round(price / self.tick[market])
        batch["qty"] = round(qty / self.lot[market])
        batch["cause"], batch["flags"] = cause, flags
        results["order_id"], results["accepted"] = self.orders, 1
        results["open"] = batch["qty"] if fills is None else 0
        for row, (paid, amount, maker, order) in zip(rows, fills or (), strict=True):
            row["price"] = round(paid / self.tick[market])
            row["qty"] = round(amount / self.lot[market])
            row["maker"], row["maker_order"] = maker, order
        rows["taker"], rows["market"], rows["taker_side"] = account, market, side
        rows["flags"], rows["taker_order"] = flags, self.orders
        batch["time"] = rows["time"] = round(time * SECOND)
        first = self.log.add_batch(batch, results, rows)
        return first, self.orders

    def event(self, kind: str, time: float, cause: int = 0, **fields) -> int:
        """Any other event."""
        return self.log.add(kind, round(time * SECOND), cause, **fields)

    def index(self, time: float, cause: int, old: float, new: float) -> int:
        """A repricing of WBETH."""
        text = f"WBETH {old:g} -> {new:g}"
        return self.event("index", time, cause, asset=WBETH, value=new, text=text)

    def forced(self, time, breach, account, market, fills) -> int:
        """A step of the liquidation engine and its trades; the last trade."""
        step = self.event(
            "liquidation",
            time,
            breach,
            account=account,
            market=market,
            asset=market,
            text="sell_collateral",
        )
        return self.trade(time, account, market, Side.SELL, fills, step, forced=True)


def breach(story: Story, time: float, cause: int, account: int, health: float) -> int:
    """A breach that WBETH's repricing caused."""
    return story.event(
        "breach", time, cause, account=account, asset=WBETH, value=health, text="health"
    )


def calm(story: Story, end: float) -> None:
    """Everyday trades around 4000 and 4 before anything happens."""
    for t in range(1, int(end), 2):
        up = 1 if t % 4 == 1 else -1
        side = Side.BUY if up > 0 else Side.SELL
        fills = [(4000.0 + up, 0.25, ALPHA_1, 0)]
        story.trade(t + 0.25, CROWD, WBETH, side, fills)
        story.trade(t + 0.5, CROWD, ATOM, side, [(4.0 + 0.002 * up, 50.0, ALPHA_2, 0)])


def crash(story: Story, stale: int, rounds: int, text: str) -> None:
    """The shock and everything after it."""
    shock = story.event("shock", 60, text=text, market=WBETH)
    sold = story.trade(
        60.1,
        SELLER,
        WBETH,
        Side.SELL,
        [(4000.0 - 100.0 * i, 40.0, ALPHA_1, 0) for i in range(8)],
        shock,
    )
    repriced = story.index(61, sold, 4000.0, 3300.0)
    story.event(
        "withdrawal",
        61,
        repriced,
        account=ALPHA_1,
        text="bids withdrawn: own health 1.31",
    )
    case = breach(story, 62, repriced, ALPHA_1, 1.04)
    story.forced(62, case, ALPHA_1, ATOM, [(3.99, 4000.0, ALPHA_2, 0)])
    price = 3300.0
    for i in range(rounds):
        sold = story.forced(
            63 + i, case, ALPHA_1, WBETH, [(price - 60.0, 20.0, CROWD, 0)]
        )
        repriced = story.index(63.5 + i, sold, price, price - 60.0)
        price -= 60.0
        case = breach(story, 63.8 + i, repriced, (ALPHA_1, ALPHA_2)[i % 2], 1.03)
    at = 65.0 + rounds
    story.forced(at, case, ALPHA_2, ATOM, [(3.6, 900.0, HUNTER, 0)])
    story.forced(
        at + 1,
        case,
        ALPHA_2,
        ATOM,
        [(3.1, 500.0, HUNTER, 0), (0.3, 120.0, STALE, stale)],
    )
    story.event(
        "fund", at + 2, case, account=ALPHA_2, asset=USDT, value=5e4, text="USD"
    )
    story.event(
        "claim", at + 2, case, account=ALPHA_2, asset=USDT, value=1e3, text="USD"
    )
    for account, usd in ((ALPHA_2, 7e3), (CROWD, 2e4), (CROWD, 3e4)):
        story.event(
            "takeover",
            at + 2,
            case,
            account=account,
            market=ATOM,
            value=usd,
            text="USD at mark",
        )
    for i in range(20):
        paid = min(3.9, 0.6 + 0.25 * i)
        story.trade(at + 3 + i, HUNTER, ATOM, Side.BUY, [(paid, 30.0, CROWD, 0)])


def unwatched() -> Watched:
    """No market is watched."""
    shape = 0, 0
    return Watched(
        markets=(),
        time=np.empty(0, np.int64),
        **dict.fromkeys(("bid", "ask", "mark", "index"), np.empty(shape)),
        depth=np.empty((*shape, 2, len(BANDS))),
        minute=np.empty(0, np.int64),
        sent=np.empty((*shape, 0, 4), np.int64),
        makers=np.empty((*shape, 0, 3), np.int64),
    )


def series(run: Run) -> Series:
    """Samples of a second each that agree with the trades."""
    time = np.arange(DURATION + 1)
    trades, shape = run.prints, (len(time), 2)
    last = np.full(shape, np.nan)
    for market, opened in ((WBETH, 4000.0), (ATOM, 4.0)):
        rows = trades.of(market)
        at = np.searchsorted(trades.time[rows], time, side="right")
        known = np.concatenate([[opened], trades.price[rows]])
        last[:, market] = known[at]
    index = np.column_stack([last, np.ones(len(time))])
    stress = np.clip((time - 60.0) / 15.0, 0.0, 1.0)
    forced = np.cumsum(np.bincount(
        np.ceil(trades.time[trades.forced]).astype(int),
        trades.usd[trades.forced],
        len(time),
    ))  # fmt: skip
    maker = np.column_stack([stress, 0.9 * stress])
    return Series(
        time=time * SECOND,
        bid=last * 0.999,
        ask=last * 1.001,
        last=last,
        mark=np.full(shape, np.nan),
        bid_depth=np.column_stack([8e5 * (1 - 0.97 * stress), 4e5 * (1 - stress)]),
        ask_depth=np.full(shape, 5e5),
        index=index,
        outside=np.tile([4000.0, 4.0, 1.0], (len(time), 1)),
        maker_accounts=np.array([ALPHA_1, ALPHA_2]),
        maker_time=time * SECOND,
        maker_equity=1e6 * (1 - 0.8 * maker),
        maker_adjusted=9e5 * (1 - 0.8 * maker),
        maker_maintenance=np.full(shape, 2e5),
        maker_health=4.5 * (1 - 0.8 * maker),
        maker_leverage=2.0 + 2.0 * maker,
        maker_leverage_unrepriced=2.0 + 0.4 * maker,
        maker_quoting=(maker < 0.1).astype(float),
        fund_usd=np.where(time < 75, 1e6, 9.5e5),
        forced_usd=forced,
        liquidated=np.where(time < 62, 0.0, 2.0),
        gateway_delay=np.zeros(len(time)),
        exogenous_usd=np.where(time < 61, 0.0, 1.168e6),
        transfers_open=np.ones(len(time)),
        watched=unwatched(),
        chain=Chained(time=np.empty(0, np.int64), figures={}),
    )


def fake_run(
    *,
    crashes: bool = True,
    rounds: int = 6,
    seed: int = 7,
    changes: dict | None = None,
    shock: str = "sale of USD 1,000,000 of WBETH",
) -> Run:
    """The run; without the crash it stays calm to the end."""
    story = Story()
    stale = story.rest(0, STALE, ATOM, 0.3)
    calm(story, 60 if crashes else DURATION)
    if crashes:
        crash(story, stale, rounds, shock)
    names = Names(
        assets=("WBETH", "ATOM", "USDT"),
        markets=("WBETH/USDT", "ATOM/USDT"),
        tick=story.tick,
        lot=story.lot,
        base=(0, 1),
        quote=(2, 2),
        perpetual=(False, False),
        accounts={FUND: "insurance fund", ALPHA_1: "alpha-1", ALPHA_2: "alpha-2"},
        account_class=np.array([0, 1, 2, 2, 3, 4, 5], np.uint8),
        classes=CLASSES,
    )
    parts = {
        "scenario": scenario(changes),
        "seed": seed,
        "log": story.log,
        "names": names,
        "outcome": {"atoms": 0},
    }
    empty = np.empty(0)
    blank = dict.fromkeys(Series.__annotations__, empty)
    blank |= {"time": empty.astype(np.int64), "watched": unwatched()}
    blank["chain"] = Chained(time=blank["time"], figures={})
    bare = Run(**parts, series=Series(**blank))
    return Run(**parts, series=series(bare))


def with_prints(run: Run, prints: Prints) -> Run:
    """The same run with other trades in its table."""
    other = evolve(run)
    object.__setattr__(other, "prints", prints)
    return other
