"""A finished run: what happened, why, and how to show and keep it."""

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from ..margin.presets import nearest
from ..orderbook.messages import ACCOUNT_MAX
from . import facts
from .arguments import expect, whole_number
from .events import Event, EventLog
from .prints import NANO, Prints, fill_pieces, prints
from .record import Names, Series

if TYPE_CHECKING:
    import pyarrow as pa
    from plotly.graph_objects import Figure

    from .causes import Links
    from .edits import Edit
    from .journal import Deeds
    from .own import Agent
    from .running import Simulation
    from .scenario import LoadedScenario
    from .story import Story
    from .streams import Stream
    from .summary import Summary
    from .why import Why


MEMBERS = {
    "market_makers": "market maker",
    "traders": "trader",
    "population": "account",
    "holders": "holder",
    "whales": "whale",
    "liquidation_bots": "liquidation bot",
    "stale_bids": "stale bidder",
    "bargain_hunters": "bargain hunter",
    "arbitrage": "arbitrageur",
    "cross_arbitrage": "arbitrageur between books",
    "background": "everyday flow",
    "chain": "protocol",
    "wallets": "wallet",
    "loops": "loop borrower",
    "loans": "borrower",
    "liquidators": "liquidator",
    "redeemers": "redeemer",
    "cycles": "arbitrageur on chain",
    "runners": "holder on chain",
    "issuers": "issuer",
    "shocks": "shock account",
    "counterparties": "counterparty",
    "agents": "agent",
    "visitors": "visitor",
}
"""What one account of a class is called."""


NOBODY = -1
"""Number of the account of an event that is about none."""


class UnknownMarket(LookupError):
    """A market that the run does not have."""


@frozen(eq=False, repr=False, kw_only=True)
class Run:
    """One replay of a scenario. ``scenario.run(seed)`` makes one; nothing changes it.

    ``log`` holds every event with its cause, ``series`` the samples, ``names`` what
    the numbers in both mean. ``outcome`` are figures of the state at the end.
    """

    scenario: "LoadedScenario"
    seed: int
    log: EventLog
    names: Names
    series: Series
    outcome: dict[str, float] = field(factory=dict)
    deeds: "Deeds | None" = None  # what participants did beside messages
    agents: "dict[str, Agent]" = field(factory=dict)  # of one's own, as they ended
    replayed: str = ""  # what was replayed of a stream, and how; "" for a simulation
    edits: "tuple[Edit, ...]" = ()  # what was done on the way, in order
    kept: "tuple[Simulation, ...]" = ()  # forks on the way, in order

    def __repr__(self) -> str:
        """The scenario, what was changed in it, and the seed."""
        return f"<Run {self.label}, seed {self.seed}: {len(self.prints.time):,} trades>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def label(self) -> str:
        """The scenario's name and what was changed in it."""
        changes = [f"{path}={value}" for path, value in self.scenario.changes.items()]
        return ", ".join([self.scenario.name, *changes, *self.apart])

    @property
    def apart(self) -> list[str]:
        """What makes it another run than one of its scenario, in words."""
        agents = [f"with {name}" for name in self.agents]
        replayed = [self.replayed] if self.replayed else []
        return [*agents, *replayed, *(edit.label for edit in self.edits)]

    def at(self, time: str | float) -> "Simulation":
        """The simulation as it was at a time, to go on from in another way.

        ``time`` is a time of day, as in ``"21:15"``, or seconds since the start. It is
        made again from the scenario and the seed, or gone on to from a fork that
        `Simulation.finish` kept. ValueError for a run that they do not give again.
        """
        from .running import entered

        return entered(self, time)

    # -- WHAT IT COMES TO

    def measures(self) -> dict[str, Any]:
        """The figures that targets of a scenario name, by their names."""
        return dict(self._measures)

    def measure(self, name: str, window: tuple[str, str] | None = None) -> Any:
        """One of them, or one that takes an argument; of a window if one is given.

        ``window`` are two times of day, as in ``("21:09", "22:00")``. LookupError if
        there is no such measure, or the run cannot tell it: the text says why.
        """
        from .crash import lookup

        return lookup(self, name, window)

    def summary(self) -> "Summary":
        """Falls, forced sales, market makers' leverage and losses, as tables."""
        from .summary import summarize

        return summarize(self)

    # -- WHAT HAPPENED

    def trades(self, market: str | None = None) -> "pa.Table":
        """All trades, or those of one market, as an Arrow table.

        Times are seconds, prices in the quote asset, quantities in the base asset.
        """
        from .tables import trades

        return trades(self, None if market is None else self.market(market))

    def events(self) -> "pa.Table":
        """All events but orders and trades, as an Arrow table."""
        from .tables import events

        return events(self)

    def messages(self) -> "pa.Table":
        """All messages to the books and what became of them, as an Arrow table."""
        from .tables import messages

        return messages(self)

    def replies(self) -> "pa.Table":
        """How many messages of each class got which reply, as an Arrow table.

        StreamError if the run kept only the messages that traded.
        """
        from .replies import replies

        return replies(self)

    def stream(self) -> "Stream":
        """All that participants sent and did, to be edited and replayed.

        StreamError if the run kept only the messages that traded.
        """
        from .streams import stream_of

        return stream_of(self)

    def samples(self) -> "pa.Table":
        """The series as an Arrow table: one row for each time, subject and measure."""
        from .tables import samples

        return samples(self)

    # -- WHY

    def why(self, market: str | None = None, event_id: int | None = None) -> "Why":
        """The deepest print, of the run or of a market, walked back to its root.

        ``event_id`` asks for another event instead. UnknownMarket if the run has no
        such market, LookupError if it has no such event or nothing traded there.
        """
        from .why import why

        number = None if market is None else self.market(market)
        return why(self, number, event_id)

    def story(self, account: int | str | None = None) -> "Story":
        """How an account came to be liquidated and what became of it, line by line.

        By its number or name; by default of the largest market maker that was
        liquidated, failing that of the account with most traded by force.
        UnknownAccount if the run has no such account, LookupError if none is named and
        nobody was liquidated.
        """
        from .telling import story

        return story(self, account)

    def causes(self) -> "pa.Table":
        """Forced trades summed by where their causes began, as an Arrow table.

        One row for each root, repriced asset, class of accounts, market and generation
        (how many breaches lie between root and trade, the own one included). ``usd`` is
        what was traded, ``lost`` what that cost against the price outside.
        """
        from .causes import causes

        return causes(self)

    # -- PICTURES AND FILES

    def plot(self, market: str | None = None) -> "Figure":
        """Price, liquidations and bid depth of a market; that of the deepest fall.

        Without a market the prices of pools and feeds.
        """
        from .chain_summary import chain_figure
        from .pages.figures import price_figure

        if market is None and not self.names.markets:
            return chain_figure(self)
        return price_figure(self, self._chosen(market))

    def flow(self) -> "Figure":
        """All forced volume, from shock and repriced asset to market and wick.

        As `causes`, but as a picture: as wide as the US dollars traded by force.
        """
        from .pages.cause_figures import flow_figure

        return flow_figure(self)

    def report(self, path: str | PathLike[str], others: Sequence["Run"] = ()) -> Path:
        """Write everything into one HTML file that needs no network.

        ``others`` are runs to compare with, such as variations of the same seed.
        RunFileError if the file cannot be written.
        """
        from .pages.page import page_path, write_page
        from .pages.report import run_report

        expect("others", others, Sequence, "a list of runs to compare with")
        for other in others:
            expect("others", other, Run, "a list of runs to compare with")
        page_path(path)
        return write_page(run_report(self, others), path)

    def save(
        self,
        directory: str | PathLike[str],
        *,
        messages: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write tables as Parquet and a manifest that reproduces them.

        RunFileError if the directory holds a run already and ``overwrite`` is not set,
        or something else.
        """
        from .store import save

        expect("directory", directory, (str, PathLike), "the path of a directory")
        return save(self, directory, messages=messages, overwrite=overwrite)

    # -- NAMES

    def market(self, name: str) -> int:
        """Number of a market; UnknownMarket with the nearest name if there is none."""
        known = self.names.markets
        if name in known:
            return known.index(name)
        if not known:
            raise UnknownMarket(f"this run has no markets (got {name!r})")
        raise UnknownMarket(
            f"'market' must be one of {', '.join(known)} (got {name!r})"
            + nearest(name, known)
        )

    def account(self, number: int) -> str:
        """Name of an account: its own, or its class and number."""
        group = self.group(number)
        if number < 0:
            return ""
        own = self.names.accounts.get(number)
        return own or f"{MEMBERS.get(group, group)} {number}"

    def group(self, number: int) -> str:
        """Class of an account."""
        told = "0 on, as events and trades have it"
        number = whole_number("number", number, NOBODY, ACCOUNT_MAX, told)
        if not 0 <= number < len(self.names.account_class):
            return "account"
        return self.names.classes[int(self.names.account_class[number])]

    def _chosen(self, market: str | None) -> int:
        if market is not None:
            return self.market(market)
        return facts.chosen_market(self)

    # -- COMPUTED ONCE

    @cached_property
    def prints(self) -> Prints:
        """All trades as arrays."""
        return prints(self.log, self.names, self.series)

    @cached_property
    def _measures(self) -> dict[str, Any]:
        from .measures import measure

        return measure(self)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the trades."""
        from .store import digest

        return digest(*(rows for _, rows in fill_pieces(self.log)))

    @cached_property
    def start(self) -> float:
        """When the first shock came, seconds; 0 without shocks."""
        times = [event.time * NANO for event in self.shocks]
        return min(times, default=0.0)

    @cached_property
    def shocks(self) -> list[Event]:
        """The shocks, as they came."""
        return list(self.log.single("shock"))

    @cached_property
    def prices_before(self) -> facts.Floats:
        """Price of each market before the first shock."""
        return facts.prices_before(self)

    @cached_property
    def price_left(self) -> facts.Floats:
        """Price of each trade over that of its market before the first shock."""
        prints = self.prints
        return np.asarray(prints.price / self.prices_before[prints.market])

    @cached_property
    def chosen_market(self) -> int:
        """The market that a picture of the run shows first."""
        return facts.first_market(self)

    @cached_property
    def depth_before(self) -> facts.Floats:
        """Bid depth of each market before the first shock, US dollars."""
        return facts.depth_before(self)

    @cached_property
    def deepest_prints(self) -> dict[tuple[int | None, bool], int]:
        """What `facts.deepest_print` has found."""
        return {}

    @cached_property
    def market_facts(self) -> list[facts.MarketFacts]:
        """What became of each market."""
        return facts.market_facts(self)

    @cached_property
    def maker_facts(self) -> list[facts.MakerFacts]:
        """What became of each market maker."""
        return facts.maker_facts(self)

    @cached_property
    def sale_facts(self) -> list[facts.SaleFacts]:
        """What the liquidation engine traded in each market."""
        return facts.sale_facts(self)

    @cached_property
    def venue_facts(self) -> facts.VenueFacts:
        """What the whole run comes to."""
        return facts.venue_facts(self)

    @cached_property
    def links(self) -> "Links":
        """The cause of every event."""
        from .causes import Links

        return Links.of(self.log)

    @cached_property
    def order_causes(self) -> facts.Integers:
        """The event that caused the order behind each trade."""
        # An order that waited for a trigger was sent in by that event.
        return self.links.cause[self.prints.order]
