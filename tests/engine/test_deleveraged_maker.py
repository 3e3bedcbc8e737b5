"""A hedged market maker that loses a leg to deleveraging: it re-hedges, or is naked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import sent

import flashwick as fw
from flashwick.engine.orders import market
from flashwick.engine.simulation import SECOND, World
from flashwick.margin.deleveraging import Losing
from flashwick.margin.holdings import Held
from flashwick.orderbook.orders import Side

SMALL = fw.load(Path(__file__).parents[1] / "scenarios" / "small-crash.toml")
ALONE = [
    f"{name}.*.enabled"
    for name in (
        "holders",
        "whales",
        "liquidation_bots",
        "stale_bids",
        "bargain_hunters",
        "arbitrage",
        "cross_arbitrage",
        "background",
    )
]
PERP = "ATOM/USDT:PERP"
STEPS = [
    "cancel_orders",
    "reduce_positions",
    "takeover",
    "insurance_fund",
    "adl",
    "claim",
]


def world(**changes: Any) -> World:
    """Makers and leveraged longs, before anything strikes; the fund has nothing."""
    calm = {f"shocks.{i}.at": 40.0 for i in range(len(SMALL.config.shocks))}
    rules = {
        "rules.liquidation.steps": STEPS,
        "rules.adl": {"allocation": "contracts_pro_rata"},
        "insurance_fund_usd": 0,
    }
    return World(
        SMALL.vary(dict.fromkeys(ALONE, False) | calm | rules | changes), seed=0
    )


def deleverage(world: World) -> dict[int, int]:
    """Close a ruined long of all there is of the perpetual; lots each maker lost."""
    exchange, number = world.exchange, world.exchange.market_number[PERP]
    before = exchange.ledger.lots(number)
    loser = world.open_accounts("traders", 1)[0]
    rest = int(np.argmax(before))
    lots = int(before[rest])
    ticks = round(float(exchange.mark[number] / exchange.tick[number]))
    exchange.ledger.trade_between(number, rest, int(loser), lots, ticks)
    held = Held(number, lots, 0, 0)
    losing = Losing(int(loser), held, lots, 0)
    exchange.liquidator.deleveraging.close([losing], world.now)
    after = exchange.ledger.lots(number)
    exchange._check()
    makers = world.makers[0].accounts.tolist()
    return {a: int(after[a] - before[a]) for a in makers if after[a] != before[a]}


def sides(world: World, number: int) -> list[np.ndarray]:
    """What rests in a market: bids and asks."""
    return [world.exchange.books.orders(number, side) for side in (Side.BUY, Side.SELL)]


def test_maker_that_lost_its_short_quotes_to_sell_it_again() -> None:
    """Lower than before and with smaller bids; what it sells is its hedge back."""
    here = world()
    maker, exchange = here.makers[0], here.exchange
    number = exchange.market_number[PERP]
    exchange.process(sent(here, maker, 0))
    before = sides(here, number)
    lost = deleverage(here)
    assert lost
    account = max(lost, key=lambda a: lost[a])
    k = maker.accounts.tolist().index(account)
    mine = maker.markets[maker.column] == number
    p = int(np.flatnonzero(mine & (maker.maker == k))[0])
    assert lost[account] > 0  # lots of a short that it has no more
    naked = maker._holdings()[p] - maker.quotes.target[p]
    assert naked == pytest.approx(lost[account] * exchange.lot[number])
    events = [e for e in exchange.log.single("adl") if e.counterparty == account]
    assert sum(event.qty for event in events) == lost[account]
    # Others' quotes of that market out of the way, someone buys.
    for other in exchange.books.orders(number, Side.SELL)["account"].tolist():
        if other != account:
            exchange.books.cancel_all(other, number)
    second = sent(here, maker, SECOND)
    exchange.process(second[second["account"] == account])
    (bids, asks), (fewer, lower) = (
        [rows[rows["account"] == account] for rows in both]
        for both in (before, sides(here, number))
    )
    assert lower["price"].min() < asks["price"].min()
    assert fewer["qty"].sum() < bids["qty"].sum()
    buyer = exchange.open_account({"USDT": 1e7})
    exchange.submit(market(buyer, PERP, "buy", qty=abs(naked) / 2))
    assert maker._holdings()[p] - maker.quotes.target[p] < naked


def test_maker_that_does_not_quote_the_perpetual_stands_naked() -> None:
    """Its spot inventory is as long as before, and it sends nothing to hedge it."""
    spot = ["ETH/USDT", "WBETH/USDT", "WBETH/ETH", "ATOM/USDT"]
    here = world(**{"market_makers.alpha.markets": spot})
    maker, exchange = here.makers[0], here.exchange
    number = exchange.market_number[PERP]
    exchange.process(sent(here, maker, 0))
    lost = deleverage(here)
    account = max(lost, key=lambda a: lost[a])
    batch = sent(here, maker, SECOND)
    assert number not in batch[batch["account"] == account]["market"]
    view = exchange.account(account)
    assert view.balances["ATOM"] + view.positions.get(PERP, 0.0) == pytest.approx(
        lost[account] * exchange.lot[number], rel=0.01
    )
