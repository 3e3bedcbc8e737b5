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
    from .engine.attribute import attribute
    from .engine.attribution import Attribution
    from .engine.compare import Comparison, compare
    from .engine.designs import random_design, sobol_design
    from .engine.edge import Frontier
    from .engine.exchange import Exchange
    from .engine.frontier import FrontierError, frontier
    from .engine.kept import KeptError
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
    from .engine.outcomes import OutcomeError
    from .engine.own import Agent, AgentError, Fill, Refusal
    from .engine.paired import PairedComparison
    from .engine.run import Run
    from .engine.running import OverError, Simulation
    from .engine.saving import SavedError, resume
    from .engine.scenario import LoadedScenario as Scenario
    from .engine.scenario import Problem, ScenarioError, load, scenarios
    from .engine.store import RunFileError, StoredRun, load_run, reproduce
    from .engine.stream_rows import StreamError
    from .engine.streams import Stream
    from .engine.sweep import load_sweep, sweep
    from .engine.swept import Sweep
    from .engine.verify import Verification, verify
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
    "engine.attribute": "attribute",
    "engine.attribution": "Attribution",
    "engine.compare": "Comparison compare",
    "engine.edge": "Frontier",
    "engine.frontier": "FrontierError frontier",
    "engine.outcomes": "OutcomeError",
    "engine.paired": "PairedComparison",
    "engine.exchange": "Exchange",
    "engine.orders": "AccountView Depth Order OrderError Placed Quote limit market",
    "engine.designs": "random_design sobol_design",
    "engine.kept": "KeptError",
    "engine.look": "UnknownMeasure",
    "engine.own": "Agent AgentError Fill Refusal",
    "engine.running": "OverError Simulation",
    "engine.saving": "SavedError resume",
    "engine.run": "Run",
    "engine.scenario": "LoadedScenario:Scenario Problem ScenarioError load scenarios",
    "engine.store": "RunFileError StoredRun load_run reproduce",
    "engine.sweep": "load_sweep sweep",
    "engine.swept": "Sweep",
    "engine.stream_rows": "StreamError",
    "engine.streams": "Stream",
    "engine.verify": "Verification verify",
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
