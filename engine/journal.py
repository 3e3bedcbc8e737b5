"""What participants do beside sending messages, noted so that it can be repeated.

A message to the books is in the event log. What else an agent does when it wakes is
here: it tells of a decision, brings coins to the venue or takes them away, moves an
outside price by trading there.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .events import NO_CAUSE

if TYPE_CHECKING:
    from .simulation import World

Rows = NDArray[np.void]
Integers = NDArray[np.int64]

GATEWAY = "gateway"
"""Who tells of messages that the gateway turned away."""


class Deed(IntEnum):
    """What a participant does beside sending messages."""

    NOTE = 0  # it tells something: an event of the log
    MOVE = 1  # it brings coins to an account, or takes them away
    OUTSIDE = 2  # its trade elsewhere moves an outside price
    WAKE = 3  # it wakes, of those whose wake-ups are their own affair


DEED = np.dtype(
    [
        ("time", "<i8"),
        ("sender", "<i4"),  # number in `Deeds.senders`
        ("kind", "<i4"),
        ("event", "<i8"),  # of a note
        ("asset", "<i4"),
        ("account", "<i4"),
        ("atoms", "<i8"),  # brought; taken away below 0
        ("usd", "<f8"),  # bought elsewhere; sold below 0
    ]
)


@frozen(eq=False)
class Deeds:
    """The journal of a finished run.

    ``owners`` are first account, count and sender of each group of accounts;
    ``served`` the first event and the number of messages of each batch that came
    through the gateway; ``first_event`` that of the run, after the building.
    ``own`` says which accounts agents of one's own opened, and with how many atoms.
    """

    rows: Rows
    senders: tuple[str, ...]
    owners: tuple[tuple[int, int, str], ...]
    served: Integers
    first_event: int
    first_order: int
    own: dict[str, list[dict[int, int]]]


class Journal:
    """Notes of a running world; nothing is noted before the clock starts."""

    def __init__(self) -> None:
        self.senders: dict[str, int] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._served: list[tuple[int, int]] = []
        self.awake = ""  # whoever acts now
        self.first_event = self.first_order = 0

    def begin(self, event: int, order: int) -> None:
        """The world is built: the clock starts with these numbers."""
        self.first_event, self.first_order = event, order

    def served(self, event: int, count: int) -> None:
        """Note a batch that the gateway served, by its first event."""
        self._served.append((event, count))

    def note(self, sender: str, time: int, first: int, end: int) -> None:
        """Note events that a sender logged, from the first to before the end."""
        for event in range(first, end):
            self._add(time, sender, Deed.NOTE, event=event)

    def woke(self, sender: str, time: int) -> None:
        """Note a wake-up."""
        self._add(time, sender, Deed.WAKE)

    def moved(self, time: int, asset: int, account: int, atoms: int) -> None:
        """Note coins brought by whoever is awake."""
        if self.awake:
            names = {"asset": asset, "account": account, "atoms": atoms}
            self._add(time, self.awake, Deed.MOVE, **names)

    def traded(self, time: int, asset: int, usd: float) -> None:
        """Note a trade elsewhere of whoever is awake."""
        if self.awake:
            self._add(time, self.awake, Deed.OUTSIDE, asset=asset, usd=usd)

    def _add(
        self,
        time: int,
        sender: str,
        kind: Deed,
        *,
        event: int = NO_CAUSE,
        asset: int = -1,
        account: int = -1,
        atoms: int = 0,
        usd: float = 0.0,
    ) -> None:
        number = self.senders.setdefault(sender, len(self.senders))
        row = (time, number, int(kind), event, asset, account, atoms, usd)
        self._rows.append(row)

    def deeds(self, world: "World") -> Deeds:
        """What was noted, for a finished run."""
        return Deeds(
            rows=np.array(self._rows, DEED),
            senders=tuple(self.senders),
            owners=tuple(world.owners),
            served=np.array(self._served, np.int64).reshape(-1, 2),
            first_event=self.first_event,
            first_order=self.first_order,
            own={name: seat.deposits for name, seat in world.party.seats.items()},
        )
