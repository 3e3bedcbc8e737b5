"""Protocols beside an exchange: their states, what they do, and what caused it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from .booking import Booking
from .feeds import Seen
from .isolated import IsolatedMarket
from .lending_pool import LendingPool
from .liquidators import FlashSale, sell_isolated, sell_shared
from .oracles import Oracle, OracleDown, base_prices, oracle_of
from .protocol import Transfer, require, require_known


class Place(Protocol):
    """A protocol's state: what its account holds, and a way to check itself."""

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""

    def _check(self) -> None:
        """Assert every invariant."""


class Source(NamedTuple):
    """A pool's price as an oracle sees it."""

    pool: str
    give: str
    get: str


class Bot(NamedTuple):
    """A liquidator of a market that sells into a pool, if that pays ``cost``.

    In a shared pool ``pair`` is the collateral it takes and the debt it repays.
    """

    name: str
    market: str
    pool: str
    cost: int = 0
    pair: tuple[str, str] | None = None


class Event(NamedTuple):
    """Something that happened, and the event that caused it; -1 for a decision."""

    id: int
    time_ns: int
    kind: str
    place: str
    who: str
    amount: float
    cause: int


Result = TypeVar("Result")


class Surroundings:
    """Pools, markets, issuers and oracles around an exchange, in one ledger.

    ``places`` are the protocols by the name of their account. Every action is booked
    before its state counts; a refused one changes nothing. `step` does what happens by
    itself, always in the same order: oracles read the prices as they stand, then
    liquidators go through the borrowers; no oracle sees a price of its own step.
    """

    def __init__(
        self,
        booking: Booking,
        places: Mapping[str, Place],
        *,
        oracles: Mapping[str, Oracle] | None = None,
        sources: Mapping[str, Source] | None = None,
        bots: Iterable[Bot] = (),
        decimals: Mapping[str, int] | None = None,
    ) -> None:
        self.booking = booking
        self.places = dict(places)
        self.oracles = dict(oracles or {})
        self.sources = dict(sources or {})
        self.bots = tuple(bots)
        self.events: list[Event] = []
        self._decimals = dict(decimals or {})
        self._touched: dict[str, int] = {}  # the last event at each place
        self._priced: dict[str, int] = {}  # the last price of each oracle
        self._values: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        for name, source in self.sources.items():
            require_known(f"sources.{name}", source.pool, self.places)
        for bot in self.bots:
            require_known(f"bots.{bot.name}.market", bot.market, self.places)
            require_known(f"bots.{bot.name}.pool", bot.pool, self.places)
            self._check_bot(bot)

    def do(
        self,
        place: str,
        action: Callable[[Any], tuple[Any, Result]],
        *,
        kind: str,
        who: str,
        now_ns: int,
        amount: float = 0.0,
        cause: int = -1,
    ) -> Result:
        """Take an action at a place, book it, and keep the state it leads to.

        ``action`` gets the state and returns the one after it and a result that has
        transfers, or is their tuple.
        """
        require_known("place", place, self.places)
        require(-1 <= cause < len(self.events), "cause", "be an event", cause)
        after, result = action(self.places[place])
        given: Any = result
        moves: tuple[Transfer, ...] = getattr(given, "transfers", given)
        self.booking.book(moves)
        self.places[place] = after
        self._touched[place] = self._tell(now_ns, kind, place, who, amount, cause)
        return result

    def step(self, now_ns: int, seen: Seen | None = None) -> list[FlashSale]:
        """Let oracles read and liquidators act; what they sold."""
        prices = dict(seen or {})
        moved = -1
        for name, source in self.sources.items():
            pool: Any = self.places[source.pool]
            prices[name] = pool.price(source.give, source.get)
            if prices[name] != self._seen.get(name):
                moved = max(moved, self._touched.get(source.pool, -1))
        self._seen = prices
        for name, oracle in self.oracles.items():
            self._read(name, oracle.after(prices, now_ns), now_ns, moved)
        return [sale for bot in self.bots for sale in self._scan(bot, now_ns)]

    def _read(self, name: str, oracle: Oracle, now_ns: int, cause: int) -> None:
        self.oracles[name] = oracle
        price = oracle.feed.read(now_ns)
        if price.live and self._values.get(name) != price.value:
            self._values[name] = price.value
            self._priced[name] = self._tell(
                now_ns, "price", name, "", price.value, cause
            )

    def _check_bot(self, bot: Bot) -> None:
        where = f"bots.{bot.name}"
        market = self.places[bot.market]
        if isinstance(market, IsolatedMarket):
            require(bot.pair is None, f"{where}.pair", "not be given", bot.pair)
            oracle_of(market, self.oracles)
            return
        right = isinstance(market, LendingPool)
        require(right, f"{where}.market", "lend", type(market).__name__)
        require(bot.pair is not None, f"{where}.pair", "be given", bot.pair)
        assert isinstance(market, LendingPool)
        for asset in market.reserves:
            require_known(f"{bot.market}.oracle", asset, self.oracles)

    def _scan(self, bot: Bot, now_ns: int) -> list[FlashSale]:
        market = self.places[bot.market]
        try:
            if isinstance(market, IsolatedMarket):
                return self._scan_isolated(bot, market, now_ns)
            assert isinstance(market, LendingPool)
            return self._scan_shared(bot, market, now_ns)
        except OracleDown:
            return []

    def _scan_isolated(
        self, bot: Bot, market: IsolatedMarket, now_ns: int
    ) -> list[FlashSale]:
        oracle = oracle_of(market, self.oracles)
        price = oracle.scaled(
            now_ns,
            collateral_decimals=self._decimals.get(market.terms.collateral, 0),
            loan_decimals=self._decimals.get(market.terms.loan, 0),
        )
        sales = []
        owing = [who for who, row in market.positions.items() if row.borrow_shares]
        for who in owing:
            pool: Any = self.places[bot.pool]
            found = sell_isolated(
                bot.name, who, market, pool, price, now_ns, cost=bot.cost
            )
            if found is not None:
                market, sale = found
                cause = self._priced[oracle.name]
                sales.append(self._sold(bot, who, market, sale, now_ns, cause))
        return sales

    def _scan_shared(
        self, bot: Bot, market: LendingPool, now_ns: int
    ) -> list[FlashSale]:
        oracles = {asset: self.oracles[asset] for asset in market.reserves}
        prices = base_prices(oracles, now_ns)
        collateral, debt = bot.pair or ("", "")
        sales = []
        for who in market.borrowers():
            pool: Any = self.places[bot.pool]
            found = sell_shared(
                bot.name,
                who,
                market,
                (collateral, debt),
                pool,
                prices,
                now_ns,
                cost=bot.cost,
            )
            if found is not None:
                market, sale = found
                cause = self._priced[collateral]
                sales.append(self._sold(bot, who, market, sale, now_ns, cause))
        return sales

    def _sold(
        self,
        bot: Bot,
        who: str,
        market: Place,
        sale: FlashSale,
        now_ns: int,
        cause: int,
    ) -> FlashSale:
        self.booking.book(sale.transfers)
        self.places[bot.market] = market
        pool: Any = sale.pool
        self.places[bot.pool] = pool
        event = self._tell(now_ns, "liquidation", bot.market, who, sale.seized, cause)
        self._touched[bot.market] = event
        if sale.bad_debt:
            self._tell(now_ns, "bad debt", bot.market, who, sale.bad_debt, event)
        self._touched[bot.pool] = self._tell(
            now_ns, "sale", bot.pool, bot.name, sale.seized, event
        )
        return sale

    def _tell(
        self, now_ns: int, kind: str, place: str, who: str, amount: float, cause: int
    ) -> int:
        event = Event(len(self.events), now_ns, kind, place, who, amount, cause)
        self.events.append(event)
        return event.id

    def why(self, event: int) -> list[Event]:
        """An event and what caused it, back to somebody's decision."""
        right = 0 <= event < len(self.events)
        require(right, "event", f"be below {len(self.events)}", event)
        found = [self.events[event]]
        while found[-1].cause >= 0:
            found.append(self.events[found[-1].cause])
        return found

    def _check(self) -> None:
        """Assert that every place is sound and holds in the ledger what it says."""
        for name, state in self.places.items():
            state._check()
            for asset, atoms in state.holds.items():
                assert self.booking.balance(name, asset) == atoms, (name, asset)
