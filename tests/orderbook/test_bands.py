"""Where market orders and price bands stop, on either book."""

from fractions import Fraction
from math import ceil, floor

import pytest
from book_state import ALICE, ATOM, BOB, BUY, FOK, SELL, send

from flashwick.orderbook.orders import (
    PRICE_MAX,
    Kind,
    Reason,
    Side,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks


def test_a_market_order_takes_what_is_there(books: ReferenceBooks) -> None:
    """Into an empty side it is accepted and cancelled as unfilled."""
    result = send(books, kind=Kind.MARKET, side=SELL, qty=7)
    assert (result["accepted"], result["cancelled"]) == (1, 7)
    assert result["reason"] == Reason.UNFILLED
    books.limit(ATOM, ALICE, BUY, 100, 4)
    result = send(books, kind=Kind.MARKET, side=SELL, qty=7, account=BOB)
    assert (result["filled"], result["reason"]) == (4, Reason.UNFILLED)


def test_a_protection_price_stops_the_sweep(books: ReferenceBooks) -> None:
    """No trade below the protection price of a market sell; one at it is fine."""
    for price in 100, 99, 98:
        books.limit(ATOM, ALICE, BUY, price, 4)
    result = send(books, kind=Kind.MARKET, side=SELL, qty=100, price=99, account=BOB)
    assert (result["filled"], result["cancelled"]) == (8, 92)
    assert result["reason"] == Reason.PROTECTION_PRICE


@pytest.mark.parametrize("reference", [1, 2, 3, 19, 1_745, 999_983, PRICE_MAX])
@pytest.mark.parametrize("ppm", [1, 2_500, 300_000, 999_999, 1_000_000])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_band_lets_print_exactly_the_ticks_inside(
    books: ReferenceBooks, reference: int, ppm: int, side: Side
) -> None:
    """The last tick inside trades, one at the edge does not: exact in fractions."""
    away = Fraction(ppm, 10**6)
    low, high = floor(reference * (1 - away)) + 1, ceil(reference * (1 + away)) - 1
    last = low if side == SELL else min(high, PRICE_MAX)
    beyond = last + (1 if side == BUY else -1)
    books.set_reference(ATOM, reference)
    books.set_price_band(ATOM, ppm)
    books.limit(ATOM, ALICE, 1 - side, last, 1)
    inside_range = 1 <= beyond <= PRICE_MAX
    if inside_range:
        books.limit(ATOM, ALICE, 1 - side, beyond, 1)
    result = send(books, kind=Kind.MARKET, side=side, qty=2, account=BOB)
    assert result["filled"] == 1
    assert result["reason"] == (Reason.PRICE_BAND if inside_range else Reason.UNFILLED)
    assert books.last_price(ATOM) == last


def test_the_band_follows_the_last_price_until_a_reference_is_set(
    books: ReferenceBooks,
) -> None:
    """Without any price there is no band; it is measured when the order arrives."""
    books.set_price_band(ATOM, 100_000)
    for price in 100, 95, 91, 82, 80:
        books.limit(ATOM, ALICE, BUY, price, 1)
    books.set_last_price(ATOM, 100)
    # The prints of one sweep do not carry its band along: above 100 - 10 % = 90.
    assert send(books, kind=Kind.MARKET, side=SELL, qty=9)["filled"] == 3
    # The next order is measured from the last print: above 91 - 10 % = 81.9.
    assert send(books, kind=Kind.MARKET, side=SELL, qty=9)["filled"] == 1
    books.set_reference(ATOM, 100)
    assert send(books, kind=Kind.MARKET, side=SELL, qty=9)["filled"] == 0
    books.set_price_band(ATOM, 0)
    assert send(books, kind=Kind.MARKET, side=SELL, qty=9)["filled"] == 1


@pytest.mark.parametrize("tif", TimeInForce)
def test_a_limit_order_stopped_by_the_band_does_not_rest(
    books: ReferenceBooks, tif: TimeInForce
) -> None:
    """Resting, it would cross the book: the remainder is cancelled, GTC as well."""
    books.limit(ATOM, ALICE, BUY, 100, 4)
    books.limit(ATOM, ALICE, BUY, 80, 4)
    books.set_reference(ATOM, 100)
    books.set_price_band(ATOM, 100_000)
    result = send(
        books, kind=Kind.LIMIT, side=SELL, price=80, qty=6, tif=tif, account=BOB
    )
    whole = tif == FOK
    assert result["filled"] == (0 if whole else 4)
    assert result["reason"] == (Reason.FOK_UNFILLABLE if whole else Reason.PRICE_BAND)
    assert result["open"] == 0


def test_a_limit_order_outside_the_band_may_rest(books: ReferenceBooks) -> None:
    """The band bounds prints, not quotes."""
    books.set_reference(ATOM, 100)
    books.set_price_band(ATOM, 100_000)
    assert books.limit(ATOM, ALICE, BUY, 5, 1) == 1
    assert books.order(1) == (ATOM, ALICE, BUY, 5, 1)


@pytest.mark.parametrize(
    ("protection", "reason"),
    [
        (0, Reason.PRICE_BAND),
        (85, Reason.PRICE_BAND),
        (90, Reason.PRICE_BAND),
        (91, Reason.PROTECTION_PRICE),
        (95, Reason.PROTECTION_PRICE),
    ],
)
def test_a_market_order_names_the_limit_that_stopped_it(
    books: ReferenceBooks, protection: int, reason: Reason
) -> None:
    """The band (above 90) is blamed only where it is the tighter of the two."""
    books.set_reference(ATOM, 100)
    books.set_price_band(ATOM, 100_000)
    books.limit(ATOM, ALICE, BUY, 50, 1)
    result = send(books, kind=Kind.MARKET, side=SELL, qty=1, price=protection)
    assert result["reason"] == reason
