"""The state of a running simulation: copied in memory, written down, read back.

Both are one walk: pickle's, of protocol 5. In memory, arrays are copied as they are met
and what never changes is shared; the arrays of kernels are handed over where they lie
and copied once, into those of the new kernel.
"""

import gc
import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs
import numpy as np

PROTOCOL = 5

PACKAGE = __name__.partition(".")[0] + "."

Thing = TypeVar("Thing")


@attrs.frozen
class _Frozen:
    pass


_FROZEN: Any = _Frozen.__setattr__


class Kept:
    """What is recorded and never changed any more: copies share it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def given(place: int) -> Any:
    """Stand for what a copy is given as it is; only a `_Copier` can read it."""
    raise pickle.UnpicklingError(f"thing {place} is of a copy in memory, not of a file")


class _Taker(pickle.Pickler):
    """Takes a thing apart; ``things`` are what the copy gets as it is."""

    def __init__(self, file: io.BytesIO) -> None:
        self.things: list[Any] = []
        self.buffers: list[pickle.PickleBuffer] = []
        super().__init__(file, PROTOCOL, buffer_callback=self.buffers.append)

    def reducer_override(self, thing: Any) -> Any:
        """Copy arrays, share what cannot change, leave the rest to pickle."""
        kind = type(thing)
        if kind is np.ndarray:
            if not thing.dtype.hasobject:
                return self._give(thing if _fixed(thing) else thing.copy(order="K"))
        elif kind is Kept or is_frozen(kind):
            return self._give(thing)
        elif isinstance(thing, type) and "<locals>" in thing.__qualname__:
            # Classes without an address, which only a file would need.
            return self._give(thing)
        return NotImplemented

    def _give(self, thing: Any) -> tuple[Callable[[int], Any], tuple[int]]:
        self.things.append(thing)
        return given, (len(self.things) - 1,)


class _Copier(pickle.Unpickler):
    """Puts together what a `_Taker` took apart."""

    def __init__(self, file: io.BytesIO, taker: _Taker) -> None:
        super().__init__(file, buffers=taker.buffers)
        self._given = taker.things.__getitem__

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function by its name."""
        if name == given.__name__ and module == __name__:
            return self._given
        return super().find_class(module, name)


_KNOWN: dict[type, bool] = {}


def is_frozen(kind: type) -> bool:
    """Whether things of a class never change: frozen ones of this package."""
    if kind not in _KNOWN:
        own = kind.__module__.startswith(PACKAGE)
        _KNOWN[kind] = own and kind.__setattr__ is _FROZEN
    return _KNOWN[kind]


def fix(*arrays: Any) -> None:
    """Let nobody write to arrays any more, so that copies share them."""
    for array in arrays:
        while isinstance(array, np.ndarray):
            array.flags.writeable = False
            array = array.base


def _fixed(array: Any) -> bool:
    # Nobody can write to it, through no other array either.
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or memoryview(array).readonly


def copied(thing: Thing) -> Thing:
    """Return an independent copy; what never changes is shared.

    What is not plain data raises what pickle raises, and names it.
    """
    file = io.BytesIO()
    taker = _Taker(file)
    # Nothing of what is made here is garbage; to look for some took a fifth of it.
    collects = gc.isenabled()
    gc.disable()
    try:
        taker.dump(thing)
        file.seek(0)
        found: Thing = _Copier(file, taker).load()
    finally:
        if collects:
            gc.enable()
    return found


def taken(thing: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Return a thing as bytes and, apart from them, its arrays where they lie."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(thing, PROTOCOL, buffer_callback=buffers.append)
    return text, buffers


def put_together(text: bytes, buffers: Iterable[bytearray]) -> Any:
    """Return the thing of bytes and arrays that `taken` gave.

    Whoever wrote the bytes can have anything done here: they are to be trusted.
    """
    return pickle.loads(text, buffers=buffers)
