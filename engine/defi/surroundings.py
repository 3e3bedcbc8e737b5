"""Protocols beside an exchange: their states, what is done there, what caused it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from ..events import NO_CAUSE, EventLog
from .booking import Booking
from .protocol import Transfer, require_known


class Place(Protocol):
    """A protocol's state: what its account holds, and a way to check itself."""

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""

    def _check(self) -> None:
        """Assert every invariant."""


class Deed(NamedTuple):
    """What somebody did at a place, for the log: of which asset how many units."""

    place: str
    text: str
    asset: str = ""
    units: float = 0.0


Result = TypeVar("Result")


class Surroundings:
    """Pools, markets and issuers around an exchange, in one ledger.

    ``places`` are the protocols by the name of their account. Every action is booked
    before its state counts; a refused one changes nothing and tells nothing.
    ``touched`` is the last event at each place; an event of the log names who acted and
    the account of the place.
    """

    def __init__(
        self,
        booking: Booking,
        places: Mapping[str, Place],
        log: EventLog | None = None,
    ) -> None:
        self.booking = booking
        self.places = dict(places)
        self.log = EventLog() if log is None else log
        self.touched: dict[str, int] = {}

    def do(
        self,
        place: str,
        action: Callable[[Any], tuple[Any, Result]],
        *,
        text: str,
        who: str,
        now_ns: int,
        asset: str = "",
        units: float = 0.0,
        cause: int = NO_CAUSE,
    ) -> Result:
        """Take an action at a place, book it, and keep the state it leads to.

        ``action`` gets the state and returns the one after it and a result that has
        transfers, or is their tuple.
        """
        require_known("place", place, self.places)
        after, result = action(self.places[place])
        given: Any = result
        moves: tuple[Transfer, ...] = getattr(given, "transfers", given)
        deed = Deed(place, text, asset, units)
        self.keep({place: after}, moves, [deed], who, now_ns, cause)
        return result

    def keep(
        self,
        states: Mapping[str, Place],
        moves: tuple[Transfer, ...],
        deeds: list[Deed],
        who: str,
        now_ns: int,
        cause: int = NO_CAUSE,
    ) -> int:
        """Book the transfers of a transaction, keep its states, and tell its deeds.

        Each deed is caused by the one before. Returns the event of the last, which is
        also that of places that were changed by deeds elsewhere.
        """
        self.booking.book(moves)
        changed = [p for p, state in states.items() if self.places.get(p) is not state]
        self.places.update(states)
        own = {deed.place for deed in deeds}
        for deed in deeds:
            cause = self.tell(deed, who, now_ns, cause)
            self.touched[deed.place] = cause
        self.touched.update((place, cause) for place in changed if place not in own)
        return cause

    def tell(self, deed: Deed, who: str, now_ns: int, cause: int = NO_CAUSE) -> int:
        """Log a deed; return its event."""
        booking = self.booking
        return self.log.add(
            "protocol",
            now_ns,
            cause,
            account=booking.accounts[who],
            counterparty=booking.accounts.get(deed.place, -1),
            asset=booking.numbers.get(deed.asset, -1),
            value=deed.units,
            text=f"{deed.text} at {deed.place}" if deed.place else deed.text,
        )

    def _check(self) -> None:
        """Assert that every place is sound and holds in the ledger what it says."""
        for name, state in self.places.items():
            state._check()
            for asset, atoms in state.holds.items():
                assert self.booking.balance(name, asset) == atoms, (name, asset)
        assert not self.booking.beside.totals().any()
