"""What the numbers inside a venue mean: assets, markets, atoms, ticks and lots."""

from collections.abc import Iterable, Mapping

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..margin.markets import MarketSpec, agreed_decimals
from .arguments import expect
from .orders import OrderError, unknown

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def known(prices: Floats) -> Floats:
    """Prices with 0 where there is none; a quarter of what ``np.nan_to_num`` takes."""
    return np.where(np.isnan(prices), 0.0, prices)


@frozen(kw_only=True, eq=False)
class Units:
    """Assets and markets by number, with the sizes of their units in people's.

    ``tick``, ``lot``, ``base``, ``quote``, ``perpetual`` and the two units in atoms
    are by market; ``atom`` and ``decimals`` by asset.
    """

    specs: tuple[MarketSpec, ...]
    markets: tuple[str, ...]
    assets: tuple[str, ...]
    decimals: dict[str, int]
    market_number: dict[str, int]
    asset_number: dict[str, int]
    tick: Floats
    lot: Floats
    base: Integers
    quote: Integers
    perpetual: NDArray[np.bool_]
    base_unit: Floats
    quote_unit: Floats
    atom: Floats

    @classmethod
    def of(
        cls,
        markets: str | MarketSpec | Iterable[str | MarketSpec],
        decimals: Mapping[str, int],
        others: Iterable[str],
    ) -> "Units":
        """Lay out markets, given by name or as specs, their assets and ``others``.

        MarketError where a market is wrong or two disagree on the decimals of an asset.
        """
        expect("decimals", decimals, Mapping, "decimals by asset, as in {'USDT': 6}")
        named = [markets] if isinstance(markets, str | MarketSpec) else markets
        told = "names of markets, or what Market.define returns"
        expect("markets", named, Iterable, told)
        specs = tuple(_spec(market, decimals, told) for market in named)
        places = agreed_decimals(specs, decimals, others)
        number = {name: i for i, name in enumerate(places)}
        return cls(
            specs=specs,
            markets=tuple(spec.name for spec in specs),
            assets=tuple(places),
            decimals=places,
            market_number={spec.name: i for i, spec in enumerate(specs)},
            asset_number=number,
            tick=np.array([float(s.tick) for s in specs]),
            lot=np.array([float(s.lot) for s in specs]),
            base=np.array([number[s.base] for s in specs], np.int64),
            quote=np.array([number[s.quote] for s in specs], np.int64),
            perpetual=np.array([s.perpetual for s in specs], np.bool_),
            base_unit=np.array([float(s.base_unit) for s in specs]),
            quote_unit=np.array([float(s.quote_unit) for s in specs]),
            atom=np.array([float(f"1e-{n}") for n in places.values()]),
        )

    def asset(self, name: str) -> int:
        """Return the number of an asset; OrderError if there is none of the name."""
        if not isinstance(name, str) or name not in self.asset_number:
            raise OrderError(unknown("asset", name, self.assets))
        return self.asset_number[name]

    def market(self, name: str) -> int:
        """Return the number of a market; OrderError if there is none of the name."""
        if not isinstance(name, str) or name not in self.market_number:
            raise OrderError(unknown("market", name, self.markets))
        return self.market_number[name]

    def spot_pairs(self) -> dict[str, tuple[str, str]]:
        """Return base and quote of each spot market, by its name."""
        return {s.name: (s.base, s.quote) for s in self.specs if not s.perpetual}


def _spec(
    market: str | MarketSpec, decimals: Mapping[str, int], told: str
) -> MarketSpec:
    expect("markets", market, (str, MarketSpec), told)
    if isinstance(market, MarketSpec):
        return market
    return MarketSpec.define(market, decimals=decimals)
