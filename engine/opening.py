"""The positions that everyone starts with."""

from typing import TYPE_CHECKING

import numpy as np

from .agents import Integers

if TYPE_CHECKING:
    from .simulation import World

POSITION_MAX = 2**59
"""Most atoms of its quote that a position is worth at the start; the ledger takes
twice as much."""


def open_positions(world: "World") -> None:
    """Open the positions everyone starts with, each long against a short.

    Traders and hedging makers have theirs; a well-margined account, the other side
    of the market, has the rest, or several do if it is more than one can hold.
    """
    exchange = world.exchange
    rests = world.open_accounts("counterparties", 1)
    lots: dict[int, list[tuple[Integers, Integers]]] = {}
    for maker in world.makers:
        for name, usd in maker.hedges().items():
            market = exchange.market_number[name]
            unit = world.usd[market] * exchange.lot[market]
            short = -(usd / unit).astype(np.int64)
            own = short != 0
            lots.setdefault(market, []).append((maker.accounts[own], short[own]))
    short = [] if world.chain is None else world.chain.short()
    for group in (*world.traders, *world.populations, *short):
        accounts, markets, sizes = group.positions()
        order = np.argsort(markets, kind="stable")
        found, first = np.unique(markets[order], return_index=True)
        for market, own in zip(
            found.tolist(), np.split(order, first[1:]), strict=False
        ):
            lots.setdefault(market, []).append((accounts[own], sizes[own]))
    for market, parts in lots.items():
        sizes = np.concatenate([n for _, n in parts])
        price = round(world.fair[market] / exchange.tick[market])
        rest = -int(sizes.sum())
        atoms = abs(rest) * price * exchange.specs[market].quote_unit
        needed = -(-atoms // POSITION_MAX)
        if needed > len(rests):
            more = world.open_accounts("counterparties", needed - len(rests))
            rests = np.concatenate([rests, more])
        others = rests[: max(1, needed)]
        shares = np.full(len(others), rest // len(others))
        shares[: rest % len(others)] += 1
        number = exchange.asset_number["USDT"]
        for account, share in zip(others.tolist(), shares.tolist(), strict=True):
            usd = float(abs(share) * world.usd[market] * exchange.lot[market])
            atoms = int(usd / exchange.atom[number])
            exchange.ledger.deposit(account, number, atoms)
        accounts = np.concatenate([*(a for a, _ in parts), others])
        sizes = np.concatenate([sizes, shares])
        exchange.ledger.open_positions(market, accounts, sizes, price)
