"""Hypothesis strategies of the order book: messages likely to meet each other."""

from hypothesis import strategies as st

from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.orderbook.orders import (
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)

MARKETS = 2
ACCOUNTS = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 4)
"""Those that a ledger opens first."""

dense_prices = st.integers(95, 105)
"""Few ticks, so that orders share levels and cross."""

sparse_prices = st.sampled_from(
    [tick for at in (1, 6, 12, 18, 24, 30) for tick in (2**at - 1, 2**at)][:-1]
)
"""Ticks on both sides of every power that an index of prices may be cut at."""

prices = st.one_of(dense_prices, dense_prices, dense_prices, sparse_prices)
quantities = st.integers(1, 20) | st.just(2**30)
markets = st.integers(0, MARKETS - 1)
accounts = st.sampled_from(ACCOUNTS)
traders = st.permutations(ACCOUNTS)
sides = st.sampled_from([Side.BUY, Side.SELL])
modes = st.sampled_from(SelfTrade)

lifetimes = st.sampled_from(TimeInForce)
flags = st.sampled_from([0, 0, 0, Flag.LIQUIDATION, Flag.REDUCE_ONLY])
passive = st.sampled_from([Flag.POST_ONLY, Flag.POST_ONLY | Flag.SLIDE])
sources = st.sampled_from([Flag(0), Flag(0), Flag.TRIGGER_MARK, Flag.TRIGGER_INDEX])
trigger_flags = st.builds(
    lambda source, profit, other: int(source | profit | other),
    sources,
    st.sampled_from([Flag(0), Flag.TAKE_PROFIT]),
    st.sampled_from([Flag(0), Flag(0), Flag.LIQUIDATION, Flag.REDUCE_ONLY]),
)
times = st.integers(0, 40) | st.integers(-(2**62), 2**62)
"""Mostly in a few windows of a circuit breaker."""

phases = st.sampled_from(Phase)
watched = st.sampled_from([Flag.TRIGGER_MARK, Flag.TRIGGER_INDEX])


def _orders(
    kind: Kind,
    price: st.SearchStrategy[int],
    **others: st.SearchStrategy[int],
) -> st.SearchStrategy[dict[str, int]]:
    fields: dict[str, st.SearchStrategy[int]] = {
        "kind": st.just(kind),
        "market": markets,
        "account": accounts,
        "side": sides,
        "price": price,
        "qty": quantities,
        "tif": lifetimes,
        "flags": flags,
        "cause": st.integers(0, 2**62),
        "time": times,
    }
    return st.fixed_dictionaries(fields | others)


gtc = st.just(TimeInForce.GTC)
limit_orders = _orders(Kind.LIMIT, prices)
market_orders = _orders(Kind.MARKET, st.just(0) | prices)
post_only_orders = _orders(Kind.LIMIT, prices, tif=gtc, flags=passive)
icebergs = _orders(
    Kind.LIMIT,
    dense_prices,
    tif=gtc,
    qty=st.integers(1, 40),
    display=st.integers(1, 6),
    flags=flags | passive,
)
stop_orders = _orders(
    Kind.LIMIT, prices, trigger=dense_prices | prices, flags=trigger_flags
)
stop_icebergs = _orders(
    Kind.LIMIT,
    dense_prices,
    tif=gtc,
    qty=st.integers(1, 40),
    trigger=dense_prices,
    display=st.integers(1, 6),
    flags=passive | trigger_flags,
)
market_stops = _orders(
    Kind.MARKET, st.just(0) | prices, trigger=dense_prices | prices, flags=trigger_flags
)

new_orders = st.one_of(
    limit_orders,
    limit_orders,
    post_only_orders,
    market_orders,
    icebergs,
    stop_orders,
    stop_icebergs,
    market_stops,
)
"""Orders without an id; the book issues one."""

REFERENCE, BAND_PPM = 100, 30_000
last_inside = st.sampled_from([(Side.BUY, 102), (Side.SELL, 98)])
first_outside = st.sampled_from([(Side.BUY, 103), (Side.SELL, 97)])
at_an_edge = last_inside | first_outside
"""Takers' sides and prices where a band or a breaker around `REFERENCE` ends."""

crowds = st.lists(
    _orders(
        Kind.LIMIT,
        dense_prices,
        qty=st.integers(1, 20),
        tif=gtc,
        display=st.sampled_from([0, 0, 2]),
        flags=st.sampled_from([0, 0, 0, Flag.REDUCE_ONLY, Flag.POST_ONLY | Flag.SLIDE]),
        time=st.just(0),
    ),
    min_size=4,
    max_size=12,
)
"""Many limit orders at few prices, some of them icebergs: they are sure to trade."""

stop_crowds = st.lists(
    _orders(
        Kind.LIMIT,
        dense_prices,
        qty=st.integers(1, 20),
        trigger=st.sampled_from([REFERENCE + move for move in (-4, -2, 2, 4)]),
        flags=st.sampled_from([0, 0, Flag.TAKE_PROFIT, Flag.TRIGGER_MARK]),
    ),
    min_size=4,
    max_size=12,
)
"""Orders that wait for a move from `REFERENCE`, many of them for one price."""

edges = st.sampled_from([-(2**63), -2, -1, 0, 1, PRICE_MAX + 1, QTY_MAX + 1, 2**63 - 1])
bytes_ = st.sampled_from([0, 1, 2, 3, 5, 8, 9, 16, 32, 49, 96, 128, 255])
odd_fields = st.fixed_dictionaries(
    {},
    optional={
        "kind": bytes_,
        "market": st.sampled_from([-(2**31), -2, -1, MARKETS, 2**31 - 1]),
        "account": st.sampled_from([-(2**31), -1, 2**24, 2**31 - 1]),
        "side": bytes_,
        "tif": bytes_,
        "flags": bytes_,
        "price": edges,
        "qty": edges,
        "order_id": edges,
        "display": edges,
        "trigger": st.sampled_from([-(2**31), -1, 0, 100, PRICE_MAX + 1, 2**31 - 1]),
    },
)
"""Values at and beyond the bounds of some fields."""
