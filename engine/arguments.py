"""What a public function was given: checks that name the argument and the remedy."""

from operator import index
from typing import NoReturn

from ..margin.presets import shown, suggest

__all__ = ["expect", "refuse", "suggest", "whole_number"]


def expect(name: str, value: object, kind: type | tuple[type, ...], told: str) -> None:
    """Refuse an argument that is of no such kind; TypeError with what it must be.

    >>> expect("run", 1, str, "the name of one")
    Traceback (most recent call last):
    TypeError: 'run' must be the name of one (got 1)
    """
    if not isinstance(value, kind):
        refuse(name, value, told)


def refuse(name: str, value: object, told: str) -> NoReturn:
    """TypeError with what an argument must be, and what came."""
    raise TypeError(f"{name!r} must be {told} (got {shown(value)})")


def whole_number(name: str, value: object, least: int, most: int, told: str) -> int:
    """An argument as an int; ValueError unless it is one from least to most.

    ``told`` is how the range reads in the message.
    """
    try:
        number = least - 1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        text = f"{name!r} must be a whole number from {told} (got {shown(value)})"
        raise ValueError(text)
    return number
