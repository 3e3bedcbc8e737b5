"""Why a print happened: an event walked back, cause by cause, to its root."""

from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, field, frozen

from ..orderbook.orders import Side
from . import facts
from .causes import Flow, flows
from .events import ORDER, TRADE, Event
from .prints import NANO
from .text import percent, price, quantity, seconds, short_usd, usd

if TYPE_CHECKING:
    import pyarrow as pa
    from plotly.graph_objects import Figure

    from .run import Run

SHORTEST_FOLD = 3
"""A pattern of links is folded when it comes so many times in a row."""

LONGEST_PATTERN = 8
"""Most links in a pattern."""

FLAT = -0.02
"""A price that changed by more than this has not fallen."""


@frozen
class Step:
    """One event of a chain, in words.

    ``kind`` is that of the event, ``subject`` the market or asset it is about, ``who``
    the account, ``when`` the time in words; ``note`` says what deserves notice.
    """

    event: Event = field(repr=False)
    time: float
    when: str
    kind: str
    subject: str
    who: str
    group: str
    text: str
    note: str = ""

    def __str__(self) -> str:
        """One line: when, what, who, how much."""
        note = f"  [{self.note}]" if self.note else ""
        return f"{self.when:>9}  {self.kind:<11}  {self.text}{note}"


@frozen
class Fold:
    """Links that repeat those before them, told once."""

    times: int
    links: int
    first: Step
    last: Step

    @property
    def text(self) -> str:
        """How often the links before it come again, and over what time."""
        what = "this link" if self.links == 1 else f"these {self.links} links"
        early, late = sorted((self.first, self.last), key=lambda step: step.time)
        between = f"{early.when} to {late.when}"
        return f"{what} {self.times} times more, {between}"

    def __str__(self) -> str:
        """One line."""
        return f"{'':>9}  {'⋮':<11}  {self.text}"


@frozen(repr=False)
class Why:
    """A chain of causes: ``steps`` from the event back to its root.

    ``flows`` are the forced trades that go back to each of them.
    """

    title: str
    steps: tuple[Step, ...]
    run: "Run" = field(eq=False)

    @cached_property
    def flows(self) -> list[Flow]:
        """What goes back to each step: of the last one its own, of the root all."""
        return flows(self.run, [step.event.id for step in self.steps])

    def flow(self, step: Step) -> Flow:
        """What goes back to a step of the chain."""
        return self._flow_of[step.event.id]

    @cached_property
    def _flow_of(self) -> dict[int, Flow]:
        events = (step.event.id for step in self.steps)
        return dict(zip(events, self.flows, strict=True))

    def table(self) -> "pa.Table":
        """A row for each step, with what goes back to it, as an Arrow table."""
        import pyarrow as pa

        columns = ("when", "kind", "subject", "who", "text", "note")
        return pa.table(
            {
                "event": [step.event.id for step in self.steps],
                "cause": [step.event.cause for step in self.steps],
                "time": [round(step.time, 9) for step in self.steps],
                **{c: [getattr(step, c) for step in self.steps] for c in columns},
                "forced_usd": [flow.usd for flow in self.flows],
                "lost_usd": [flow.lost for flow in self.flows],
                "forced_trades": [flow.trades for flow in self.flows],
            }
        )

    def __str__(self) -> str:
        """The chain as text; links that repeat are told once."""
        return "\n".join([self.title, *map(str, self.links())])

    def __repr__(self) -> str:
        return f"<Why {self.title} {len(self.steps)} steps>"

    def links(self) -> list[Step | Fold]:
        """The steps to be read: a trade with its order in one, repetitions folded."""
        merged = [
            step
            for i, step in enumerate(self.steps)
            # The trade says what its order was.
            if step.kind != ORDER or i == 0 or self.steps[i - 1].kind != TRADE
        ]
        return fold(merged, lambda step: (step.kind, step.subject, step.group))

    def _repr_html_(self) -> str:
        # A picture: root first, an arrow from each cause to its effect.
        items = [
            f'<li class="fold">{escape(link.text)}</li>'
            if isinstance(link, Fold)
            else _card(link, self.flow_text(link))
            for link in forward(self.links())
        ]
        return (
            f"<style>{CHAIN_STYLE}</style><p>{escape(self.title)}</p>"
            f'<ol class="chain">{"".join(items)}</ol>'
        )

    def flow_text(self, step: Step) -> str:
        """What goes back to a step, in words; empty if nothing does."""
        flow = self.flow(step)
        if not flow.trades:
            return ""
        what = "forced" if self.run.prints.forced.any() else "traded"
        lost = f", {short_usd(flow.lost)} lost" if flow.lost >= 0.5 else ""
        return f"{short_usd(flow.usd)} USD {what}{lost}"

    def figure(self) -> "Figure":
        """The chain as a figure, root at the top, as wide as what goes back to it.

        The width is that of the forced trades, US dollars; what was lost by them
        against the price outside is told as well. What leaves on the way went on
        elsewhere.
        """
        from .pages.cause_figures import chain_figure

        return chain_figure(self)


CHAIN_STYLE = """
.chain{list-style:none;margin:1em 0;padding:0 26px 0 0;display:grid;gap:14px 30px;
grid-template-columns:repeat(auto-fill,minmax(230px,1fr))}
.chain li{position:relative;box-sizing:border-box;padding:9px 12px 10px;
border:1px solid #8886;border-left:4px solid var(--kind,#888);
border-radius:6px;font-size:14px;line-height:1.4;overflow-wrap:anywhere}
.chain li:not(:last-child)::after{content:"→";position:absolute;right:-24px;top:50%;
transform:translateY(-50%);font-size:18px;opacity:.6}
.chain .fold{border-style:dashed;font-style:italic;align-self:center}
.chain b{display:block;font-size:12px;letter-spacing:.02em}
.chain i,.chain small{display:block;margin-top:3px;opacity:.75}
.chain small{font-size:12px}
.shock{--kind:#8c6bd1}.trade{--kind:#3b74c4}.index,.mark,.feed{--kind:#c98a1b}
.decision,.protocol{--kind:#5b8f3a}
.breach{--kind:#d2603a}.liquidation,.takeover,.adl{--kind:#c0343f}.withdrawal{--kind:#3f9a8c}
@media(max-width:560px){.chain{display:block;padding:0}
.chain li{margin-bottom:26px}
.chain li:not(:last-child)::after{content:"↓";right:50%;top:auto;bottom:-25px;
transform:none}}
"""


def _card(step: Step, flow: str) -> str:
    note = f"<i>{escape(step.note)}</i>" if step.note else ""
    note += f"<small>→ {escape(flow)}</small>" if flow else ""
    head = f"{escape(step.kind)} · {step.when}"
    return (
        f'<li class="{escape(step.kind)}"><b>{head}</b>{escape(step.text)}{note}</li>'
    )


def forward(links: Sequence[Step | Fold]) -> list[Step | Fold]:
    """Links from the root on; a fold comes after the pattern it repeats, as before."""
    turned: list[Step | Fold] = []
    waiting: Fold | None = None
    left = 0
    for link in reversed(links):
        if isinstance(link, Fold):
            waiting, left = link, link.links
            continue
        turned.append(link)
        left -= 1
        if waiting is not None and left == 0:
            turned.append(waiting)
            waiting = None
    return turned


def fold(
    steps: Sequence[Step], key: Callable[[Step], tuple[str, ...]]
) -> list[Step | Fold]:
    """Tell a pattern of steps that repeats once, and how often it came again.

    The pattern that covers most is taken at each place, the shorter one if equal.
    O(steps × LONGEST_PATTERN²).
    """
    keys = [key(step) for step in steps]
    links: list[Step | Fold] = []
    at = 0
    while at < len(steps):
        best, best_times = 0, 1
        for length in range(1, LONGEST_PATTERN + 1):
            times = 1
            while keys[at : at + length] == _slice(keys, at + times * length, length):
                times += 1
            if times >= SHORTEST_FOLD and times * length > best * best_times:
                best, best_times = length, times
        if not best:
            links.append(steps[at])
            at += 1
            continue
        links += steps[at : at + best]
        end = at + best * best_times
        links.append(Fold(best_times - 1, best, steps[at + best], steps[end - 1]))
        at = end
    return links


def _slice(keys: Sequence[Any], at: int, length: int) -> Sequence[Any]:
    # A pattern cut off by the end is none.
    return keys[at : at + length] if at + length <= len(keys) else ()


# -- FROM EVENTS TO WORDS


def why(run: "Run", market: int | None = None, event_id: int | None = None) -> Why:
    """The chain of an event; by default of the deepest print."""
    which = ""
    if event_id is None:
        event_id = int(run.prints.event[facts.deepest_print(run, market)])
        which = _deeper(run) if market is None else ""
    steps = tuple(Teller(run).steps(run.log.chain(event_id)))
    return Why(title=_title(run, steps[0], which), steps=steps, run=run)


def _deeper(run: "Run") -> str:
    # Of all forced trades the deepest is told: say what lies below it.
    row = facts.deeper_print(run)
    if row is None:
        return ""
    number, paid = int(run.prints.market[row]), float(run.prints.price[row])
    fall = percent(paid / float(run.prices_before[number]) - 1.0, sign=True)
    return (
        f" (the deepest forced print; the deepest of all, not forced, was "
        f"{run.names.markets[number]} at {price(paid)}, {fall})"
    )


def _title(run: "Run", step: Step, which: str) -> str:
    if step.kind != TRADE:
        return f"Why {step.kind} at {step.when}: {step.text}"
    market = step.event.market
    paid = step.event.price * float(run.names.tick[market])
    change = paid / float(run.prices_before[market]) - 1.0
    return (
        f"Why {step.subject} traded at {price(paid)} at {step.when}, "
        f"{percent(change, sign=True)} against its price before{which}:"
    )


@frozen
class Teller:
    """Tells events of a run in words."""

    run: "Run"

    def steps(self, chain: Sequence[Event]) -> list[Step]:
        """Tell a chain; a trade also says where its order was, if that comes next."""
        steps = [self.step(event) for event in chain]
        for i, (event, cause) in enumerate(pairwise(chain)):
            if event.kind == TRADE and cause.kind == ORDER and cause.qty > event.qty:
                lot = float(self.run.names.lot[event.market])
                part = (
                    f"{steps[i].text}, part of an order of {quantity(cause.qty * lot)}"
                )
                steps[i] = evolve(steps[i], text=part)
        if chain and chain[0].kind == TRADE:
            steps[0] = evolve(steps[0], note=self.resting(chain[0]))
        # Behind each trade comes its order.
        numbers = np.array([event.cause for event in chain], np.int64)
        for i in np.flatnonzero(self.run.log.met.of(numbers)).tolist():
            notes = steps[i].note, "its order met a book that had been emptied"
            steps[i] = evolve(steps[i], note="; ".join(filter(None, notes)))
        return steps

    def step(self, event: Event) -> Step:
        """Tell one event."""
        text, note = _TELL.get(event.kind, Teller.other)(self, event), ""
        if event.kind == "liquidation" and event.market >= 0:
            note = self.unfallen(event)
        return Step(
            event=event,
            time=event.time * NANO,
            when=facts.when(self.run, event.time * NANO),
            kind=event.kind,
            subject=self.subject(event),
            who=self.run.account(event.account),
            group=self.run.group(event.account) if event.account >= 0 else "",
            text=text,
            note=note,
        )

    def subject(self, event: Event) -> str:
        """The market or asset that an event is about."""
        names = self.run.names
        if event.market >= 0:
            return names.markets[event.market]
        return names.assets[event.asset] if event.asset >= 0 else ""

    def amount(self, event: Event) -> tuple[str, str, float]:
        """Coins, price and notional of a trade or order."""
        names = self.run.names
        qty = event.qty * float(names.lot[event.market])
        paid = event.price * float(names.tick[event.market])
        coins = f"{quantity(qty)} {names.assets[names.base[event.market]]}"
        return coins, price(paid), qty * paid

    # -- KINDS

    def trade(self, event: Event) -> str:
        """Who sold what to whom at what price."""
        coins, paid, notional = self.amount(event)
        verb, other = ("sold", "to") if event.side == Side.SELL else ("bought", "from")
        names = self.run.names
        quote = names.assets[names.quote[event.market]]
        return (
            f"{self.run.account(event.account)} {verb} {coins} on "
            f"{names.markets[event.market]} at {paid} ({quantity(notional)} {quote}) "
            f"{other} {self.run.account(event.counterparty)}"
        )

    def order(self, event: Event) -> str:
        """What was ordered."""
        who = self.run.account(event.account)
        if event.qty == 0:
            return f"{who} cancelled orders"
        coins, paid, _ = self.amount(event)
        verb = "sell" if event.side == Side.SELL else "buy"
        limit = f" at {paid}" if event.price else " at market"
        where = self.run.names.markets[event.market]
        return f"{who} sent an order to {verb} {coins} on {where}{limit}"

    def index(self, event: Event) -> str:
        """How far an index or mark moved."""
        before, arrow, after = event.text.partition(" -> ")
        name, _, old = before.rpartition(" ")
        if not arrow:
            return f"{event.kind} price of {event.text}"
        change = ""
        try:
            move = float(after) / float(old) - 1.0
            old, after = price(float(old)), price(float(after))
            change = f" ({percent(move, sign=True)})"
        except (ValueError, ZeroDivisionError):
            pass  # its first price: nothing to compare with
        return f"{event.kind} price of {name} went from {old} to {after}{change}"

    def breach(self, event: Event) -> str:
        """Whose health fell to the threshold, or near it, and what cost most."""
        subject = self.subject(event)
        what = "mark" if event.market >= 0 else "repricing"
        blame = f"; the {what} of {subject} cost it most" if subject else ""
        who = self.run.account(event.account)
        verb = "was warned at" if event.kind == "warning" else "fell to"
        return f"{who} {verb} health {event.value:.2f}{blame}"

    def liquidation(self, event: Event) -> str:
        """Which step the liquidation engine took."""
        subject = self.subject(event)
        where = f", {subject}" if subject else ""
        step = event.text.replace("_", " ")
        return f"liquidation of {self.run.account(event.account)}: {step}{where}"

    def takeover(self, event: Event) -> str:
        """What the insurance fund took over, or paid, or could not."""
        subject = self.subject(event)
        of = f" of {subject}" if subject else ""
        who = self.run.account(event.account)
        return f"{event.kind}{of} from {who}, {short_usd(event.value)} {event.text}"

    def adl(self, event: Event) -> str:
        """Whose position was closed against whose, at what price, and what it lost."""
        coins, paid, _ = self.amount(event)
        forgone = f"{short_usd(event.value)} USD of profit forgone"
        if event.value < 0:
            forgone = f"{short_usd(-event.value)} USD better than at mark"
        verb, other = ("bought", "from") if event.side == Side.SELL else ("sold", "to")
        winner = self.run.account(event.counterparty)
        return (
            f"{winner} was deleveraged: it {verb} {coins} on {self.subject(event)} at "
            f"{paid} {other} {self.run.account(event.account)}, {forgone}"
        )

    def socialised(self, event: Event) -> str:
        """How much of an account's debt others bore, and how many."""
        who = self.run.account(event.account)
        return (
            f"{event.qty} accounts bore {short_usd(event.value)} USD of what {who} owed"
        )

    def shock(self, event: Event) -> str:
        """What came from outside."""
        return event.text or f"shock to {self.subject(event)}"

    def protocol(self, event: Event) -> str:
        """Who did what at a protocol, and with how much."""
        who, asset = self.run.account(event.account), self.subject(event)
        much = f", {quantity(event.value)} {asset}" if event.value and asset else ""
        return f"{who}: {event.text}{much}"

    def other(self, event: Event) -> str:
        """Anything else, in its own words."""
        who, subject = self.run.account(event.account), self.subject(event)
        where = f" ({subject})" if subject and subject not in event.text else ""
        value = "" if np.isnan(event.value) else f", {usd(event.value)}"
        text = event.text or event.kind
        return f"{who}: {text}{where}{value}" if who else f"{text}{where}{value}"

    # -- NOTES

    def unfallen(self, event: Event) -> str:
        """Note that a coin was sold though its own price had not fallen."""
        change = facts.own_change(self.run, event.market)
        if not change > FLAT:
            return ""
        names = self.run.names
        coin = names.assets[names.base[event.market]]
        return (
            f"{coin} had not fallen when forced sales of it began: "
            f"{percent(change, sign=True)}"
        )

    def resting(self, event: Event) -> str:
        """Note how long the order that was hit had been there."""
        placed = int(self.run.log.placed(np.array([int(event.value)]))[0])
        if not 0 <= placed <= event.time:
            return ""
        age = (event.time - placed) * NANO
        if placed == 0:
            return "the order it hit was there from the start"
        return f"the order it hit was {seconds(age)} old"


_TELL: dict[str, Callable[[Teller, Event], str]] = {
    TRADE: Teller.trade,
    ORDER: Teller.order,
    "index": Teller.index,
    "mark": Teller.index,
    "breach": Teller.breach,
    "warning": Teller.breach,
    "liquidation": Teller.liquidation,
    "takeover": Teller.takeover,
    "fund": Teller.takeover,
    "claim": Teller.takeover,
    "adl": Teller.adl,
    "socialised": Teller.socialised,
    "shock": Teller.shock,
    "feed": Teller.index,
    "protocol": Teller.protocol,
}
