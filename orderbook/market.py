"""One market: both sides of its book, and what bounds or stops trading there."""

import attrs

from .auction import clearing
from .ladder import Ladder, no_limit
from .orders import Phase, Side
from .stops import LAST, Stops

PPM = 1_000_000


@attrs.define
class Breaker:
    """Stops trading when a print leaves the price that a window of time began with.

    ``reference`` is that price, of the first print where there was none before.
    """

    ppm: int
    window_ns: int
    phase: int  # of the market once it tripped
    window: int | None = None  # number of the current window
    reference: int = 0  # ticks; 0: none yet

    def roll(self, time: int, price: int) -> None:
        """Begin a new window, at that price, if ``time`` lies in another one."""
        if self.window != time // self.window_ns:
            self.window = time // self.window_ns
            self.reference = price

    def trips(self, price: int) -> bool:
        """Whether a print at this price is the last one."""
        reference = self.reference or price
        return abs(price - reference) * PPM >= reference * self.ppm


@attrs.define(eq=False)
class Market:
    """Both sides of a market, its prices, its phase and its dormant orders."""

    sides: tuple[Ladder, Ladder] = attrs.field(
        factory=lambda: (Ladder(Side.BUY), Ladder(Side.SELL))
    )
    reference: int = 0  # middle of the price band, ticks; 0: the last price
    band_ppm: int = 0  # 0: no band
    phase: int = Phase.OPEN
    breaker: Breaker | None = None
    stops: Stops = attrs.field(factory=Stops)

    @property
    def last(self) -> int:
        """Price of the last trade in ticks, 0 before the first."""
        return self.stops.prices[LAST]

    @property
    def crossed(self) -> bool:
        """Whether the best orders would trade if the market were open."""
        bids, asks = self.sides
        return 0 < asks.best <= bids.best

    def band_limit(self, side: int) -> int:
        """Worst price inside the band for a taker of ``side``; its edge is outside."""
        reference = self.reference or self.last
        if not (self.band_ppm and reference):
            return no_limit(side)
        if side == Side.BUY:
            return (reference * (PPM + self.band_ppm) - 1) // PPM
        return reference * (PPM - self.band_ppm) // PPM + 1

    def clearing(self) -> tuple[int, int, int]:
        """Price, lots and imbalance of an auction held now."""
        bids, asks = self.sides
        return clearing(bids.interest(), asks.interest(), self.reference or self.last)

    def open(self) -> None:
        """Let orders trade again; the breaker measures from here."""
        self.phase = Phase.OPEN
        if self.breaker is not None:
            self.breaker.window = None
