"""Coins on their way between accounts on chain and accounts of the exchange."""

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..simulation import World


class Bridge:
    """The transfer channel as protocols' users see it.

    What is on its way lies in an account of its own, so that nothing leaves the ledger.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.account = -1  # opened with the first transfer that there may be
        # When they arrive, sequence, account, asset, atoms.
        self._coming: list[tuple[int, int, int, int, int]] = []
        self._sequence = 0
        self._arrived: dict[tuple[int, int], int] = {}

    def arrived(self, account: int, asset: int) -> int:
        """Atoms of an asset that an account has been handed since the start."""
        return self._arrived.get((account, asset), 0)

    def coming(self, account: int, asset: int) -> int:
        """Atoms of an asset that are on their way to an account."""
        rows = self._coming
        return sum(row[4] for row in rows if row[2] == account and row[3] == asset)

    def open(self) -> None:
        """Have an account for what is on its way."""
        if self.account < 0:
            self.account = int(self.world.open_accounts("chain", 1)[0])

    def send(self, source: int, target: int, asset: int, now: int, way: str) -> int:
        """Send all of an asset that an account has, as far as the channel takes it.

        ``way`` is ``in`` to the exchange, ``out`` of it. Returns the atoms on their
        way.
        """
        world, ledger = self.world, self.world.exchange.ledger
        has = ledger.balance(source, asset)
        if has <= 0:
            return 0
        unit = float(world.exchange.atom[asset] * world.outside.price[asset])
        taken = world.channel.take(has * unit, now, way)
        atoms = has if taken >= has * unit else int(taken / unit)
        if atoms <= 0:
            return 0
        ledger.transfer(asset, source, self.account, atoms)
        due = now + int(world.channel.settings.latency * 1e9)
        heappush(self._coming, (due, self._sequence, target, asset, atoms))
        self._sequence += 1
        return atoms

    def deliver(self, now: int) -> None:
        """Hand over what has arrived."""
        while self._coming and self._coming[0][0] <= now:
            _, _, target, asset, atoms = heappop(self._coming)
            self.world.exchange.ledger.transfer(asset, self.account, target, atoms)
            key = target, asset
            self._arrived[key] = self._arrived.get(key, 0) + atoms
