"""The real ATOM/USDT sweep of 10 October 2025 on the bids that it met.

Source of the ladder: aggregate trades of the sweep at 21:20:37.689043 UTC,
yanagihalab/atom-flash-crash-research (CC BY 4.0). Ticks and lots are 0.001 USDT and
0.001 ATOM; the previous print was at 1.745.
"""

import csv
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from book_state import send

from flashwick.orderbook.orders import Kind, Reason, Side
from flashwick.orderbook.reference import ReferenceBooks

UNIT = 1_000
"""Ticks in 1 USDT and lots in 1 ATOM."""
PREVIOUS = 1_745
SWEEP = 9_695_330
MAKER, TAKER = 1, 2


@pytest.fixture
def ladder(make_books: Callable[..., ReferenceBooks], data_dir: Path) -> ReferenceBooks:
    """A book with the resting bids, one order a trade."""
    (table,) = sorted(data_dir.glob("oct10/atomusdt_sweep_*.csv"))
    books = make_books()
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            price = Fraction(row["price_usdt"]) * UNIT
            qty = Fraction(row["quantity_atom"]) * UNIT
            assert (price.denominator, qty.denominator) == (1, 1)
            books.limit(0, MAKER, Side.BUY, int(price), int(qty))
    books.set_last_price(0, PREVIOUS)
    return books


def test_the_atom_sweep_prints_71_fills_down_to_a_tenth_of_a_cent(
    ladder: ReferenceBooks,
) -> None:
    """One market sell of 9,695.33 ATOM: 9,170.080188 USDT, first 1.688, last 0.001."""
    assert ladder.sweep(0, Side.SELL, SWEEP) == (SWEEP, 9_170_080_188, 1)
    ladder.market(0, TAKER, Side.SELL, SWEEP)
    fills = ladder.take_fills()
    assert len(fills) == 71
    assert fills["price"][[0, -1]].tolist() == [1_688, 1]
    # Two orders rest at the last price, and the older trades first.
    assert (fills["price"] == 1).sum() == 2
    assert (fills["maker_order"][1:] > fills["maker_order"][:-1]).all()
    assert ladder.notional == 9_170_080_188
    assert ladder.best(0) == (0, 0)
    ladder._check()


@pytest.mark.parametrize(
    ("ppm", "levels", "filled", "quote", "unfilled"),
    [
        (50_000, 4, "557.13", "932.82", "9138.20"),
        (100_000, 11, "1011.35", "1667.40", "8683.98"),
        # 20 % is 1.396 exactly, and an order rests there: the edge is outside.
        (200_000, 26, "3614.75", "5546.57", "6080.58"),
        (200_001, 27, "3620.35", "5554.39", "6074.98"),
        (300_000, 41, "4424.55", "6602.06", "5270.78"),
        (500_000, 61, "6046.95", "8313.05", "3648.38"),
        (900_000, 69, "7164.15", "9167.55", "2531.18"),
        (0, 70, "9695.33", "9170.08", "0.00"),
    ],
)
def test_a_band_would_have_stopped_the_sweep_here(
    ladder: ReferenceBooks,
    ppm: int,
    levels: int,
    filled: str,
    quote: str,
    unfilled: str,
) -> None:
    """Levels, ATOM filled, USDT and the rest, for a band around the previous print."""
    ladder.set_price_band(0, ppm)
    result = send(ladder, kind=Kind.MARKET, side=Side.SELL, account=TAKER, qty=SWEEP)
    assert 70 - len(ladder.depth(0, Side.BUY)[0]) == levels
    assert f"{result['filled'] / UNIT:.2f}" == filled
    assert f"{result['cancelled'] / UNIT:.2f}" == unfilled
    assert result["filled"] + result["cancelled"] == SWEEP
    assert f"{ladder.notional / UNIT**2:.2f}" == quote
    assert result["reason"] == (Reason.PRICE_BAND if ppm else Reason.OK)
