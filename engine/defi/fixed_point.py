"""Arithmetic of the lending contracts: wads of 18 digits, rays of 27, basis points."""

WAD = 10**18
RAY = 10**27
BPS = 10_000


def mul_down(a: int, b: int, unit: int) -> int:
    """The product of two numbers in a unit, rounded down."""
    return a * b // unit


def mul_up(a: int, b: int, unit: int) -> int:
    """The product of two numbers in a unit, rounded up."""
    return -(-a * b // unit)


def mul_near(a: int, b: int, unit: int) -> int:
    """The product of two numbers in a unit, half rounded up."""
    return (a * b + unit // 2) // unit


def div_down(a: int, b: int, unit: int) -> int:
    """The quotient of two numbers in a unit, rounded down."""
    return a * unit // b


def div_up(a: int, b: int, unit: int) -> int:
    """The quotient of two numbers in a unit, rounded up."""
    return -(-a * unit // b)


def div_near(a: int, b: int, unit: int) -> int:
    """The quotient of two numbers in a unit, half rounded up."""
    return (a * unit + b // 2) // b


def towards_zero(a: int, b: int) -> int:
    """The quotient without its fraction, as contracts divide signed numbers.

    >>> towards_zero(-7, 2), -7 // 2
    (-3, -4)
    """
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient
