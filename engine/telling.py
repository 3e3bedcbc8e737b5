"""What a story of an account is made of: samples, events, and forced orders."""

from collections.abc import Callable, Iterator, Sequence
from math import fsum, isfinite, nan
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..orderbook.orders import MESSAGE, Flag, Kind, Side
from . import facts
from .arguments import refuse, suggest
from .events import KIND, NO_CAUSE, Event
from .prints import NANO
from .slippage import lost_usd, outside_prices, valued_prices
from .story import BORNE, Line, Story, money
from .text import number, percent, price, quantity, ratio, short_usd, times
from .why import Step, Teller

if TYPE_CHECKING:
    from .run import Run

OWN = ("warning", "withdrawal", "decision", "breach", "liquidation")
"""Events of the account's own before and during a liquidation."""

REPRICED = ("index", "mark")

ENDS = ("restored", "nothing left")
"""How the words of a liquidation's last event begin."""


class UnknownAccount(LookupError):
    """An account that the run does not have."""


def story(run: "Run", account: "int | str | None" = None) -> Story:
    """Tell the story of an account; see `find` for which."""
    chosen = find(run, account)
    lines = [*_samples(run, chosen), *_events(run, chosen), *_orders(run, chosen)]
    # What caused an event comes before it, and samples of a moment before both.
    lines.sort(key=lambda line: (line.time, line.event))
    return Story(run, chosen, run.account(chosen), tuple(lines))


# -- WHICH ACCOUNT


def find(run: "Run", account: "int | str | None") -> int:
    """Number of an account, from its number or name.

    By default the largest market maker that was liquidated, else the account with most
    traded by force. UnknownAccount, with the nearest name, if there is no such account;
    LookupError if none is named and nobody was liquidated, TypeError for what is
    neither name nor number.
    """
    if account is None:
        return _default(run)
    if isinstance(account, str):
        return _named(run, account)
    told = f"a name, or a number from 0 to {len(run.names.account_class) - 1}"
    if isinstance(account, bool) or not hasattr(account, "__index__"):
        refuse("account", account, told)
    if not 0 <= (number := index(account)) < len(run.names.account_class):
        raise UnknownAccount(f"'account' must be {told} (got {number})")
    return number


def _default(run: "Run") -> int:
    breached = dict.fromkeys(run.log.rare("breach")[1]["account"].tolist())
    if not breached:
        raise LookupError(
            "nobody was liquidated in this run; name an account, or give its number"
        )
    fleet = [maker for maker in facts.makers(run) if maker.account in breached]
    if fleet:
        return int(max(fleet, key=lambda maker: maker.equity_before).account)
    trades = run.prints
    forced = trades.forced
    if not forced.any():
        return int(next(iter(breached)))
    return int(np.argmax(np.bincount(trades.taker[forced], trades.usd[forced])))


def _named(run: "Run", name: str) -> int:
    own = {known: number for number, known in run.names.accounts.items()}
    if name in own:
        return own[name]
    last = name.rpartition(" ")[2]
    if last.isdecimal() and len(last) < 10:
        number = int(last)
        if number < len(run.names.account_class) and run.account(number) == name:
            return number
    # Of millions of accounts those that somebody may ask for.
    breached = np.unique(run.log.rare("breach")[1]["account"])[:1000]
    known = [*own, *map(run.account, breached.tolist())]
    text = f"'account': the run has none of the name {name!r}"
    raise UnknownAccount(text + suggest(name, dict.fromkeys(known), listed=0))


# -- LINES


def _samples(run: "Run", account: int) -> list[Line]:
    """Before the first shock, the lowest health, and the end of a sampled account."""
    series = run.series
    where = np.flatnonzero(series.maker_accounts == account)
    if not len(where) or not len(series.maker_time):
        return []
    k, start = int(where[0]), facts.last_before(run, series.maker_time)
    health = series.maker_health[:, k]
    rows = {start: "before the first shock"}
    if np.isfinite(health[start:]).any():
        rows[start + int(np.nanargmin(health[start:]))] = "its lowest sample"
    rows[len(series.maker_time) - 1] = "at the end of the run"
    return [
        _line(
            run,
            float(series.maker_time[row] * NANO),
            "sample",
            f"{words}: health {ratio(float(health[row]))}, "
            f"equity {short_usd(float(series.maker_equity[row, k]))} USD, "
            f"leverage {times(float(series.maker_leverage[row, k]))}",
            health=float(health[row]),
        )
        for row, words in rows.items()
    ]


def _line(run: "Run", time: float, kind: str, text: str, **given: Any) -> Line:
    given = {"event": 0, "cause": NO_CAUSE, **given}
    return Line(time=time, when=facts.when(run, time), kind=kind, text=text, **given)


def _events(run: "Run", account: int) -> list[Line]:
    """Its own events, the repricings that caused them, and what others bore."""
    teller, lines = Teller(run), []
    causes: dict[int, None] = {}
    for event in _own(run, account):
        # Steps with a market are told with their orders.
        if event.kind == "liquidation" and event.market >= 0:
            continue
        if event.kind in ("warning", "breach"):
            causes.setdefault(event.cause)
        lines.append(_told(run, teller, event, account))
    events = (run.log[cause] for cause in causes if cause != NO_CAUSE)
    blamed = (event for event in events if event.kind in REPRICED)
    return lines + [_told(run, teller, event, account) for event in blamed]


def _own(run: "Run", account: int) -> Iterator[Event]:
    # Events of a kind that a story tells, and of deleveraging on either side.
    kinds = [KIND[kind] for kind in (*OWN, *BORNE)]
    for ids, rows in run.log.rare_pieces():
        mine = (rows["account"] == account) | (rows["counterparty"] == account)
        some = np.flatnonzero(mine)
        ids, rows = ids[some], rows[some]
        own = (rows["account"] == account) & np.isin(rows["kind"], kinds)
        own |= (rows["counterparty"] == account) & (rows["kind"] == KIND["adl"])
        yield from (run.log[event] for event in ids[own].tolist())


def _told(run: "Run", teller: Teller, event: Event, account: int) -> Line:
    step, kind = teller.step(event), event.kind
    text = _TELL.get(kind, _plainly)(event, step)
    if kind == "liquidation":
        kind = "end" if event.text.startswith(ENDS) else "step"
    # As its own story, not as one account's of many.
    text = text.removeprefix(f"{run.account(account)}: ")
    if kind in REPRICED:
        text += _since(run, event)
    return _line(
        run,
        step.time,
        kind,
        text,
        event=event.id,
        cause=event.cause,
        market=step.subject,
        usd=event.value if kind in BORNE else nan,
        health=event.value if kind in ("warning", "breach") else nan,
    )


def _since(run: "Run", event: Event) -> str:
    # The last step of a price says little of how far it has come.
    series = run.series
    prices, number = series.mark, event.market
    if event.kind == "index":
        prices, number = series.index, event.asset
    if len(series.time) == 0:
        return ""
    before = float(prices[facts.last_before(run, series.time), number])
    if not (before > 0 and isfinite(event.value)):
        return ""
    moved = percent(event.value / before - 1.0, sign=True)
    return f", {moved} since before the first shock"


def _plainly(event: Event, step: Step) -> str:
    return step.text


def _fell(event: Event, step: Step) -> str:
    verb = "warned at" if event.kind == "warning" else "fell to"
    blame = f"; the repricing of {step.subject} cost it most" if step.subject else ""
    return f"{verb} health {ratio(event.value)}{blame}"


def _stepped(event: Event, step: Step) -> str:
    if event.text.endswith(" inf"):
        # Health is a ratio to margin, and there is none.
        return "closed out, with no position and no debt left"
    return event.text.replace("_", " ")


def _taken(event: Event, step: Step) -> str:
    return f"its {step.subject} taken over, {short_usd(event.value)} {event.text}"


def _paid(event: Event, step: Step) -> str:
    return f"the insurance fund paid {short_usd(event.value)} USD of its {step.subject}"


def _owed(event: Event, step: Step) -> str:
    return f"it still owes {short_usd(event.value)} USD of {step.subject}: nobody paid"


def _shared(event: Event, step: Step) -> str:
    owed = f"{short_usd(event.value)} USD of its {step.subject} debt"
    return f"{number(event.qty)} other accounts bore {owed}"


_TELL: dict[str, Callable[[Event, Step], str]] = {
    "warning": _fell,
    "breach": _fell,
    "liquidation": _stepped,
    "takeover": _taken,
    "fund": _paid,
    "claim": _owed,
    "socialised": _shared,
}


def _orders(run: "Run", account: int) -> list[Line]:
    """Each order that the liquidation engine sent for it, with all its trades."""
    fills, lines = _fills(run, account), []
    words = {event.id: event.text for event in _own(run, account)}
    for ids, sent, *_ in run.log.pieces():
        if sent.dtype != MESSAGE:
            continue
        own = np.flatnonzero(sent["account"] == account)
        own = own[sent["kind"][own] == Kind.MARKET]
        own = own[(sent["flags"][own] & Flag.LIQUIDATION) > 0]
        columns = [sent[name][own].tolist() for name in _Sent._fields[1:]]
        for message in map(_Sent, ids[own].tolist(), *columns):
            step = words.get(message.cause, "forced").replace("_", " ")
            lines.append(_order(run, message, step, fills.get(message.event, ())))
    return lines


class _Sent(NamedTuple):
    # An order that the liquidation engine sent, in the units of the book.
    event: int
    cause: int
    time: int
    market: int
    side: int
    qty: int


class _Fill(NamedTuple):
    # A trade of it; ``outside`` as of `outside_prices`, ``valued`` of `valued_prices`.
    price: float
    qty: float
    usd: float
    lost: float
    valued: float
    outside: float


def _fills(run: "Run", account: int) -> dict[int, list[_Fill]]:
    # The forced trades of an account, by the event of their order.
    trades, found = run.prints, dict[int, list[_Fill]]()
    rows = np.flatnonzero(trades.forced & (trades.taker == account))
    columns = (
        trades.price[rows],
        trades.qty[rows],
        trades.usd[rows],
        lost_usd(run, rows),
        valued_prices(run, rows),
        outside_prices(run, rows),
    )
    fills = map(_Fill, *(column.tolist() for column in columns))
    for order, fill in zip(trades.order[rows].tolist(), fills, strict=True):
        found.setdefault(order, []).append(fill)
    return found


def _order(run: "Run", sent: _Sent, step: str, fills: Sequence[_Fill]) -> Line:
    names, market = run.names, sent.market
    time = sent.time * NANO
    asked = float(sent.qty * names.lot[market])
    coin, where = names.assets[names.base[market]], names.markets[market]
    sold = sent.side == Side.SELL
    given = {"event": sent.event, "cause": sent.cause, "market": where}
    if not fills:
        text = f"{step}: nobody {'took' if sold else 'sold'} {quantity(asked)} {coin}"
        nothing = {"qty": 0.0, "asked": asked, "usd": 0.0, "lost": 0.0}
        text = f"{text} on {where}"
        return _line(run, time, "order", text, **given, **nothing)
    qty, usd = fsum(fill.qty for fill in fills), fsum(fill.usd for fill in fills)
    paid = fsum(fill.price * fill.qty for fill in fills) / qty
    valued, lost = fills[0].valued, fsum(fill.lost for fill in fills)
    part = f" of {quantity(asked)}" if qty < 0.999 * asked else ""
    kind = "mark" if names.perpetual[market] else "index"
    against = f", {percent(paid / valued - 1.0, sign=True)} against its {kind} "
    against = f"{against}{price(valued)}" if isfinite(valued) else ""
    average = " on average" if len(fills) > 1 else ""
    text = (
        f"{step}: {'sold' if sold else 'bought'} {quantity(qty)}{part} {coin} on "
        f"{where} at {price(paid)}{average}{against}; {money(usd, lost)}"
    )
    return _line(
        run,
        time,
        "order",
        text,
        **given,
        qty=qty if sold else -qty,
        asked=asked,
        paid=paid,
        valued=valued,
        outside=fills[0].outside,
        usd=usd,
        lost=lost,
    )
