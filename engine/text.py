"""Numbers as people read them, and tables of them as text and as HTML."""

import re
from collections.abc import Sequence
from html import escape
from math import floor, isfinite, log10

from attrs import frozen

LONG_WORD = 20
"""Letters of a word that no column is as wide as."""

NOTHING = "–"
"""What stands where a number does not apply."""


def usd(value: float) -> str:
    """US dollars, whole.

    >>> usd(1234567.8), usd(-1234.0), usd(-0.2)
    ('1,234,568', '−1,234', '0')
    """
    return _minus(f"{value:,.0f}") if isfinite(value) else NOTHING


def _minus(text: str) -> str:
    # A proper minus sign, and none before a zero.
    if not text.startswith("-"):
        return text
    return f"−{text[1:]}" if any(c in "123456789" for c in text) else text[1:]


def short_usd(value: float) -> str:
    """US dollars in three figures.

    >>> short_usd(1234567.8), short_usd(950), short_usd(2.5e9)
    ('1.23 M', '950', '2.50 B')
    """
    if not isfinite(value):
        return NOTHING
    for unit, name in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        # What would round up to a thousand belongs to the next unit.
        if abs(value) >= 0.9995 * unit:
            return _minus(f"{value / unit:.{_places(value / unit)}f}{name}")
    return _minus(f"{value:.0f}")


def _places(value: float) -> int:
    return max(0, 2 - max(0, floor(log10(abs(value) * 1.0005))))


def price(value: float) -> str:
    """A price in five figures and no exponent.

    >>> price(4210.5), price(0.001), price(1.7450000000000001), price(1.5e-06)
    ('4,210.50', '0.001', '1.745', '0.0000015')
    """
    if not isfinite(value):
        return NOTHING
    if abs(value) >= 1000.0:
        return _minus(f"{value:,.2f}")
    if value == 0.0:
        return "0"
    places = max(0, 4 - floor(log10(abs(value))))
    text = _minus(f"{value:.{places}f}")
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float) -> str:
    """An amount of coins.

    >>> quantity(2531.178), quantity(0.0123456)
    ('2,531.18', '0.012346')
    """
    if abs(value) < 1.0:
        return price(value)
    text = _minus(f"{value:,.2f}")
    return text.rstrip("0").rstrip(".")


def percent(share: float, *, sign: bool = False) -> str:
    """A share in per cent; with ``sign``, a change.

    >>> percent(0.0931), percent(-0.5, sign=True), percent(0.9996)
    ('9.3 %', '−50.0 %', '99.96 %')
    """
    if not isfinite(share):
        return NOTHING
    # Close to all, the tenths would say 100 % of what is not.
    places = 2 if 0.9945 < abs(share) < 1.0 else 1
    text = f"{abs(share):,.{places}%}".replace("%", " %")
    mark = "−" if share < 0 else "+" if sign else ""
    return mark + text if text.strip("0. %") else text


def change(share: float) -> str:
    """A change or difference in per cent; to the hundredth where it is below one.

    >>> change(-0.0004), change(0.25), change(-0.9994), change(-0.0)
    ('−0.04 %', '+25.0 %', '−99.94 %', '0.0 %')
    """
    if not 0.00005 <= abs(share) < 0.00995:
        return percent(share, sign=True)
    return f"{'−' if share < 0 else '+'}{abs(share):.2%}".replace("%", " %")


def whole_percent(share: float) -> str:
    """A share that is a whole number of per cent.

    >>> whole_percent(0.1)
    '10 %'
    """
    return f"{share:.0%}".replace("%", " %")


def times(value: float) -> str:
    """A multiple.

    >>> times(3.714), times(float("inf"))
    ('3.71×', '–')
    """
    return _minus(f"{value:,.2f}×") if isfinite(value) else NOTHING


def number(value: float) -> str:
    """A plain figure: whole numbers with separators, others with two places.

    >>> number(12345), number(1.0512)
    ('12,345', '1.05')
    """
    if not isfinite(value):
        return NOTHING
    return _minus(f"{value:,.0f}" if value == int(value) else f"{value:,.2f}")


def ratio(value: float) -> str:
    """A health: adjusted equity over maintenance margin.

    >>> ratio(1.0512), ratio(4e6), ratio(float("inf"))
    ('1.05', '> 1,000', '> 1,000')
    """
    if value > 1000.0:
        return "> 1,000"
    return _minus(f"{value:,.2f}") if isfinite(value) else NOTHING


def seconds(value: float) -> str:
    """A time in the run; to the millisecond in its first ten seconds.

    >>> seconds(74.04), seconds(0.689043), seconds(0.0)
    ('74.0 s', '0.689 s', '0 s')
    """
    if not isfinite(value):
        return NOTHING
    return f"{value:,.1f} s" if value >= 10.0 else f"{round(value, 3):g} s"


def brief(value: float, *, sign: bool = False) -> str:
    """A figure whose unit is not known, in three digits; with ``sign``, a difference.

    >>> brief(0.90651), brief(-12345.6), brief(0.25, sign=True), brief(0.0)
    ('0.907', '−12,346', '+0.25', '0')
    """
    if not isfinite(value):
        return NOTHING if value != value or sign else "∞" if value > 0 else "−∞"
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000.0 else f"{size:.3g}"
    if "e" in text:
        text = f"{size:.3e}" if size < 1e-9 else f"{size:.9f}".rstrip("0")
    if not any(digit in "123456789" for digit in text):
        return "0"
    return f"{'−' if value < 0 else '+' if sign else ''}{text}"


def join(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> join(["USDE", "WBETH", "BNSOL"])
    'USDE, WBETH and BNSOL'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def held(text: str) -> str:
    """Keep each number and its unit on one line of a page.

    >>> len(held("3.4 % of 45.3 M").split(" "))
    3
    """
    return re.sub(r"(?<=\d) (?=(?:%|s|[kMB]|USD)\b|%)", "\N{NO-BREAK SPACE}", text)


def _cell(text: str) -> str:
    # A word too long for any column, such as a fingerprint, may be cut.
    long = any(len(word) > LONG_WORD for word in text.split())
    kind = ' class="long"' if long else ""
    return f"<td{kind}>{held(escape(text))}</td>"


@frozen
class Grid:
    """A table of words: the first column is what a row is about, the rest are figures.

    With ``prose`` they are words too, and stand on the left.

    >>> print(Grid("Markets", ("market", "low"), (("ATOM/USDT", "0.001"),)))
    Markets
    market       low
    ATOM/USDT  0.001
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    prose: bool = False

    def __str__(self) -> str:
        """The table with aligned columns."""
        lines = [self.header, *self.rows] if any(self.header) else [*self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [self.title] if self.title else []
        for line in lines:
            first, *rest = (
                cell.ljust(width) if i == 0 or self.prose else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            text.append("  ".join([first, *rest]).rstrip())
        return "\n".join([*text, self.note] if self.note else text)

    def html(self) -> str:
        """The table as HTML, in a box that scrolls sideways on narrow screens."""
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        head = f"<thead><tr>{head}</tr></thead>" if any(self.header) else ""
        body = "".join(
            f'<tr><th scope="row">{escape(line[0])}</th>'
            + "".join(map(_cell, line[1:]))
            + "</tr>"
            for line in self.rows
        )
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        kind = "table texts" if self.prose else "table"
        return (
            f'<div class="{kind}"><table>{caption}{head}'
            f"<tbody>{body}</tbody></table>{note}</div>"
        )
