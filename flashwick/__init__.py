"""An exchange risk-engine emulator: books, unified accounts and liquidations.

>>> import flashwick as fw
>>> crash = fw.load("atom-sweep")
>>> banded = crash.vary({'markets."ATOM/USDT".price_band': 0.3})

Everything is imported when it is first used, so that the import itself is quick.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine.exchange import AccountView as AccountView
    from .engine.exchange import Exchange as Exchange
    from .engine.exchange import Order as Order
    from .engine.exchange import OrderError as OrderError
    from .engine.exchange import Placed as Placed
    from .engine.exchange import limit as limit
    from .engine.exchange import market as market
    from .engine.run import Run as Run
    from .engine.run import compare as compare
    from .engine.scenario import LoadedScenario as Scenario
    from .engine.scenario import Problem as Problem
    from .engine.scenario import ScenarioError as ScenarioError
    from .engine.scenario import load as load
    from .engine.scenario import scenarios as scenarios
    from .engine.verify import Verification as Verification
    from .engine.verify import verify as verify
    from .margin.markets import MarketError as MarketError
    from .margin.markets import MarketSpec as Market
    from .margin.prices import IndexRule as IndexRule
    from .margin.rules import Rules as Rules
    from .margin.rules import RulesError as RulesError

    __version__: str

# The same names for Python: where each is, and what it is called there. A test holds
# this table equal to the imports above, which type checkers and editors read.
_PLACES = {
    "engine.exchange": "AccountView Exchange Order OrderError Placed limit market",
    "engine.run": "Run compare",
    "engine.scenario": "LoadedScenario:Scenario Problem ScenarioError load scenarios",
    "engine.verify": "Verification verify",
    "margin.markets": "MarketError MarketSpec:Market",
    "margin.prices": "IndexRule",
    "margin.rules": "Rules RulesError",
}
_FOUND = {
    name.split(":")[-1]: (module, name.split(":")[0])
    for module, names in _PLACES.items()
    for name in names.split()
}

__all__ = [*_FOUND]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return metadata.version(__name__)
    if name not in _FOUND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = _FOUND[name]
    value: object = getattr(import_module(f".{module}", __name__), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
