"""An exchange that starts from a recorded order book."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from os import PathLike

from ..margin.markets import MarketSpec, Number, parse_name
from ..margin.prices import IndexRule
from ..margin.rules import Rules
from ..orderbook.book_state import BookState
from ..orderbook.orders import Flag, Kind, Reason, Side, messages
from .exchange import Exchange
from .orders import OrderError

ATOMS_MAX = 2**60
PPM = 1_000_000


def from_book(
    states: BookState | Iterable[BookState],
    rules: str | PathLike[str] | Rules = "binance-pm",
    *,
    decimals: Mapping[str, int] | None = None,
    oracles: Mapping[str, IndexRule] | None = None,
) -> Exchange:
    """Open an exchange in whose books the orders of recorded markets rest.

    Nobody knows who owned them. Each side of each market belongs to one account, opened
    in the order of the markets, bids before asks, and funded to the need: bids with
    what they cost and their maker fees, asks with what they sell, and in a perpetual
    both with their whole notional. So liquidity of a spot market owes nothing whatever
    trades, and is never liquidated. The last price is the recorded one, else the middle
    of the book. A base asset with nothing but a perpetual gets that price as its index,
    fixed, unless ``oracles`` says otherwise; the other arguments are those of
    `Exchange`. OrderError if a book is crossed or does not fit. O(orders).
    """
    states = _listed(states)
    for state in states:
        if state.crossed:
            bid, ask = state.best
            raise OrderError(
                f"{state.name}: the best bid must be below the best ask (got {bid} and "
                f"{ask} ticks): start from a moment at which it is, with the 'until' "
                "of the replay"
            )
    specs = [
        MarketSpec.define(state.name, _plain(state.tick), _plain(state.lot), decimals)
        for state in states
    ]
    exchange = Exchange(
        specs, rules, decimals=decimals, oracles=_fixed(states) | dict(oracles or {})
    )
    for market, state in enumerate(states):
        if price := _price(state):
            exchange.books.set_last_price(market, price)
    exchange.update_prices()
    for market, state in enumerate(states):
        for side in (Side.BUY, Side.SELL):
            account = exchange.open_account()
            _fund(exchange, account, market, side, state)
            _rest(exchange, account, market, side, state)
    exchange.update_prices()
    return exchange


def _listed(states: BookState | Iterable[BookState]) -> tuple[BookState, ...]:
    if isinstance(states, BookState):
        return (states,)
    listed = tuple(states) if isinstance(states, Iterable) else (states,)
    for state in listed:
        if not isinstance(state, BookState):
            raise OrderError(
                "'states' must be a BookState, or several, as state() of a replay "
                f"returns (got {state!r})"
            )
    return listed


def _plain(step: Fraction) -> Number:
    return Decimal(step.numerator) / Decimal(step.denominator)


def _price(state: BookState) -> int:
    # Ticks; 0 if nothing tells.
    bid, ask = state.best
    middle = (bid + ask) // 2 if bid and ask else bid or ask
    return state.last or middle


def _fixed(states: Iterable[BookState]) -> dict[str, IndexRule]:
    # The index of assets that no spot book gives one.
    parsed = [(*parse_name(state.name), state) for state in states]
    spot = [base for base, _, perpetual, _ in parsed if not perpetual]
    return {
        base: IndexRule(policy="fixed", value=float(_price(state) * state.tick))
        for base, _, perpetual, state in parsed
        if perpetual and base not in spot and _price(state)
    }


def _fund(
    exchange: Exchange, account: int, market: int, side: Side, state: BookState
) -> None:
    spec, fees = exchange.specs[market], exchange.rules.fees
    rows = state.sides[side].tolist()
    if side == Side.SELL and not spec.perpetual:
        asset, need = spec.base, spec.base_unit * sum(qty for _, qty in rows)
    else:
        kind = "perpetual" if spec.perpetual else "spot"
        ppm = max(0, getattr(fees, f"{kind}_maker_ppm"))
        costs = [price * qty * spec.quote_unit for price, qty in rows]
        need = sum(cost + -(-cost * ppm // PPM) for cost in costs)
        asset = spec.quote
    if need > ATOMS_MAX:
        places = exchange.decimals[asset]
        raise OrderError(
            f"{spec.name}: the {side.name.lower()} orders need "
            f"{need / 10**places:,.0f} {asset}, and {ATOMS_MAX / 10**places:,.0f} is "
            f"the most with {places} decimals: give {asset} fewer decimals"
        )
    exchange.ledger.deposit(account, exchange.asset_number[asset], need)


def _rest(
    exchange: Exchange, account: int, market: int, side: Side, state: BookState
) -> None:
    rows = state.sides[side]
    batch = messages(len(rows))
    batch["kind"], batch["flags"] = Kind.LIMIT, Flag.POST_ONLY
    batch["market"], batch["account"], batch["side"] = market, account, side
    batch["price"], batch["qty"] = rows.T
    results, _ = exchange.process(batch)
    refused = results[results["accepted"] == 0]
    if len(refused):
        reason = Reason(int(refused["reason"][0]))
        price, lots = rows[int((results["accepted"] == 0).argmax())].tolist()
        remedy = "give the assets an index with 'oracles', or other rules"
        if reason == Reason.OVERFLOW:
            remedy = "give the assets fewer decimals"
        raise OrderError(
            f"{state.name}: {len(refused):,} of {len(rows):,} {side.name.lower()} "
            f"orders were refused, the first, {lots} lots at {price} ticks, for "
            f"{reason.name}: {remedy}"
        )
