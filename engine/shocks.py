"""Shocks: what comes from outside at its time, and never the price of a book."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import Side
from .agents import SECOND, Agent, Floats, Integers
from .config import Shock
from .defi.deals import Deal
from .reading.draft import SENDERS

if TYPE_CHECKING:
    from .simulation import World

Action = Callable[[int], None]

FLOWS = ("order", "flow")
"""Kinds of shocks that send orders, each from an account of its own."""


def strikes(world: "World") -> Iterator[tuple[int, Action]]:
    """Yield when something strikes a world, nanoseconds, and what does.

    Accounts of the flows are opened on the way and kept in ``shock_accounts``.
    """
    for number, shock in enumerate(world.config.shocks):
        at = int(shock.at * SECOND)
        flow: Flow | Deal | None = None
        if shock.kind in FLOWS:
            flow = Flow(world, number, shock)
        elif shock.kind == "transaction":
            flow = Deal(world, number, shock)
        yield at, Strike(world, shock, flow)
        if isinstance(flow, Flow):
            world.shock_accounts.append(flow.account)
        if flow is not None:
            for i in range(shock.slices):
                yield at + i * flow.interval_ns, flow.turn


class Strike:
    """What one shock does when its time has come."""

    def __init__(
        self, world: "World", shock: Shock, flow: "Flow | Deal | None"
    ) -> None:
        self.world, self.shock, self.flow = world, shock, flow

    def __call__(self, now: int) -> None:
        """Strike."""
        world, shock = self.world, self.shock
        exchange = world.exchange
        market = exchange.market_number.get(shock.market or "", -1)
        asset = exchange.asset_number.get(shock.asset or "", -1)
        text = shock.note or describe(shock)
        event = exchange.log.add("shock", now, market=market, asset=asset, text=text)
        if self.flow is not None:
            self.flow.event = event
        elif shock.kind == "outside":
            world.outside.jump(asset, shock.move or 0.0, event, now)
            world.refresh_outside()
        elif shock.kind == "path":
            world.outside.follow(asset, shock.points, now, event)
        elif shock.kind == "transfers":
            world.channel.turn(bool(shock.open), shock.way)
        elif shock.kind == "vote":
            _vote(world, shock, now, event)
        else:
            _degrade(world, shock)
            world.gateway_event = event


def _vote(world: "World", shock: Shock, now: int, event: int) -> None:
    price = shock.price or 0.0
    if shock.asset is not None:
        world.exchange.prices.vote(shock.asset, price, now, event)
        return
    assert world.chain is not None
    if shock.on is not None:
        world.chain.govern(shock.on, shock.set, event)
    else:
        world.chain.vote(shock.feed or "", price, event)


def _degrade(world: "World", shock: Shock) -> None:
    if shock.rate is not None:
        world.gateway.rate = shock.rate
    for group in shock.classes or SENDERS:
        world.gateway.degrade(group, shock.latency, shock.reject)


def describe(shock: Shock) -> str:
    """Say in words what a shock is."""
    if shock.kind in FLOWS:
        amount = f"{shock.qty}" if shock.qty is not None else f"{shock.usd:,.0f} USD"
        names = shock.markets or tuple(shock.weights) or (str(shock.market),)
        where = names[0] if len(names) == 1 else f"{len(names)} markets"
        return f"{shock.side} {amount} of {where} at market"
    if shock.kind == "outside":
        return f"outside price of {shock.asset} moves {shock.move:+.1%}"
    if shock.kind == "path":
        seconds, move = shock.points[-1]
        text = f"outside price of {shock.asset} moves along a path"
        return f"{text} to {move:+.1%} after {seconds:,.0f} s"
    if shock.kind == "vote":
        whose = shock.feed or f"the index of {shock.asset}"
        terms = ", ".join(f"{name} to {value:g}" for name, value in shock.set.items())
        return f"vote to set {terms or f'{whose} to {shock.price:g}'}"
    if shock.kind == "transaction":
        done = ", ".join(f"{step.do} {step.on or ''}".strip() for step in shock.steps)
        return f"{shock.who}: {done}"
    if shock.kind == "transfers":
        what = {"in": "deposits", "out": "withdrawals", "both": "transfers"}
        return f"{what[shock.way]} {'opened' if shock.open else 'cut'}"
    slower = [f"serves {shock.rate:,.0f} messages a second"] if shock.rate else []
    if shock.latency is not None:
        slower.append(f"takes {shock.latency:g} times as long")
    if shock.reject is not None:
        slower.append(f"refuses {shock.reject:.0%} of orders")
    whose = f", for {', '.join(shock.classes)}" if shock.classes else ""
    return f"gateway {', '.join(slower)}{whose}"


class Flow(Agent):
    """The market orders of one shock, in slices over its time, from one account.

    What it sells it holds from the start, and for what it buys it has the money, twice
    over; in perpetuals it holds the whole notional as margin.
    """

    group = "shocks"

    def __init__(self, world: "World", number: int, shock: Shock) -> None:
        last = shock.profile[-1][0] if shock.profile else shock.over
        super().__init__(world, str(number), last / shock.slices if last else 1.0)
        self.shock = shock
        self.account = int(self.open_accounts(1)[0])
        self.event = 0
        names = shock.markets or tuple(shock.weights) or (str(shock.market),)
        self.markets = self.numbers(names)
        self.lots = self._lots(names)
        self._fund()
        self._sent = 0

    def _lots(self, names: Sequence[str]) -> Integers:
        # One row a slice, one column a market.
        world, shock = self.world, self.shock
        m = self.markets
        if shock.qty is not None:
            total = np.array([world.exchange.specs[m[0]].lots(shock.qty)])
        else:
            usd_lot = world.usd[m] * world.exchange.lot[m]
            total = ((shock.usd or 0.0) * self._weights(names) / usd_lot).astype(int)
        n = shock.slices
        if shock.kind == "order":
            each, rest = divmod(int(total[0]), n)
            return each + (np.arange(n) < rest).astype(np.int64)[:, None]
        done = np.arange(1, n + 1) / n
        if shock.profile:
            done = _share_by(shock.profile, done * shock.profile[-1][0])
        if shock.dispersion:
            # Some slices are larger than others, and all together what they were.
            own = self.stream.lognormal(n, 1.0, shock.dispersion)
            sizes = np.cumsum(np.diff(done, prepend=0.0) * own)
            done = sizes / sizes[-1]
        # What is less than a lot is sent with a later slice.
        whole = np.floor(total[None, :] * done[:, None] + 1e-6).astype(np.int64)
        return np.diff(whole, axis=0, prepend=0)

    def _weights(self, names: Sequence[str]) -> Floats:
        shock, markets = self.shock, self.world.config.markets
        if len(names) == 1:
            return np.ones(1)
        weights = [shock.weights.get(m, markets[m].volume_usd or 0.0) for m in names]
        return np.asarray(np.array(weights) / np.cumsum(weights)[-1])

    def _fund(self) -> None:
        world, exchange = self.world, self.world.exchange
        for m, lots in zip(self.markets.tolist(), self.lots.sum(0), strict=True):
            spec, total = exchange.specs[m], int(lots)
            usd = float(total * world.usd[m] * float(spec.lot))
            if spec.perpetual:
                self.fund(self.account, spec.quote, usd)
            elif self.shock.side == "buy":
                self.fund(self.account, spec.quote, 2.0 * usd)
            else:
                base = exchange.asset_number[spec.base]
                exchange.ledger.deposit(self.account, base, total * spec.base_unit)

    def wake(self, now: int) -> None:
        """Send the next slice."""
        lots = self.lots[self._sent]
        self._sent += 1
        side = Side[self.shock.side.upper()]
        qty = lots * self.world.exchange.lot[self.markets]
        self.send(self.orders(self.account, self.markets, side, qty, cause=self.event))


def _share_by(
    profile: Sequence[tuple[float, float]], seconds: Floats
) -> NDArray[np.float64]:
    """Return the share of a flow that has come by each time.

    ``profile`` has the rate at points in time, in any unit; it is a line between them.
    """
    time, rate = (np.array(column) for column in zip(*profile, strict=True))
    width, rise = np.diff(time), np.diff(rate)
    area = np.cumsum(np.append(0.0, width * (rate[:-1] + 0.5 * rise)))
    # Two rates at one time are a step: the later one holds from there on.
    k = np.clip(np.searchsorted(time, seconds, side="right") - 1, 0, len(width) - 1)
    past = np.maximum(seconds - time[k], 0.0)
    slope = rise[k] / np.where(width[k] > 0, width[k], 1.0)
    return np.asarray((area[k] + past * (rate[k] + 0.5 * slope * past)) / area[-1])
