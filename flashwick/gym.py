"""A Gymnasium environment around one market maker of a scenario.

    pip install 'flashwick[gym]'

Everybody else of the scenario acts as in a run; the maker quotes one bid and one ask,
which each step renews. Gymnasium is not needed for anything else of flashwick.
"""

from numbers import Real
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine.lab.outcomes import loaded
from .engine.own import Agent, Fill
from .engine.scenario import LoadedScenario
from .engine.seats import check_agents
from .engine.simulation import World

try:
    from gymnasium import Env, register, registry
    from gymnasium.spaces import Box
except ImportError as error:  # told with the remedy
    raise ImportError(
        "flashwick.gym needs Gymnasium, which is not installed: "
        "pip install 'flashwick[gym]'"
    ) from error

Vector = NDArray[np.float32]

ID = "flashwick/MarketMaker-v0"
"""What `gymnasium.make` knows it by, once this module is imported."""

DISTANCE_MIN_BP, DISTANCE_MAX_BP = 1.0, 1_000.0
"""Nearest and farthest that a quote is from the outside price, basis points."""

NEAR = 0.01
"""Depth is counted within this share of the middle."""

OBSERVED: dict[str, tuple[float, float]] = {
    "time_left": (0.0, 1.0),  # share of the run
    "spread_bp": (0.0, 10_000.0),  # of the book; the most where a side is empty
    "premium": (-1.0, 10.0),  # middle of the book over the outside price, less 1
    "move": (-1.0, 10.0),  # of the middle since the last step, share
    "bid_depth_usd_m": (0.0, 1_000.0),  # within 1 % of the middle, million US dollars
    "ask_depth_usd_m": (0.0, 1_000.0),
    "inventory": (-10.0, 10.0),  # the base asset over equity at the start
    "equity": (-10.0, 10.0),  # over that at the start
    "health": (0.0, 100.0),  # adjusted equity over maintenance margin
}
"""What is seen, in this order, with the lowest and the highest value of each."""

ACTIONS = ("bid_distance", "ask_distance", "bid_size", "ask_size")
"""What is chosen, each from -1 to 1: distances from 1 to 1,000 basis points of the
outside price, sizes from nothing to ``size_usd``."""


class Quoter(Agent):
    """The maker that the environment drives: one bid and one ask in one market."""

    name = "maker"
    interval = None
    like = "market_makers"

    def __init__(
        self, traded: str, size_usd: float, deposits: dict[str, float]
    ) -> None:
        self.traded, self.size_usd = traded, size_usd
        self.deposits = deposits
        self.fills = 0

    def filled(self, fill: Fill) -> None:
        """Count the trades."""
        self.fills += 1

    def middle(self) -> float:
        """Middle of the book; the outside price where a side is empty."""
        middle = self.best(self.traded).mid
        return middle if middle == middle else self.fair()

    def fair(self) -> float:
        """The price outside, in the quote asset."""
        base, quote = self.traded.removesuffix(":PERP").split("/")
        return self.outside(base) / self.outside(quote)

    def quote(self, action: Vector) -> None:
        """Replace both quotes."""
        share = (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
        reach = DISTANCE_MAX_BP - DISTANCE_MIN_BP
        distance = (DISTANCE_MIN_BP + reach * share[:2]) * 1e-4
        fair = self.fair()
        quote = self.traded.removesuffix(":PERP").split("/")[1]
        qty = self.size_usd * share[2:] / (fair * self.outside(quote))
        self.cancel_all(self.traded)
        self.buy(self.traded, float(qty[0]), fair * (1.0 - float(distance[0])))
        self.sell(self.traded, float(qty[1]), fair * (1.0 + float(distance[1])))


class MarketMakerEnv(Env[Vector, Vector]):
    """One market maker in one market of a scenario, from its start to its end.

    A step is ``interval`` seconds of simulated time; the reward is the change of the
    account's equity, in US dollars. The maker has ``equity_usd``, in a spot market half
    of it in coins; each quote is at most ``size_usd``. An episode is terminated when
    the account is liquidated, and truncated at the end of the run. `OBSERVED` and
    `ACTIONS` say what the numbers are. ``reset(seed)`` takes the seed of the run.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as in Env)

    def __init__(
        self,
        scenario: str | PathLike[str] | LoadedScenario = "unified-margin-wick",
        market: str = "ATOM/USDT",
        *,
        equity_usd: float = 1_000_000.0,
        size_usd: float = 100_000.0,
        interval: float = 1.0,
    ) -> None:
        self.scenario = loaded(scenario)
        known = self.scenario.config.markets
        if market not in known:
            names = ", ".join(known)
            raise ValueError(f"'market' must be one of {names} (got {market!r})")
        for name, value in (
            ("equity_usd", equity_usd),
            ("size_usd", size_usd),
            ("interval", interval),
        ):
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0.0 < value < float("inf"):
                raise ValueError(f"{name!r} must be above 0 (got {value!r})")
        duration = self.scenario.config.duration
        if interval >= duration:
            told = f"must be shorter than the run, {duration:g} s (got {interval!r})"
            raise ValueError(f"'interval' {told}")
        self.market, self.interval = market, interval
        self.equity_usd, self.size_usd = equity_usd, size_usd
        low, high = np.array(list(OBSERVED.values()), np.float32).T
        self.observation_space = Box(low, high, dtype=np.float32)
        self.action_space = Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        self._world: World | None = None

    # -- THE EPISODE

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """Start a run; without a seed, with one drawn from those of the last."""
        super().reset(seed=seed)
        run_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        maker = Quoter(self.market, self.size_usd, self._deposits())
        agents = check_agents([maker], self.scenario.agents)
        world = World(self.scenario, run_seed, list(agents.values()))
        self._world, self._steps = world, 0
        found = world.party.seats[maker.name].user
        assert isinstance(found, Quoter)
        self._maker = found
        # Everybody has looked at the market once, and the first quotes are there.
        world.proceed(self._due())
        self._equity = self._first = self._maker.view().equity
        self._middle = self._maker.middle()
        return self._observe(), self._info(run_seed)

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Quote, let the interval pass, and look."""
        world = self._world
        if world is None:
            raise RuntimeError("reset() must come before step()")
        seat = world.party.seats[self._maker.name]
        seat.call("quote", np.asarray(action, np.float32))
        self._steps += 1
        world.proceed(min(self._due(), world.end))
        equity = self._maker.view().equity
        reward, self._equity = equity - self._equity, equity
        observed = self._observe()
        terminated = self._maker.liquidated
        truncated = not terminated and self._due() >= world.end
        return observed, float(reward), terminated, truncated, self._info(world.seed)

    # -- WHAT IT IS MADE OF

    def _due(self) -> int:
        # When the next step begins; the first interval is the market's own.
        return round((self._steps + 1) * self.interval * 1e9)

    def _deposits(self) -> dict[str, float]:
        base, quote = self.market.removesuffix(":PERP").split("/")
        assets = self.scenario.config.assets
        share = 0.0 if self.market.endswith(":PERP") else 0.5
        parts = {base: share, quote: 1.0 - share}
        return {
            asset: round(
                part * self.equity_usd / assets[asset].price, assets[asset].decimals
            )
            for asset, part in parts.items()
            if part
        }

    def _observe(self) -> Vector:
        world, maker = self._world, self._maker
        assert world is not None
        exchange = world.exchange
        quote, view = exchange.best(self.market), maker.view()
        middle = maker.middle()
        number = exchange.market_number[self.market]
        depth = exchange.books.depth_within(round(NEAR * 1e6))[number]
        base, priced = self.market.removesuffix(":PERP").split("/")
        lot_usd = exchange.lot[number] * middle * maker.outside(priced) * 1e-6
        perpetual = bool(exchange.perpetual[number])
        held = (
            view.positions.get(self.market, 0.0)
            if perpetual
            else (view.balances.get(base, 0.0))
        )
        health = view.health if np.isfinite(view.health) else 100.0
        spread = quote.spread / middle * 1e4
        values = [
            1.0 - min(1.0, self._due() / world.end),
            spread if np.isfinite(spread) else 10_000.0,
            middle / maker.fair() - 1.0,
            middle / self._middle - 1.0,
            float(depth[0, 0]) * lot_usd,
            float(depth[1, 0]) * lot_usd,
            held * middle * maker.outside(priced) / self._first,
            view.equity / self._first,
            health,
        ]
        self._middle = middle
        space = self.observation_space
        assert isinstance(space, Box)
        seen = np.clip(np.array(values, np.float32), space.low, space.high)
        return np.asarray(seen, np.float32)

    def _info(self, seed: int) -> dict[str, Any]:
        return {
            "seed": seed,
            "time": self._maker.time,
            "equity_usd": self._equity,
            "fills": self._maker.fills,
        }


if ID not in registry:
    register(ID, "flashwick.gym:MarketMakerEnv")
