"""What every protocol has in common: it moves assets, or refuses and changes nothing.

A protocol is an immutable state. An action is a method that checks first and returns
the state after it together with the transfers that it makes; a refused action raises
`Refused` and leaves the state as it was, since nothing can change it. Holdings lie in a
ledger, which books the transfers: see `booking`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ...margin.presets import nearest, shown

ISSUED = "issued"
"""The other side of every token that a protocol creates: holds minus its supply."""

SECOND_NS = 1_000_000_000
YEAR_S = 365 * 24 * 3600
"""A year of the lending protocols, seconds."""


class Transfer(NamedTuple):
    """Atoms of an asset from one holder to another, in the order of the ledger's."""

    asset: str
    source: str
    target: str
    atoms: int


class Refused(ValueError):
    """A protocol does not take an action; nothing has changed."""


def require(right: bool, field: str, must: str, got: object) -> None:
    """Refuse an action whose ``field`` is not what it must be.

    >>> require(2 > 3, "amount", "be above 3 atoms", 2)
    Traceback (most recent call last):
    flashwick.engine.defi.protocol.Refused: 'amount' must be above 3 atoms (got 2)
    """
    if not right:
        raise Refused(f"{field!r} must {must} (got {shown(got)})")


def require_amount(field: str, atoms: object) -> None:
    """Refuse what is no whole number of atoms above 0."""
    right = isinstance(atoms, int) and not isinstance(atoms, bool) and atoms > 0
    require(right, field, "be a whole number of atoms above 0", atoms)


def require_known(field: str, name: str, known: Mapping[str, object]) -> None:
    """Refuse a name that is not known here, with the nearest that is."""
    if name not in known:
        raise Refused(
            f"{field!r} must be one of {', '.join(map(repr, known)) or 'none'} "
            f"(got {shown(name)}){nearest(name, known)}"
        )


def transfers(*moves: Transfer) -> tuple[Transfer, ...]:
    """The moves that move something."""
    return tuple(move for move in moves if move.atoms)


def ceil_div(a: int, b: int) -> int:
    """The quotient rounded up.

    >>> ceil_div(7, 2), ceil_div(8, 2)
    (4, 4)
    """
    return -(-a // b)
