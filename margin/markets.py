"""Markets: their names, and what a tick and a lot are in atoms.

Everything inside is an integer: prices in ticks, quantities in lots, balances in atoms.
A market whose trades could not be settled to the atom is refused when it is defined.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Integral

from attrs import field, frozen

from ..orderbook.orders import PRICE_MAX, QTY_MAX
from .presets import nearest, shown

Number = str | int | float | Decimal
"""A decimal number; a float is taken as it prints, so 0.1 is one tenth."""

DECIMALS_DEFAULT = 8
DECIMALS_MAX = 18

# Price and quantity steps of Binance in October 2025 where known, so that a market can
# be named without them; other dollars get those of USDT, other names the last row.
_STEPS = {
    "BTC/USDT": ("0.01", "0.00001"),
    "ETH/USDT": ("0.01", "0.0001"),
    "SOL/USDT": ("0.01", "0.001"),
    "BNB/USDT": ("0.01", "0.001"),
    "WBETH/USDT": ("0.01", "0.0001"),
    "WBETH/ETH": ("0.0001", "0.0001"),
    "BNSOL/USDT": ("0.01", "0.001"),
    "BNSOL/SOL": ("0.0001", "0.001"),
    "USDE/USDT": ("0.0001", "0.01"),
    "ATOM/USDT": ("0.001", "0.01"),
    "BTC/USDT:PERP": ("0.1", "0.001"),
    "ETH/USDT:PERP": ("0.01", "0.001"),
    "": ("0.0001", "0.1"),
}


_DOLLARS = ("USDC", "USD", "FDUSD")


class MarketError(ValueError):
    """A market or a number that does not fit its units."""


@frozen(kw_only=True)
class MarketSpec:
    """One market. ``name`` is BASE/QUOTE, or BASE/QUOTE:PERP for a linear perpetual.

    ``tick`` is the price step in quote units, ``lot`` the quantity step in base units.
    """

    name: str
    base: str
    quote: str
    perpetual: bool
    tick: Fraction = field(repr=str)
    lot: Fraction = field(repr=str)
    base_unit: int  # base atoms of a lot
    quote_unit: int  # quote atoms of a tick times a lot
    decimals: tuple[int, int]  # of base and quote, which the units count on

    @classmethod
    def define(
        cls,
        name: str,
        tick: Number | None = None,
        lot: Number | None = None,
        decimals: Mapping[str, int] | None = None,
    ) -> "MarketSpec":
        """Define a market; MarketError if its steps are no whole atoms.

        Without a tick or lot, those known for the name are taken, else 0.0001 and 0.1.
        ``decimals`` are those of assets that do not have 8.

        >>> MarketSpec.define("ATOM/USDT", "0.001", "0.01").quote_unit
        1000
        """
        base, quote, perpetual = parse_name(name)
        if decimals is not None and not isinstance(decimals, Mapping):
            text = f"{name}: 'decimals' must be by asset, as in {{'USDT': 6}}"
            raise MarketError(f"{text} (got {shown(decimals)})")
        places = [places_of(asset, decimals or {}) for asset in (base, quote)]
        known = _STEPS.get(name) or _STEPS[""]
        if quote in _DOLLARS:
            known = _STEPS.get(name.replace(f"/{quote}", "/USDT"), known)
        price_step = exact(known[0] if tick is None else tick, f"{name}: tick")
        qty_step = exact(known[1] if lot is None else lot, f"{name}: lot")
        for what, step in (("tick", price_step), ("lot", qty_step)):
            if step <= 0:
                raise MarketError(f"{name}: '{what}' must be > 0 (got {float(step):g})")
        base_atoms = qty_step * 10 ** places[0]
        quote_atoms = price_step * qty_step * 10 ** places[1]
        if base_atoms.denominator != 1:
            raise MarketError(
                f"{name}: a lot of {float(qty_step):g} is no whole number of atoms of "
                f"{base} ({places[0]} decimals); make the lot coarser or give {base} "
                "more decimals"
            )
        if quote_atoms.denominator != 1:
            raise MarketError(
                f"{name}: tick {float(price_step):g} x lot {float(qty_step):g} is no "
                f"whole number of atoms of {quote} "
                f"({places[1]} decimals); make one coarser or give {quote} more "
                "decimals"
            )
        if max(base_atoms, quote_atoms) > 2**53:
            raise MarketError(f"{name}: tick and lot are too coarse for int64 balances")
        return cls(
            name=name,
            base=base,
            quote=quote,
            perpetual=perpetual,
            tick=price_step,
            lot=qty_step,
            base_unit=int(base_atoms),
            quote_unit=int(quote_atoms),
            decimals=(places[0], places[1]),
        )

    def ticks(self, price: Number, what: str = "price") -> int:
        """Return a price in ticks; MarketError off the tick or out of range.

        ``what`` is the name that an error gives the number.
        """
        ticks = exact(price, f"{self.name}: {what}") / self.tick
        if ticks.denominator != 1 or not 1 <= ticks <= PRICE_MAX:
            least, most = float(self.tick), float(self.tick * PRICE_MAX)
            raise MarketError(
                f"{self.name}: {what!r} must be a multiple of {least:g} from {least:g} "
                f"to {most:g} (got {price})"
            )
        return int(ticks)

    def lots(self, qty: Number, what: str = "qty") -> int:
        """Return a quantity in lots; MarketError off the lot or out of range.

        ``what`` is the name that an error gives the number.
        """
        lots = exact(qty, f"{self.name}: {what}") / self.lot
        if lots.denominator != 1 or lots < 1:
            raise MarketError(
                f"{self.name}: {what!r} must be a multiple of {float(self.lot):g}, "
                f"at least one (got {qty})"
            )
        if lots > QTY_MAX:
            raise MarketError(
                f"{self.name}: {what!r} must be at most {float(self.lot * QTY_MAX):g} "
                f"(got {qty})"
            )
        return int(lots)


def agreed_decimals(
    specs: Sequence[MarketSpec], decimals: Mapping[str, int], others: Iterable[str]
) -> dict[str, int]:
    """Return the decimals of every asset; MarketError where two do not agree."""
    others = list(others)
    if not specs and not others:
        raise MarketError("'markets' must name at least one market (got none)")
    agreed: dict[str, int] = {}
    seen: list[str] = []
    for spec in specs:
        if spec.name in seen:
            raise MarketError(f"market {spec.name} is named twice; leave one out")
        seen.append(spec.name)
        for asset, places in zip((spec.base, spec.quote), spec.decimals, strict=True):
            wanted = decimals.get(asset, agreed.get(asset, places))
            if wanted != places:
                raise MarketError(
                    f"market {spec.name} was defined with {places} decimals of {asset} "
                    f"and {wanted} are wanted here; define it with the same"
                )
            agreed[asset] = places
    for asset in others:
        agreed.setdefault(asset, places_of(asset, decimals))
    for asset in decimals:
        if asset not in agreed:
            near = nearest(asset, agreed)
            raise MarketError(f"decimals of {asset!r}: no market has this asset{near}")
    return agreed


def places_of(asset: str, decimals: Mapping[str, int]) -> int:
    """Return the decimals of an asset; MarketError if they are none.

    >>> places_of("USDT", {"USDT": 6}), places_of("BTC", {"USDT": 6})
    (6, 8)
    """
    places = decimals.get(asset, DECIMALS_DEFAULT)
    whole = isinstance(places, Integral) and not isinstance(places, bool)
    if not whole or not 0 <= places <= DECIMALS_MAX:
        text = f"decimals of {asset} must be a whole number from 0 to {DECIMALS_MAX}"
        raise MarketError(f"{text} (got {shown(places)})")
    return int(places)


def parse_name(name: str) -> tuple[str, str, bool]:
    """Split a market's name into base, quote and whether it is a perpetual.

    >>> parse_name("BTC/USDT:PERP")
    ('BTC', 'USDT', True)
    """
    if not isinstance(name, str):
        raise MarketError(f"'name' must be a market, as BTC/USDT (got {shown(name)})")
    pair, colon, kind = name.partition(":")
    base, _, quote = pair.partition("/")
    if not base or not quote or "/" in quote or (colon and kind != "PERP"):
        raise MarketError(
            f"'{name}' is not a market; write BASE/QUOTE or BASE/QUOTE:PERP, such as "
            "ATOM/USDT or BTC/USDT:PERP"
        )
    if base == quote:
        raise MarketError(f"'{name}': base and quote must be two different assets")
    return base, quote, bool(colon)


def exact(number: Number, what: str) -> Fraction:
    """Return a decimal number as a fraction; MarketError if it is none.

    >>> exact(0.1, "tick")
    Fraction(1, 10)
    """
    try:
        if isinstance(number, bool):
            raise InvalidOperation
        value = Decimal(str(number))
        if not value.is_finite() or abs(value.adjusted()) > 30:
            raise InvalidOperation
    except InvalidOperation:
        raise MarketError(
            f"{what}: must be a decimal number (got {shown(number)})"
        ) from None
    return Fraction(value)


def atoms(amount: Number, decimals: int, what: str) -> int:
    """Return an amount of an asset in atoms; MarketError if it is no whole number."""
    value = exact(amount, what) * 10**decimals
    if value.denominator != 1:
        raise MarketError(
            f"{what}: {amount} has more than the asset's {decimals} decimals"
        )
    if not 0 <= value <= 2**60:
        raise MarketError(
            f"{what}: must be from 0 to {2**60 / 10**decimals:g} (got {amount})"
        )
    return int(value)
