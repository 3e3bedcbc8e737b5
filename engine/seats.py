"""Where agents of one's own sit in the simulation: accounts, clock, post."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import ceil, floor, isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..margin.markets import Number
from ..margin.presets import shown
from ..orderbook.orders import (
    ALL_MARKETS,
    MESSAGE,
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Reason,
    Side,
    messages,
)
from . import agents as fleets
from .agents import SECOND, Integers, Rows
from .arguments import expect, refuse, suggest
from .events import NO_CAUSE
from .orders import SIDES, Order, OrderError, chosen, limit, market
from .own import Agent, AgentError, Fill, Refusal
from .reading.draft import SENDERS
from .reading.limits import SECONDS_MAX

if TYPE_CHECKING:
    from .exchange import Exchange
    from .simulation import World

GROUP = "agents"
"""Class of the accounts of agents of one's own."""

AFTER_OTHERS = 5
"""Priority on the clock: that of all agents."""


class Seat(fleets.Agent):
    """The place of one agent of one's own: its accounts, and its messages.

    Without a ``user`` it belongs to an agent whose stream is played: it has the
    accounts, and wakes when the agent did.
    """

    group = GROUP

    def __init__(
        self,
        world: "World",
        name: str,
        deposits: Sequence[Mapping[int, int]],
        user: Agent | None,
    ) -> None:
        super().__init__(world, name, 1.0)
        self.user = user
        self.deposits = [dict(amounts) for amounts in deposits]
        numbers = self.open_accounts(len(deposits)).tolist()
        self.accounts: tuple[int, ...] = tuple(numbers)
        for account, amounts in zip(numbers, deposits, strict=True):
            for asset, atoms in amounts.items():
                self.exchange.ledger.deposit(account, asset, atoms)
        self._like = "" if user is None else f"{user.like}.{self.sender}"
        self._begun = False
        self._cause = NO_CAUSE
        self._outbox: list[Rows] = []

    @property
    def exchange(self) -> "Exchange":
        """The exchange that it trades on."""
        return self.world.exchange

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return round(self.world.now * 1e-9, 9)

    def plan(self, wakes: Sequence[int] = ()) -> None:
        """Put its wake-ups on the clock; ``wakes`` are those it had before, ns."""
        world = self.world
        for time in (0,) if self.user is not None else wakes:
            world.schedule(time, AFTER_OTHERS, self.turn)
        if self.user is not None and self.user.interval is not None:
            self.interval_ns = max(1, round(self.user.interval * SECOND))
            world.schedule_agent(self, first=self.interval_ns)

    # -- THE CLOCK

    def turn(self, now: int) -> None:
        """Wake, as all agents do; when that was is noted."""
        super().turn(now)
        if self.world.journal is not None:
            self.world.journal.woke(self.sender, now)

    def wake(self, now: int) -> None:
        """Let the agent act."""
        if self._begun:
            self.call("wake")
        else:
            self._begun = True
            self.call("start")

    def call(self, name: str, *arguments: Any, cause: int = NO_CAUSE) -> None:
        """Call a method of the agent, and send what it wants to send as one batch."""
        self._cause = cause
        try:
            getattr(self.user, name)(*arguments)
        except Exception as error:
            text = f"agent {self.name!r} failed at {self.seconds:g} s in {name}()"
            kind = type(error).__name__
            raise AgentError(f"{text}: {kind}: {error}") from error
        batches, self._outbox = self._outbox, []
        if batches:
            self.send(np.concatenate(batches))

    def send(self, batch: Rows) -> None:
        """Send a batch through the gateway, with the latency of a class."""
        self.world.gateway.send(self._like, batch, self.world.now)

    def wake_in(self, seconds: float) -> None:
        """Wake once more after a while."""
        self.world.schedule(
            self.world.now + _nanoseconds("seconds", seconds), AFTER_OTHERS, self.turn
        )

    # -- WHAT IT SEES

    def account(self, account: int | None = None) -> int:
        """The number of an account of its own; OrderError if it is another's."""
        if account is None:
            return self.accounts[0]
        if account not in self.accounts:
            own = ", ".join(map(str, self.accounts))
            raise OrderError(
                f"'account' must be one of its own: {own} (got {shown(account)})"
            )
        return int(account)

    def outside(self, asset: str) -> float:
        """US dollars of an asset outside."""
        return float(self.world.outside.price[self.exchange.units.asset(asset)])

    def waiting(self) -> bool:
        """Whether the gateway has a message of its own."""
        numbers = np.array(self.accounts, np.int64)
        return bool(self.world.gateway.unserved(numbers).any())

    def liquidated(self) -> bool:
        """Whether one of its accounts fell."""
        liquidator = self.exchange.liquidator
        return any(
            account in liquidator.liquidated or account in liquidator.cases
            for account in self.accounts
        )

    # -- WHAT IT SENDS

    def order(
        self,
        account: int | None,
        name: str,
        side: str,
        qty: Number,
        price: Number | None,
        options: Mapping[str, Any],
    ) -> bool:
        """Send an order, rounded to the market's steps; False for less than a lot."""
        number = self.exchange.units.market(name)
        spec, own = self.exchange.specs[number], self.account(account)
        lots = _steps("qty", qty, float(spec.lot))
        if not 0.0 <= lots <= QTY_MAX:
            most = QTY_MAX * float(spec.lot)
            told = f"'qty' must be at least 0 and at most {most:g}"
            raise OrderError(f"{told} (got {shown(qty)})")
        # A whole number of lots may come out of the division a trifle below itself.
        lots = floor(lots + 1e-6) if lots < 1e9 else round(lots)
        if lots < 1:
            return False
        least = float(spec.lot)
        if price is None:
            order = market(own, name, side, least, **options)
        else:
            order = limit(own, name, side, float(spec.tick), least, **options)
        batch = self.exchange.message(order)
        batch["qty"] = lots
        if price is not None:
            ticks = _steps("price", price, float(spec.tick))
            if not 0.0 < ticks <= PRICE_MAX:
                most = PRICE_MAX * float(spec.tick)
                told = f"'price' must be above 0 and at most {most:g}"
                raise OrderError(f"{told} (got {shown(price)})")
            buys = order.side is Side.BUY
            # On the tick it stays there, whatever the division left over.
            batch["price"] = max(1, floor(ticks + 1e-6) if buys else ceil(ticks - 1e-6))
        self.post(batch)
        return True

    def submit(self, order: Order) -> None:
        """Send an order as it is."""
        if isinstance(order, Order):
            self.account(order.account)
        self.post(self.exchange.message(order))

    def post(self, batch: Rows) -> None:
        """Send messages once the agent is done."""
        if getattr(batch, "dtype", None) != MESSAGE:
            refuse("batch", batch, "messages, as fw.messages(n) returns them")
        if (batch["flags"] & int(Flag.LIQUIDATION)).any():
            raise OrderError("'flags': only the liquidation engine sends LIQUIDATION")
        own = self.exchange.family
        for account in np.unique(batch["account"]).tolist():
            if own.owner(account) not in self.accounts:
                self.account(account)
        last = self.exchange.log.next_id - 1
        for cause in batch["cause"][(batch["cause"] < 0) | (batch["cause"] > last)]:
            told = f"'cause' must be an event up to now, 0 to {last}, 0 for none"
            raise OrderError(f"{told} (got {cause})")
        batch = batch.copy()
        batch["time"] = self.world.now
        batch["cause"][batch["cause"] == NO_CAUSE] = self._cause
        self._outbox.append(batch)

    def cancel(self, order_id: int) -> None:
        """Cancel an order of its own; OrderError if it is not open."""
        own = [self.exchange.open_orders(account) for account in self.accounts]
        rows = np.concatenate(own)
        found = rows[rows["order_id"] == order_id]
        if len(found) == 0:
            raise OrderError(
                f"order {shown(order_id)} is not one of its own that is open; see "
                "open_orders()"
            )
        batch = messages(1)
        batch["kind"], batch["order_id"] = Kind.CANCEL, order_id
        batch["account"] = found["account"]
        batch["side"] = chosen("side", str(found["side"][0]), SIDES)
        batch["market"] = self.exchange.units.market(str(found["market"][0]))
        self.post(batch)

    def clear(self, account: int | None, name: str | None, side: str | None) -> None:
        """Cancel orders of its own."""
        batch = messages(len(self.accounts) if account is None else 1)
        batch["kind"] = Kind.CANCEL_ALL
        batch["account"] = self.accounts if account is None else self.account(account)
        batch["market"], batch["side"] = ALL_MARKETS, Side.BOTH
        if name is not None:
            batch["market"] = self.exchange.units.market(name)
        if side is not None:
            batch["side"] = chosen("side", side, SIDES)
        self.post(batch)

    def decide(self, text: str) -> None:
        """Log a decision, from now on the cause of what is sent in this call."""
        expect("text", text, str, "what was decided, in words")
        self._cause = self.exchange.log.add(
            "decision", self.world.now, self._cause, account=self.account(), text=text
        )


class Party:
    """All agents of one's own in a world, and the news for them."""

    def __init__(self, world: "World", users: Sequence[Agent]) -> None:
        self.world = world
        self._news: list[tuple[Seat, str, Any, int]] = []
        given = _named(users)
        player = world.player
        known = {} if player is None else player.stream.own
        self.seats: dict[str, Seat] = {}
        self.first = world.exchange.ledger.n_accounts
        for name in dict.fromkeys((*known, *given)):
            user = given.get(name)
            deposits = (
                known[name] if user is None else _deposits(world.exchange, name, user)
            )
            self.seats[name] = seat = Seat(world, name, deposits, user)
            if user is not None:
                user._seat = seat
        self.whose: Integers = np.repeat(
            np.arange(len(self.seats)), [len(s.accounts) for s in self.seats.values()]
        )
        if self.seats:
            world.exchange.told = self.took

    def begin(self) -> None:
        """Put the wake-ups on the clock."""
        player = self.world.player
        for name, seat in self.seats.items():
            seat.plan(() if player is None else player.stream.wakes.get(name, ()))

    def users(self) -> dict[str, Agent]:
        """The agents as they are now, by name, apart from the simulation."""
        found = {name: seat.user for name, seat in self.seats.items() if seat.user}
        for user in found.values():
            user._seat = None
        return found

    def names(self) -> dict[int, str]:
        """What their accounts are called."""
        names = {}
        for name, seat in self.seats.items():
            several = len(seat.accounts) > 1
            for i, account in enumerate(seat.accounts, 1):
                names[account] = f"agent {name}-{i}" if several else f"agent {name}"
        return names

    # -- NEWS

    def took(self, fills: Rows, first: int) -> None:
        """Take the fills of a batch, the events from ``first`` on."""
        whose = self.world.exchange
        for i in np.flatnonzero(
            (fills["taker"] >= self.first) | (fills["maker"] >= self.first)
        ).tolist():
            row = fills[i]
            for maker in (False, True):
                account = int(row["maker" if maker else "taker"])
                seat = self._seat(account)
                if seat is not None:
                    fill = _fill(whose, row, account, first + i, maker=maker)
                    self._news.append((seat, "filled", fill, first + i))

    def answered(self, batch: Rows, results: Rows) -> None:
        """Take what became of messages."""
        if not self.seats:
            return
        wrong = (batch["account"] >= self.first) & (results["accepted"] == 0)
        for i in np.flatnonzero(wrong).tolist():
            seat = self._seat(int(batch["account"][i]))
            if seat is not None:
                told = _refusal(self.world.exchange, batch[i], results[i])
                self._news.append((seat, "refused", told, NO_CAUSE))

    def tell(self, now: int) -> None:
        """Tell the agents what happened to their orders."""
        journal, log = self.world.journal, self.world.exchange.log
        while self._news:
            news, self._news = self._news, []
            for seat, what, told, cause in news:
                first = log.next_id
                seat.call(what, told, cause=cause)
                if journal is not None:
                    journal.note(seat.sender, now, first, log.next_id)

    def _seat(self, account: int) -> Seat | None:
        # Of a live agent; an isolated market is a sub-account of one.
        owner = self.world.exchange.family.owner(account) - self.first
        if not 0 <= owner < len(self.whose):
            return None
        seat = list(self.seats.values())[int(self.whose[owner])]
        return seat if seat.user is not None else None


def _fill(
    exchange: "Exchange", row: np.void, account: int, event: int, *, maker: bool
) -> Fill:
    number = int(row["market"])
    bought = (row["taker_side"] == Side.BUY) != maker
    own = int(row["maker_flags" if maker else "flags"])
    return Fill(
        time=round(int(row["time"]) * 1e-9, 9),
        account=account,
        market=exchange.markets[number],
        side="buy" if bought else "sell",
        price=_units(row["price"], exchange.specs[number].tick),
        qty=_units(row["qty"], exchange.specs[number].lot),
        maker=maker,
        forced=bool(own & int(Flag.LIQUIDATION)),
        order_id=int(row["maker_order" if maker else "taker_order"]),
        event=event,
    )


def _refusal(exchange: "Exchange", message: np.void, result: np.void) -> Refusal:
    number = int(message["market"])
    known = 0 <= number < len(exchange.markets)
    spec = exchange.specs[number if known else 0]
    side = int(message["side"])
    return Refusal(
        time=round(int(message["time"]) * 1e-9, 9),
        account=int(message["account"]),
        market=exchange.markets[number] if known else "all",
        # A batch may hold anything; the reason tells what was wrong with it.
        side=Side(side).name.lower() if side in list(Side) else str(side),
        price=_units(message["price"], spec.tick),
        qty=_units(message["qty"], spec.lot),
        order_id=int(result["order_id"]),
        reason=Reason(int(result["reason"])),
    )


def _units(count: Any, step: Any) -> float:
    # A fraction of integers: the nearest float to the decimal number.
    return float(int(count) * step)


def _steps(what: str, value: Number, step: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not isfinite(number):
        raise OrderError(f"{what!r} must be a number (got {shown(value)})")
    return number / step


def _nanoseconds(what: str, seconds: object) -> int:
    number = isinstance(seconds, Real) and not isinstance(seconds, bool | np.bool_)
    if not number or not 0.0 < float(seconds) <= SECONDS_MAX:  # type: ignore[arg-type]
        told = f"{what!r} must be a number above 0 and at most {SECONDS_MAX:g}"
        raise OrderError(f"{told} (got {shown(seconds)})")
    return max(1, round(float(seconds) * SECOND))  # type: ignore[arg-type]


# -- WHAT IS GIVEN


def check_agents(agents: object, before: Sequence[Agent] = ()) -> dict[str, Agent]:
    """Agents by name, those ``before`` first; AgentError or TypeError for none."""
    expect("agents", agents, Sequence, "a list of agents, as in agents=[MyAgent()]")
    assert isinstance(agents, Sequence)
    found = {name_of(agent): agent for agent in before}
    for i, agent in enumerate(agents):
        if isinstance(agent, type) and issubclass(agent, Agent):
            refuse(f"agents[{i}]", agent, f"an instance: {agent.__name__}()")
        expect(f"agents[{i}]", agent, Agent, "an instance of a subclass of fw.Agent")
        name = name_of(agent)
        if name in found:
            raise AgentError(
                f"two agents are called {name!r}; give each a 'name' of its own"
            )
        _check(name, agent)
        found[name] = agent
    return found


def _check(name: str, agent: Agent) -> None:
    what = f"agent {name!r}"
    if agent.like not in SENDERS:
        near = suggest(agent.like, SENDERS)
        told = "must be a class of participants"
        raise AgentError(f"{what}: 'like' {told} (got {shown(agent.like)}){near}")
    if agent.interval is not None:
        try:
            _nanoseconds("interval", agent.interval)
        except OrderError as error:
            raise AgentError(f"{what}: {error}, or None") from None


def name_of(agent: Agent) -> str:
    """The name of an agent: its own, or that of its class."""
    name = agent.name or type(agent).__name__
    if not isinstance(name, str):
        raise AgentError(f"'name' of an agent must be text (got {shown(name)})")
    return name


def _named(agents: Sequence[Agent]) -> dict[str, Agent]:
    # Copies: a run leaves what it was given as it was.
    found = {}
    for agent in agents:
        name = name_of(agent)
        try:
            found[name] = deepcopy(agent)
        except Exception as error:
            text = f"agent {name!r} cannot be copied, and a run works on a copy"
            raise AgentError(f"{text}: {error}") from error
    return found


def _deposits(exchange: "Exchange", name: str, user: Agent) -> list[dict[int, int]]:
    # Atoms by number of the asset, of each account.
    given, what = user.deposits, "amounts by asset: {'USDT': 1_000}"
    found = []
    try:
        tables = [given] if isinstance(given, Mapping) else given
        expect("deposits", tables, Sequence, what)
        for table in tables or [{}]:
            expect("deposits", table, Mapping, what)
            found.append(
                {
                    exchange.units.asset(asset): exchange._atoms(
                        amount, asset, "deposit"
                    )
                    for asset, amount in table.items()
                }
            )
    except (TypeError, ValueError) as error:
        raise AgentError(f"agent {name!r}: deposits: {error}") from error
    return found
