"""Numbers that callers pass: whole ones that their field holds, or an error.

Both books ask here, so that they refuse the same with the same words.
"""

from operator import index

import numpy as np

cdef extern from "Python.h":
    bint PyBool_Check(object value)
    bint PyLong_Check(object value)
    int64_t PyLong_AsLongLongAndOverflow(object value, int* overflow) noexcept

WORDS = {
    "price": "a whole number of ticks",
    "protection": "a whole number of ticks",
    "trigger": "a whole number of ticks",
    "qty": "a whole number of lots",
    "display": "a whole number of lots",
    "side": "a Side, 0 (buy) or 1 (sell)",
    "tif": "a TimeInForce, 0 (GTC), 1 (IOC) or 2 (FOK)",
    "flags": "a Flag, or several joined by |",
    "flag": "Flag.TRIGGER_MARK or Flag.TRIGGER_INDEX",
    "phase": "a Phase, 0 (OPEN), 1 (HALTED) or 2 (CALL)",
    "mode": "a SelfTrade from 0 to 4",
    "ppm": "a whole number of millionths: 200_000 for a share of 0.2",
    "window_ns": "a whole number of nanoseconds",
    "time": "a whole number of nanoseconds",
}


def require_whole(name, value, low=INT64_MIN, high=INT64_MAX):
    """Return a whole number from ``low`` to ``high``; TypeError or ValueError if not.

    NumPy's integers are taken as well; a float is not, not even a whole one, nor is a
    bool.
    """
    return bounded(name, value, low, high)


def require_bool(name, value):
    """Return True or False, NumPy's too; TypeError if it is neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"'{name}' must be True or False (got {value!r}).")
    return bool(value)


def require_wholes(name, values):
    """Return a row of whole numbers as int64; TypeError if it is something else."""
    found = np.asarray(values)
    if found.ndim == 1 and found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise TypeError(f"'{name}' must be a row of whole numbers (got {values!r}).")
    return np.ascontiguousarray(found, np.int64)


cdef int64_t judged(str name, object value, int64_t low, int64_t high) except? -1:
    cdef int overflow = 1
    cdef int64_t number
    if PyLong_Check(value) and not PyBool_Check(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow == 0 and low <= number <= high:
            return number
    try:
        if PyBool_Check(value):
            raise TypeError     # index() would take it for 0 or 1
        found = index(value)
    except TypeError:
        what = WORDS.get(name, "a whole number")
        raise TypeError(f"'{name}' must be {what} (got {value!r}).") from None
    if not low <= found <= high:
        raise ValueError(f"'{name}' must be from {low} to {high} (got {found}).")
    return found
