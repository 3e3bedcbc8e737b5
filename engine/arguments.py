"""What a public function was given: checks that name the argument and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from operator import index
from typing import NoReturn

from ..margin.presets import shown


def suggest(word: object, words: Iterable[str], *, listed: int = 12) -> str:
    """The end of a message: the nearest right word, and all of them if they are few.

    >>> suggest("tik", ["tick", "lot"])
    "; did you mean 'tick'? (tick, lot)"
    >>> suggest("x", [])
    ''
    """
    known = list(words)
    lower = {name.lower(): name for name in reversed(known)}
    close = get_close_matches(str(word).lower(), lower, 1)
    near = f"; did you mean {lower[close[0]]!r}?" if close else ""
    listing = f" ({', '.join(known)})" if 0 < len(known) <= listed else ""
    return near + listing


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
