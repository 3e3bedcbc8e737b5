"""Transactions of a scenario's timeline: what somebody does on chain at a time."""

from typing import TYPE_CHECKING

from ...margin.presets import nearest
from ..agents import Agent
from ..config import Shock
from ..events import NO_CAUSE
from ..reading.sources import Problem, ScenarioError
from .protocol import ISSUED

if TYPE_CHECKING:
    from ..simulation import World


class Deal(Agent):
    """One shock's transaction, done once or so many times over its time."""

    group = "chain"
    machinery = True

    def __init__(self, world: "World", number: int, shock: Shock) -> None:
        apart = shock.over / shock.slices if shock.over else 1.0
        super().__init__(world, f"deal {number}", apart)
        self.shock = shock
        self.event = NO_CAUSE
        who = shock.who or ""
        self.who = who if "." in who else f"wallets.{who}"
        assert world.chain is not None
        holders = world.chain.around.booking.accounts.keys() - {ISSUED}
        if self.who not in holders or self.who in world.chain.around.places:
            owners = holders - world.chain.around.places.keys()
            text = f"{who!r} is nobody who could act{nearest(who, sorted(owners))}"
            place = f"shocks.{number}.who"
            raise ScenarioError([Problem(world.config.name, None, place, text)])

    def wake(self, now: int) -> None:
        """Do it; a refusal is told, and changes nothing."""
        chain = self.world.chain
        assert chain is not None
        chain.transact(self.who, self.shock.steps, now, self.event)
