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
    from .engine.compare import Comparison, compare
    from .engine.exchange import Exchange
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
    from .engine.run import Run
    from .engine.scenario import LoadedScenario as Scenario
    from .engine.scenario import Problem, ScenarioError, load, scenarios
    from .engine.store import RunFileError, StoredRun, load_run, reproduce
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
    "compare",
    "Comparison",
    "load_run",
    "reproduce",
    "StoredRun",
    "Verification",
    "verify",
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
    "ScenarioError",
    "Problem",
    "RulesError",
    "MarketError",
    "OrderError",
    "RunFileError",
    "DataError",
]

# Where each name is; what it is called there, if not the same. Type checkers and
# editors read the imports above, and a test holds the two equal.
_PLACES = {
    "engine.compare": "Comparison compare",
    "engine.exchange": "Exchange",
    "engine.orders": "AccountView Depth Order OrderError Placed Quote limit market",
    "engine.run": "Run",
    "engine.scenario": "LoadedScenario:Scenario Problem ScenarioError load scenarios",
    "engine.store": "RunFileError StoredRun load_run reproduce",
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
