"""Hypothesis strategies of the order book: messages likely to meet each other."""

from hypothesis import strategies as st

from flashwick.orderbook.orders import (
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    SelfTrade,
    Side,
    TimeInForce,
)

MARKETS = 2
ACCOUNTS = 4

dense_prices = st.integers(95, 105)
"""Few ticks, so that orders share levels and cross."""

sparse_prices = st.sampled_from(
    [tick for at in (1, 6, 12, 18, 24, 30) for tick in (2**at - 1, 2**at)][:-1]
)
"""Ticks on both sides of every power that an index of prices may be cut at."""

prices = dense_prices | sparse_prices
quantities = st.integers(1, 20) | st.just(2**30)
markets = st.integers(0, MARKETS - 1)
accounts = st.integers(0, ACCOUNTS - 1)
sides = st.sampled_from([Side.BUY, Side.SELL])
modes = st.sampled_from(SelfTrade)

lifetimes = st.sampled_from(TimeInForce)
flags = st.sampled_from([0, 0, 0, Flag.LIQUIDATION, Flag.REDUCE_ONLY])


def _orders(
    kind: Kind,
    price: st.SearchStrategy[int],
    tif: st.SearchStrategy[int] = lifetimes,
    flags: st.SearchStrategy[int] = flags,
) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries(
        {
            "kind": st.just(kind),
            "market": markets,
            "account": accounts,
            "side": sides,
            "price": price,
            "qty": quantities,
            "tif": tif,
            "flags": flags,
            "cause": st.integers(0, 2**62),
            "time": st.integers(0, 2**62),
        }
    )


limit_orders = _orders(Kind.LIMIT, prices)
market_orders = _orders(Kind.MARKET, st.just(0) | prices)
post_only_orders = _orders(
    Kind.LIMIT, prices, st.just(TimeInForce.GTC), st.just(Flag.POST_ONLY)
)

new_orders = limit_orders | limit_orders | post_only_orders | market_orders
"""Orders without an id; the book issues one."""

edges = st.sampled_from([-(2**63), -2, -1, 0, 1, PRICE_MAX + 1, QTY_MAX + 1, 2**63 - 1])
bytes_ = st.sampled_from([0, 1, 2, 3, 5, 8, 255])
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
    },
)
"""Values at and beyond the bounds of some fields."""
