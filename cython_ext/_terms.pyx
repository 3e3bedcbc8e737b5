"""Checks of the curves that the risk pass is made of."""

import numpy as np

from ._curves cimport *


def positive(name, array, n):
    """A float64 array of n finite numbers above 0."""
    array = np.ascontiguousarray(array, np.float64)
    if array.shape != (n,) or not np.all(np.isfinite(array) & (array > 0)):
        raise ValueError(f"'{name}' must be {n} numbers above 0 (got {array}).")
    return array


def checked(name, curves, n):
    """Kinds, offsets and rows of n curves, as lists; ValueError if they are none."""
    kinds, at, rows = (np.asarray(part) for part in curves)
    if (kinds.shape != (n,) or at.shape != (n + 1,) or rows.ndim != 2
            or rows.shape[1] != 3 or at[0] != 0 or at[n] != len(rows)
            or np.any(np.diff(at) < 1)):
        raise ValueError(
            f"'{name}' must be {n} curves of at least one row each: kinds of length "
            f"{n}, offsets of length {n + 1} and rows of three.")
    kinds, at, rows = kinds.tolist(), at.tolist(), rows.tolist()
    for i, kind in enumerate(kinds):
        check_curve(f"{name}[{i}]", kind, rows[at[i]:at[i + 1]])
    return kinds, at, rows


def check_curve(name, kind, rows):
    """Raise ValueError for rows that no size could be valued with."""
    tiers = kind <= TIERS_QTY
    if not 0 <= kind < KINDS or (not tiers and len(rows) > 1):
        raise ValueError(f"'{name}' must be a kind of curve with its rows "
                         f"(got kind {kind} with {len(rows)} rows).")
    sizes = [x for row in rows for x in (row[:2] if tiers else row)]
    if kind == SQRT_RATE:
        sizes.remove(rows[0][1])  # the base may be below zero
    falling = any(low[0] >= high[0] for low, high in zip(rows, rows[1:]))
    if (not all(0 <= x < INFINITY for x in sizes) or falling
            or (tiers and rows[0][0] + abs(rows[0][2]) != 0)):
        raise ValueError(
            f"'{name}' must have finite rows, at least 0, from 0 up (got {rows}).")


def jumps(kind, rows):
    """Whether the two tiers at a floor give different amounts there."""
    return kind <= TIERS_QTY and any(
        abs((floor * higher - more) - (floor * rate - cum))
        > 1e-9 * floor * (rate + higher)
        for (_, rate, cum), (floor, higher, more) in zip(rows, rows[1:]))
