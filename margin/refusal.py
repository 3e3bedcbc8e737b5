"""What is wrong with one value is told by its name, what it must be, and what it is."""

from collections.abc import Mapping

from .presets import nearest, shown


class Refused(ValueError):
    """A protocol or a policy does not take a value; nothing has changed."""


def require(right: bool, field: str, must: str, got: object) -> None:
    """Refuse a value of ``field`` that is not what it must be.

    >>> require(2 > 3, "amount", "be above 3 atoms", 2)
    Traceback (most recent call last):
    flashwick.margin.refusal.Refused: 'amount' must be above 3 atoms (got 2)
    """
    if not right:
        raise Refused(f"{field!r} must {must} (got {shown(got)})")


def require_known(field: str, name: str, known: Mapping[str, object]) -> None:
    """Refuse a name that is not known here, with the nearest that is."""
    if name not in known:
        raise Refused(
            f"{field!r} must be one of {', '.join(map(repr, known)) or 'none'} "
            f"(got {shown(name)}){nearest(name, known)}"
        )
