"""Pool, lending market, issuer and liquidators together, in the exchange's ledger."""

from functools import partial

import pytest
from defi_book import booking

from flashwick.cython_ext.ledger import Ledger
from flashwick.engine.defi.booking import Booking
from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.isolated import PRICE_ONE, IsolatedMarket, Terms
from flashwick.engine.defi.issuer import SyntheticDollar
from flashwick.engine.defi.lending_pool import BASE, LendingPool, Mode
from flashwick.engine.defi.liquidators import sell_isolated, sell_shared
from flashwick.engine.defi.protocol import ISSUED, Refused, Transfer
from flashwick.engine.defi.reserves import KinkedCurve, ReserveTerms
from flashwick.engine.defi.stableswap import StableSwap
from flashwick.engine.defi.surroundings import Surroundings
from flashwick.engine.exchange import Exchange

UNIT = 10**6
MILLION = 10**6 * UNIT
LOOPERS = tuple(f"looper {i}" for i in range(20))
ASSETS = ["USDe", "USDC", "pool shares"]
HOLDERS = ("lp", "lender", "seller", "bot", "dealer", "pool", "market", "issuer")


class Chain(Surroundings):
    """Twenty loopers of five million each around one pool of fifty on each side."""

    def __init__(self) -> None:
        start = {"USDe": 200 * MILLION, "USDC": 300 * MILLION}
        holders = {name: dict(start) for name in HOLDERS[:5]}
        holders |= {name: {} for name in HOLDERS[5:]}
        holders |= {name: {"USDe": 5 * MILLION} for name in LOOPERS}
        terms = Terms("USDC", "USDe", "USDe", 92 * WAD // 100)
        super().__init__(
            booking(ASSETS, holders),
            {
                "pool": StableSwap.empty(
                    "pool", ("USDe", "USDC"), amplification=200, fee=10**6, exact=False
                ),
                "market": IsolatedMarket.open("market", terms),
            },
        )
        sides = {"USDe": 50 * MILLION, "USDC": 50 * MILLION}
        self.act("pool", lambda pool: pool.add("lp", sides), "lp")
        self.act("market", lambda m: m.supply("lender", 100 * MILLION, 0), "lender")
        for i, who in enumerate(LOOPERS):
            loan = 4 * MILLION + i * 30_000 * UNIT
            self.act("market", partial(pledge, who), who)
            self.act("market", partial(owe, who, loan), who)

    def act(self, place, action, who, cause=0):
        """An action of somebody's own, at time 0."""
        return self.do(place, action, text="act", who=who, now_ns=0, cause=cause)

    @property
    def pool(self) -> StableSwap:
        """The pool as it stands."""
        return self.places["pool"]

    @property
    def market(self) -> IsolatedMarket:
        """The market as it stands."""
        return self.places["market"]

    def sell(self, millions: int, who: str = "seller") -> None:
        """A holder sells into the pool."""
        amount = millions * MILLION
        self.act("pool", lambda pool: pool.swap(who, "USDe", "USDC", amount), who)

    def totals(self) -> list[int]:
        """Of each asset, everything that everybody has."""
        everyone = (*HOLDERS, *LOOPERS, ISSUED)
        return [sum(self.booking.balance(who, a) for who in everyone) for a in ASSETS]


def pledge(who, market):
    """A looper's collateral."""
    return market.add_collateral(who, 5 * MILLION)


def owe(who, loan, market):
    """A looper's loan, at par."""
    return market.borrow(who, loan, PRICE_ONE, 0)


def test_every_action_is_told_with_who_where_and_why():
    """An event of the log names both accounts, and the event that it was caused by."""
    chain = Chain()
    chain.sell(20)
    first = chain.touched["pool"]
    chain.act("pool", partial(buy, "dealer", MILLION), "dealer", first)
    event = chain.log[chain.touched["pool"]]
    assert (event.kind, event.cause) == ("protocol", first)
    accounts = chain.booking.accounts
    assert event.account == accounts["dealer"]
    assert event.counterparty == accounts["pool"]
    assert [step.id for step in chain.log.chain(event.id)] == [event.id, first]


def test_refused_action_leaves_every_place_as_it_was():
    """The booking refuses too: a swap of what one does not have changes no state."""
    chain = Chain()
    before, events = dict(chain.places), len(chain.log)
    for who, amount in (("looper 0", 10 * MILLION), ("seller", 0)):
        with pytest.raises(Refused):
            chain.act("pool", partial(buy, who, amount), who)
    with pytest.raises(Refused, match="did you mean 'pool'"):
        chain.act("pol", partial(buy, "lp", 5), "lp")
    assert chain.places == before
    assert len(chain.log) == events


def buy(who, amount, pool):
    """A swap against the pool."""
    return pool.swap(who, "USDC", "USDe", amount)


def test_redemption_at_par_is_the_bid_that_a_pool_lacks():
    """A dealer buys below par, redeems with the issuer, and the price comes back."""
    chain = Chain()
    issuer = SyntheticDollar(
        account="issuer",
        token="USDe",
        stable_asset="USDC",
        minters=("dealer",),
        mint_cap=100 * MILLION,
        redeem_cap=10 * MILLION,
    )
    chain.places["issuer"] = issuer
    chain.act("issuer", lambda i: i.mint("dealer", 60 * MILLION, 0), "dealer")
    chain.sell(40)
    low = chain.pool.price("USDe", "USDC")
    for block in range(1, 5):
        trade = chain.act("pool", partial(buy, "dealer", 9 * MILLION), "dealer")
        redeemed = min(trade.amount_out, 10 * MILLION)
        chain.act("issuer", partial(redeem, redeemed, block), "dealer")
        assert redeemed > 9 * MILLION
    assert chain.pool.price("USDe", "USDC") > low + 0.03
    chain._check()


def redeem(atoms, block, issuer):
    """The dealer redeems."""
    return issuer.redeem("dealer", atoms, block)


def test_liquidation_without_a_profit_does_not_happen():
    """Where the oracle is above the pool, repaying costs more than selling brings."""
    chain = Chain()
    chain.sell(45)
    price = PRICE_ONE * 98 // 100
    last = LOOPERS[-1]
    assert not chain.market.healthy(last, price)
    assert sell_isolated("bot", last, chain.market, chain.pool, price, 0) is None
    first = LOOPERS[0]
    assert sell_isolated("bot", first, chain.market, chain.pool, price, 0) is None


def test_gas_keeps_small_liquidations_from_happening():
    """What pays without a cost does not with one above its profit."""
    chain = Chain()
    chain.sell(45)
    price = int(chain.pool.price("USDe", "USDC") * PRICE_ONE)
    args = ("bot", LOOPERS[-1], chain.market, chain.pool, price, 0)
    found = sell_isolated(*args)
    assert found is not None
    assert found[1].profit < 100 * UNIT
    assert sell_isolated(*args, cost=MILLION) is None
    some = sell_isolated(*args, cost=100 * UNIT)
    assert some is not None
    assert some[1].profit >= 100 * UNIT
    assert some[1].seized < found[1].seized


def test_shared_pool_is_liquidated_by_flash_as_well():
    """In an efficiency mode of 92 with 2 % on top, half of the position is sold."""
    curve = KinkedCurve(optimal=9_000, slope_1=650, slope_2=5_000)
    terms = tuple(
        ReserveTerms(
            asset=asset, decimals=6, curve=curve, ltv=7_000, threshold=7_500, bonus=500
        )
        for asset in ("USDC", "USDe")
    )
    mode = Mode(8_900, 9_200, 200, ("USDe",), ("USDC",))
    lending = LendingPool.open("market", terms, modes={"stable": mode})
    chain = Chain()
    prices = {"USDC": BASE, "USDe": BASE}
    lending, _ = lending.supply("lender", "USDC", 50 * MILLION, 0)
    lending, _ = lending.supply("ann", "USDe", 10 * MILLION, 0)
    lending = lending.enter_mode("ann", "stable", prices, 0)
    lending, _ = lending.borrow("ann", "USDC", 89 * MILLION // 10, prices, 0)
    args = ("bot", "ann", lending, ("USDe", "USDC"), chain.pool)
    assert sell_shared(*args, prices, 0) is None
    fallen = prices | {"USDe": BASE * 96 // 100}
    found = sell_shared(*args, fallen, 0)
    assert found is not None
    after, sale = found
    assert sale.repaid == 89 * MILLION // 20
    assert sale.profit > 0
    assert after.reserves["USDC"].debt("ann") == 89 * MILLION // 20
    after._check()


def test_booking_refuses_what_nobody_has_and_changes_nothing():
    """An action that overdraws somebody is refused as a whole."""
    chain = Chain()
    before = chain.totals(), chain.booking.balance("bot", "USDC")
    _, trade = chain.pool.swap("looper 0", "USDC", "USDe", 10 * MILLION)
    with pytest.raises(Refused, match="'looper 0' must have 10000000000000 atoms"):
        chain.booking.book(trade.transfers)
    assert (chain.totals(), chain.booking.balance("bot", "USDC")) == before
    with pytest.raises(Refused, match="'holder' must be one of"):
        chain.booking.balance("nobody", "USDC")


# -- With the exchange itself


def venue() -> tuple[Exchange, Booking, StableSwap]:
    """An exchange on which a holder's USDe is collateral, and a pool in its ledger."""
    exchange = Exchange(["USDE/USDT", "BTC/USDT"], rules="binance-pm")
    lp = exchange.open_account({"USDE": 60_000, "USDT": 60_000})
    holder = exchange.open_account({"USDE": 40_000})
    pool = exchange.open_account({})
    book = Booking(
        exchange.ledger,
        exchange.asset_number,
        {"lp": lp, "holder": holder, "pool": pool},
        tokens=["pool shares"],
    )
    state = StableSwap.empty("pool", ("USDE", "USDT"), amplification=200, fee=10**6)
    state, put = state.add("lp", dict.fromkeys(state.assets, 50_000 * 10**8))
    book.book(put.transfers)
    return exchange, book, state


def test_collateral_on_the_exchange_is_sold_into_a_pool_of_the_same_ledger():
    """The account loses USDe and gains USDT to the atom; nothing else moves."""
    exchange, book, pool = venue()
    before = exchange.ledger.totals().tolist()
    _, trade = pool.swap("holder", "USDE", "USDT", 30_000 * 10**8)
    book.book(trade.transfers)
    held = exchange.account(exchange.ledger.n_accounts - 2).balances
    assert held["USDE"] == 10_000
    assert held["USDT"] == trade.amount_out / 10**8
    assert exchange.ledger.totals().tolist() == before
    assert book.balance("lp", "pool shares") == pool.shares


def test_booking_rolls_back_when_the_ledger_itself_refuses():
    """A number beyond the ledger's 64 bits undoes what was booked before it."""
    _, book, pool = venue()
    start = book.balance("holder", "USDE")
    moves = [
        Transfer("USDE", "holder", "pool", 5),
        Transfer("pool shares", ISSUED, "holder", 2**64),
    ]
    with pytest.raises((ValueError, OverflowError)):
        book.book(moves)
    assert book.balance("holder", "USDE") == start
    assert book.balance("holder", "pool shares") == 0
    assert book.balance("pool", "USDE") == pool.reserves[0]
    with pytest.raises(Refused, match="'tokens' must not be assets as well"):
        Booking(Ledger(), {"USD": 0}, {}, tokens=["USD"])
