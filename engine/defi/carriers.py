"""Who does a circle over the exchange, where the last step of it takes time."""

from typing import TYPE_CHECKING

from ..events import NO_CAUSE
from .actions import Transaction
from .keepers import SMALLEST, Circles
from .liquidators import BookRoute
from .outlet import Outlet
from .protocol import Refused
from .settings import Cycles, Step

if TYPE_CHECKING:
    from .chain import Chain


class Carriers(Circles):
    """A circle whose end is a sale in a book, with money of its own.

    The steps are done at once, at the size that pays best at the bids as they stand;
    what they brought is carried to the exchange and sold there. Whoever does it bears
    what the price does on the way, and waits while the channel is cut.
    """

    def __init__(self, chain: "Chain", name: str, settings: Cycles) -> None:
        super().__init__(chain, name, settings)
        self.outlet = Outlet(self, self.label, str(settings.book))
        self.route = BookRoute(())
        self.cause = NO_CAUSE

    def holders(self) -> list[str]:
        """One on chain, one on the exchange."""
        return [self.label, self.outlet.there]

    def begin(self) -> None:
        """Bring money."""
        self.chain.give(self.label, self.settings.asset, self.settings.money)

    def wake(self, now: int) -> None:
        """Sell what has arrived, and do the steps again if they pay."""
        self.profit += self.outlet.turn(now, self.cause)
        if not self.settings.enabled or not self.world.channel.open:
            return
        chain, settings = self.chain, self.settings
        most = min(
            chain.amounts.atoms(settings.asset, settings.most),
            self.balance(self.label, settings.asset),
        )
        least = max(1, int(most * SMALLEST))
        self.route = self.outlet.route(settings.keep)
        if most < least or self._gain(least, now) <= 0:
            return
        atoms = self._best(least, most, now)
        tx = self._tried(atoms, now)
        cost = chain.amounts.atoms(settings.asset, settings.cost)
        if tx is None or self._earned(tx) <= cost:
            return
        try:
            self.cause = chain.commit(tx, chain.last_at(settings.steps[0].on or ""))
        except Refused:
            return
        self.profit += tx.gained(settings.asset)
        self.turned += atoms
        self.outlet.turn(now, self.cause)

    def _gain(self, atoms: int, now: int) -> int:
        tx = self._tried(atoms, now)
        return self._earned(tx) if tx is not None else -1

    def _earned(self, tx: Transaction) -> int:
        # What it costs is known, what the book pays is reckoned.
        paid = self.route.proceeds(tx.gained(self.outlet.base))
        return paid + tx.gained(self.settings.asset)

    def _tried(self, atoms: int, now: int) -> Transaction | None:
        chain, steps = self.chain, self.settings.steps
        tx = Transaction(chain.around.places, chain.setting, self.label, now)
        try:
            tx.do(steps[0], atoms)
            for step in steps[1:]:
                tx.do(step, self._brought(tx, step))
        except Refused:
            return None
        return tx

    def _brought(self, tx: Transaction, step: Step) -> int | None:
        # Only what the steps before brought, and not what is left of other times.
        gained = tx.gained(step.give) if step.give is not None else 0
        return gained if gained > 0 else None
