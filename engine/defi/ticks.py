"""Prices and amounts of concentrated liquidity, as Uniswap v3 computes them.

A price is held as its square root times 2**96; ticks are powers of 1.0001. Amounts a
trader puts in are rounded up, those taken out down. Numbers beyond 256 bits, at which
the contract takes another path, are treated as it does.

Source: Uniswap/v3-core d8b1c635, ``TickMath``, ``SqrtPriceMath``, ``SwapMath``.
"""

from math import isqrt, log, sqrt
from typing import NamedTuple

from .protocol import Refused, ceil_div, require

TICK_MAX = 887_272
Q96 = 2**96
_FRACTION = 600  # bits that the ratios are computed with


def _ratios() -> tuple[int, ...]:
    # 2**128 / 1.0001**(2**i / 2), to the nearest integer.
    root = isqrt((10_000 << 2 * _FRACTION) // 10_001)
    found = []
    for _ in range(20):
        found.append(((root >> (_FRACTION - 129)) + 1) >> 1)
        root = root * root >> _FRACTION
    return tuple(found)


_RATIOS = _ratios()


def sqrt_at_tick(tick: int) -> int:
    """The square root of 1.0001**tick, times 2**96 and rounded up.

    >>> sqrt_at_tick(0) == 2**96
    True
    """
    size = abs(tick)
    require(size <= TICK_MAX, "tick", f"be from -{TICK_MAX} to {TICK_MAX}", tick)
    ratio = 1 << 128
    for bit, factor in enumerate(_RATIOS):
        if size >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return ceil_div(ratio, 2**32)


SQRT_MIN = sqrt_at_tick(-TICK_MAX)
SQRT_MAX = sqrt_at_tick(TICK_MAX)


def tick_at_sqrt(sqrt_price: int) -> int:
    """The highest tick whose price is at most this one.

    >>> tick_at_sqrt(2**96 - 1), tick_at_sqrt(2**96)
    (-1, 0)
    """
    right = SQRT_MIN <= sqrt_price < SQRT_MAX
    require(right, "sqrt_price", f"be from {SQRT_MIN} to below {SQRT_MAX}", sqrt_price)
    # The logarithm is near enough to guess; integers decide.
    tick = int(2.0 * log(sqrt_price / Q96) / log(1.0001))
    tick = max(-TICK_MAX, min(tick, TICK_MAX - 1))
    while sqrt_at_tick(tick) > sqrt_price:
        tick -= 1
    while sqrt_at_tick(tick + 1) <= sqrt_price:
        tick += 1
    return tick


def sqrt_of(price: float) -> int:
    """A price, atoms of the second asset for one of the first, as the pools hold it."""
    require(price > 0.0, "price", "be above 0", price)
    return int(sqrt(price) * Q96)


# -- Amounts between two prices


def amount0_delta(a: int, b: int, liquidity: int, up: bool) -> int:
    """Atoms of the first asset between two prices: ``L·(1/√a − 1/√b)``."""
    low, high = min(a, b), max(a, b)
    require(low > 0, "sqrt_price", "be above 0", low)
    top = (liquidity << 96) * (high - low)
    if up:
        return ceil_div(ceil_div(top, high), low)
    return top // high // low


def amount1_delta(a: int, b: int, liquidity: int, up: bool) -> int:
    """Atoms of the second asset between two prices: ``L·(√b − √a)``."""
    top = liquidity * abs(b - a)
    return ceil_div(top, Q96) if up else top // Q96


# -- The price that an amount leads to


def _move_by_0(price: int, liquidity: int, amount: int, add: bool) -> int:
    if amount == 0:
        return price
    top, product = liquidity << 96, amount * price
    if add:
        if product < 2**256 and top + product < 2**256:
            return ceil_div(top * price, top + product)
        return ceil_div(top, top // price + amount)
    if product >= 2**256 or top <= product:
        raise Refused("'amount' must be below what the liquidity holds of asset 0")
    return ceil_div(top * price, top - product)


def _move_by_1(price: int, liquidity: int, amount: int, add: bool) -> int:
    if add:
        return price + (amount << 96) // liquidity
    down = ceil_div(amount << 96, liquidity)
    if price <= down:
        raise Refused("'amount' must be below what the liquidity holds of asset 1")
    return price - down


def sqrt_after_input(
    price: int, liquidity: int, amount: int, zero_for_one: bool
) -> int:
    """The price after ``amount`` came in, rounded so that it does not go too far."""
    require(price > 0 and liquidity > 0, "liquidity", "be above 0", liquidity)
    move = _move_by_0 if zero_for_one else _move_by_1
    return move(price, liquidity, amount, add=True)


def sqrt_after_output(
    price: int, liquidity: int, amount: int, zero_for_one: bool
) -> int:
    """The price after ``amount`` went out; Refused if there is not so much."""
    require(price > 0 and liquidity > 0, "liquidity", "be above 0", liquidity)
    move = _move_by_1 if zero_for_one else _move_by_0
    return move(price, liquidity, amount, add=False)


# -- One step of a swap


class Step(NamedTuple):
    """A swap inside one range: the price it ends at, and what it moved."""

    sqrt_price: int
    amount_in: int
    amount_out: int
    fee: int


def swap_step(
    price: int, target: int, liquidity: int, remaining: int, fee_ppm: int
) -> Step:
    """Trade towards ``target`` until there or until ``remaining`` is used up.

    ``remaining`` is what is still to come in, fee included, or, below 0, what is still
    to go out.
    """
    zero_for_one, exact_in = price >= target, remaining >= 0
    kept = 10**6 - fee_ppm
    amount_in, amount_out = _between(price, target, liquidity, zero_for_one)
    if exact_in:
        worth = remaining * kept // 10**6
        there = worth >= amount_in
        after = target
        if not there:
            after = sqrt_after_input(price, liquidity, worth, zero_for_one)
    else:
        there = -remaining >= amount_out
        after = target
        if not there:
            after = sqrt_after_output(price, liquidity, -remaining, zero_for_one)
    if after != target:
        amount_in, amount_out = _between(price, after, liquidity, zero_for_one)
    if not exact_in:
        amount_out = min(amount_out, -remaining)
    if exact_in and after != target:
        return Step(after, amount_in, amount_out, remaining - amount_in)
    return Step(after, amount_in, amount_out, ceil_div(amount_in * fee_ppm, kept))


def _between(
    price: int, after: int, liquidity: int, zero_for_one: bool
) -> tuple[int, int]:
    # What comes in and what goes out when the price moves so far.
    first = amount0_delta(price, after, liquidity, up=zero_for_one)
    second = amount1_delta(price, after, liquidity, up=not zero_for_one)
    return (first, second) if zero_for_one else (second, first)


def float_step(
    price: int, target: int, liquidity: int, remaining: int, fee_ppm: int
) -> Step:
    """`swap_step` in float64, for amounts that come in; rounded against the trader."""
    zero_for_one, kept = price >= target, 1.0 - fee_ppm / 10**6
    start, end, size = price / Q96, target / Q96, float(liquidity)
    worth = remaining * kept
    gap = size * (1.0 / end - 1.0 / start if zero_for_one else end - start)
    after = target
    if worth < gap:
        if zero_for_one:
            end = size * start / (size + worth * start)
        else:
            end = start + worth / size
        after, gap = int(end * Q96), worth
    out = size * (start - end if zero_for_one else 1.0 / start - 1.0 / end)
    used = remaining if after != target else min(remaining, int(gap / kept) + 1)
    fee = min(used, int(used - gap))
    return Step(after, used - fee, max(0, int(out)), fee)
