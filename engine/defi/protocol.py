"""What every protocol has in common: it moves assets, or refuses and changes nothing.

A protocol is an immutable state. An action is a method that checks first and returns
the state after it together with the transfers that it makes; a refused action raises
`Refused` and leaves the state as it was, since nothing can change it. Holdings lie in a
ledger, which books the transfers: see `booking`.
"""

from typing import NamedTuple

from ...margin.feeds import SECOND_NS as SECOND_NS
from ...margin.feeds import YEAR_S as YEAR_S
from ...margin.refusal import Refused as Refused
from ...margin.refusal import require as require
from ...margin.refusal import require_known as require_known

ISSUED = "issued"
"""The other side of every token that a protocol creates: holds minus its supply."""


class Transfer(NamedTuple):
    """Atoms of an asset from one holder to another, in the order of the ledger's."""

    asset: str
    source: str
    target: str
    atoms: int


def require_amount(field: str, atoms: object) -> None:
    """Refuse what is no whole number of atoms above 0."""
    right = isinstance(atoms, int) and not isinstance(atoms, bool) and atoms > 0
    require(right, field, "be a whole number of atoms above 0", atoms)


def transfers(*moves: Transfer) -> tuple[Transfer, ...]:
    """The moves that move something."""
    return tuple(move for move in moves if move.atoms)


def ceil_div(a: int, b: int) -> int:
    """The quotient rounded up.

    >>> ceil_div(7, 2), ceil_div(8, 2)
    (4, 4)
    """
    return -(-a // b)
