"""An exchange risk-engine emulator: books, unified accounts and liquidations.

>>> import flashwick as fw
>>> crash = fw.load("atom-sweep")
>>> crash.vary({'markets."ATOM/USDT".price_band': 0.3})
<Scenario atom-sweep, markets."ATOM/USDT".price_band=0.3>

Everything is imported when it is first used, so that the import itself is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine.exchange import Exchange
    from .engine.lab.attribute import attribute
    from .engine.lab.attribution import Attribution
    from .engine.lab.compare import Comparison, compare
    from .engine.lab.designs import random_design, sobol_design
    from .engine.lab.edge import Frontier
    from .engine.lab.frontier import FrontierError, frontier
    from .engine.lab.kept import KeptError
    from .engine.lab.outcomes import OutcomeError
    from .engine.lab.paired import PairedComparison
    from .engine.lab.sweep import load_sweep, sweep
    from .engine.lab.swept import Sweep
    from .engine.lab.verify import Verification, verify
    from .engine.look import UnknownMeasure
    from .engine.orders import (
        AccountView,
        Depth,
        Order,
        OrderError,
        Placed,
        Quote,
        limit,
        market,
    )
    from .engine.own import Agent, AgentError, Fill, Refusal
    from .engine.run import Run
    from .engine.running import OverError, Simulation
    from .engine.saving import SavedError, resume
    from .engine.scenario import LoadedScenario as Scenario
    from .engine.scenario import Problem, ScenarioError, load, scenarios
    from .engine.store import RunFileError, StoredRun, load_run, reproduce
    from .engine.stream_rows import StreamError
    from .engine.streams import Stream
    from .margin.markets import MarketError
    from .margin.markets import MarketSpec as Market
    from .margin.prices import IndexRule
    from .margin.rules import Rules, RulesError
    from .orderbook.errors import DataError
    from .orderbook.orders import (
        Flag,
        Kind,
        Reason,
        SelfTrade,
        Side,
        TimeInForce,
        messages,
    )

    __version__: str

__all__ = [
    # scenarios
    "Scenario",
    "load",
    "scenarios",
    "Run",
    "Simulation",
    "resume",
    "compare",
    "Comparison",
    "load_run",
    "reproduce",
    "StoredRun",
    "Verification",
    "verify",
    # many replays
    "sweep",
    "Sweep",
    "load_sweep",
    "random_design",
    "sobol_design",
    "PairedComparison",
    "attribute",
    "Attribution",
    "frontier",
    "Frontier",
    # agents of one's own, and the stream of a run
    "Agent",
    "Fill",
    "Refusal",
    "Stream",
    # an exchange of one's own
    "Exchange",
    "Market",
    "Rules",
    "IndexRule",
    "limit",
    "market",
    "Order",
    "Placed",
    "AccountView",
    "Depth",
    "Quote",
    # batches of messages
    "messages",
    "Kind",
    "Side",
    "TimeInForce",
    "Flag",
    "Reason",
    "SelfTrade",
    # what can go wrong
    "AgentError",
    "StreamError",
    "ScenarioError",
    "Problem",
    "RulesError",
    "MarketError",
    "OrderError",
    "RunFileError",
    "SavedError",
    "OverError",
    "KeptError",
    "OutcomeError",
    "FrontierError",
    "UnknownMeasure",
    "DataError",
]

# Where each name is; what it is called there, if not the same. Type checkers and
# editors read the imports above, and a test holds the two equal.
_PLACES = {
    "engine.exchange": "Exchange",
    "engine.lab.attribute": "attribute",
    "engine.lab.attribution": "Attribution",
    "engine.lab.compare": "Comparison compare",
    "engine.lab.designs": "random_design sobol_design",
    "engine.lab.edge": "Frontier",
    "engine.lab.frontier": "FrontierError frontier",
    "engine.lab.kept": "KeptError",
    "engine.lab.outcomes": "OutcomeError",
    "engine.lab.paired": "PairedComparison",
    "engine.lab.sweep": "load_sweep sweep",
    "engine.lab.swept": "Sweep",
    "engine.lab.verify": "Verification verify",
    "engine.look": "UnknownMeasure",
    "engine.orders": "AccountView Depth Order OrderError Placed Quote limit market",
    "engine.own": "Agent AgentError Fill Refusal",
    "engine.run": "Run",
    "engine.running": "OverError Simulation",
    "engine.saving": "SavedError resume",
    "engine.scenario": "LoadedScenario:Scenario Problem ScenarioError load scenarios",
    "engine.store": "RunFileError StoredRun load_run reproduce",
    "engine.stream_rows": "StreamError",
    "engine.streams": "Stream",
    "margin.markets": "MarketError MarketSpec:Market",
    "margin.prices": "IndexRule",
    "margin.rules": "Rules RulesError",
    "orderbook.errors": "DataError",
    "orderbook.orders": "Flag Kind Reason SelfTrade Side TimeInForce messages",
}
_FOUND = {
    name.split(":")[-1]: (module, name.split(":")[0])
    for module, names in _PLACES.items()
    for name in names.split()
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version(__name__)
    if name not in _FOUND:
        text = f"module {__name__!r} has no attribute {name!r}"
        # With these two Python names the nearest right word in the traceback.
        raise AttributeError(text, name=name, obj=import_module(__name__))
    module, original = _FOUND[name]
    value: object = getattr(import_module(f".{module}", __name__), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
