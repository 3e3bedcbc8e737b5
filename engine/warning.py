"""Warnings of what a scenario most likely does not mean."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .simulation import World


def warn_of_ruin(world: "World") -> None:
    """Warn of accounts that start in liquidation."""
    low = np.array(list(world.exchange.liquidator.cases), np.int64)
    for group in (*world.makers, *world.traders, *world.populations):
        ruined = int(np.isin(group.accounts, low).sum())
        if ruined:
            warnings.warn(
                f"{group.group}.{group.name}: {ruined:,} of "
                f"{len(group.accounts):,} accounts start in liquidation; lower "
                "what they owe (leverage, inventory, shares above 1), or give "
                "them collateral that counts for more",
                stacklevel=6,
            )


def warn_of_no_asks(world: "World") -> None:
    """Warn of makers that are to rest both sides of a book and have no coins."""
    # Who rests a share of the depth, both sides, needs coins in some account.
    exchange = world.exchange
    for maker in world.makers:
        if maker.settings.share is None:
            continue
        spot = ~exchange.perpetual[maker.markets]
        bases = exchange.base[maker.markets]
        coins = exchange.ledger.balances_in(maker.accounts, bases)
        held = coins[maker.maker, maker.column] > 0
        spot &= np.isin(np.arange(len(spot)), maker.column)
        spot[maker.column[held]] = False
        empty = maker.markets[spot].tolist()
        if empty:
            others = f" and {len(empty) - 1:,} more" if empty[1:] else ""
            warnings.warn(
                f"market_makers.{maker.name}: none of its accounts has coins to "
                f"sell in {exchange.markets[empty[0]]}{others}, so it quotes no "
                "asks there; give them collateral, inventory or stock",
                stacklevel=6,
            )
