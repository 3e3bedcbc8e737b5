"""Times as people write them, and streams that end at one."""

from collections.abc import Iterator

import pytest

from flashwick.orderbook.clock import nanoseconds, text, up_to

SECOND = 10**9


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("09:45", 35_100 * SECOND),
        ("9:45:00", 35_100 * SECOND),
        (" 23:59:59.999999999 ", 86_400 * SECOND - 1),
        ("00:00:00.5", SECOND // 2),
        ("1970-01-02T00:00", 86_400 * SECOND),
        ("2024-08-08 00:10:00.000000001", 1_723_075_800 * SECOND + 1),
        ("1723075800000000001", 1_723_075_800 * SECOND + 1),
        (35_100 * SECOND, 35_100 * SECOND),
        (0, 0),
    ],
)
def test_time_is_read_to_the_nanosecond(written: int | str, time: int) -> None:
    """Of the day, or of a date in UTC, without a float in between; and written back."""
    assert nanoseconds(written) == time
    assert nanoseconds(text(time)) == time


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "x", "9.5"),
        *("24:00", "09:60", "09:45:60", "09:45:00.", "09:45Z", "-1"),
        *("2024-13-01T00:00", "2024-08-08", "1969-12-31T00:00", "٠٩:٤٥"),
        *(-1, 9.75, True, None),
    ],
)
def test_what_is_no_time_is_refused(wrong: object) -> None:
    """The sentence shows what a time looks like, and what came."""
    with pytest.raises(ValueError, match=r"'until' must be a time such as 09:45:00.5"):
        nanoseconds(wrong)  # type: ignore[arg-type]


def test_stream_ends_at_the_time_and_reads_one_row_more() -> None:
    """Rows at the time are among it; what is behind the next row is not looked at."""

    def rows() -> Iterator[int]:
        yield from (3, 5, 5, 8)
        raise AssertionError("read too far")

    assert list(up_to(rows(), 5, int)) == [3, 5, 5]
    assert list(up_to(iter([3, 5]), 9, int)) == [3, 5]
    assert list(up_to(iter([3, 5]), None, int)) == [3, 5]


def test_time_before_the_first_row_is_refused() -> None:
    """With the first row's time, so that the next try is right."""
    words = r"at or after the first message, 09:45:00 \(got 09:44:00\)"
    with pytest.raises(ValueError, match=words):
        list(up_to(iter([35_100 * SECOND]), "09:44", int))
    words = r"the first message, 9{30} ns \(got 00:00:00\)"
    with pytest.raises(ValueError, match=words):
        list(up_to(iter([int("9" * 30)]), 0, int))
