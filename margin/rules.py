"""The rules of a venue as data: presets, overrides, and the curves compiled code reads.

A preset is one file in ``data/presets``: adding a venue is adding a file. Each
parameter there carries its evidence. `Rules.build` lays overrides over a preset and
reports every problem at once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

import attrs
import numpy as np

from .contradictions import contradictions
from .curves import Curve, Curves, Haircut, Margin, flatten
from .parameters import (
    ADL_PRICES,
    ADL_TRIGGERS,
    ALLOCATIONS,
    FUNDS,
    GROUPS,
    RANKINGS,
    REPAY_ORDERS,
    RESIDUALS,
    STEPS,
    Account,
    Adl,
    Fees,
    Funding,
    Interest,
    Liquidation,
    Mark,
    Ratio,
    State,
    Thresholds,
)
from .presets import (
    Evidence,
    Leaf,
    Problems,
    RulesError,
    document,
    leaves,
    missing_as_one,
    names_file,
    nearest,
    parse_document,
    presets,
    read_group,
    read_table,
    read_text,
    shown,
)
from .schedule import Floats, Schedule
from .stress import RiskUnit, StressMargin
from .tables import BY_SYMBOL, OPENING, STRESS, TABLES

__all__ = [
    "ADL_PRICES",
    "ADL_TRIGGERS",
    "ALLOCATIONS",
    "BY_SYMBOL",
    "FUNDS",
    "GROUPS",
    "RANKINGS",
    "REPAY_ORDERS",
    "RESIDUALS",
    "STEPS",
    "TABLES",
    "Account",
    "Adl",
    "Fees",
    "Funding",
    "Interest",
    "Liquidation",
    "Mark",
    "Ratio",
    "Rules",
    "RulesError",
    "State",
    "Thresholds",
    "bracket_symbol",
    "settle_asset",
    "underlying",
]


def bracket_symbol(market: str) -> str:
    """The venue's symbol of a perpetual market.

    >>> bracket_symbol("ATOM/USDT:PERP")
    'ATOMUSDT'
    """
    return _capitals("market", market).split(":")[0].replace("/", "")


def settle_asset(market: str) -> str:
    """The asset a market is quoted and settled in.

    >>> settle_asset("ATOM/USDT:PERP")
    'USDT'
    """
    return _capitals("market", market).split(":")[0].partition("/")[2]


def underlying(market: str) -> str:
    """What a market's price is of: its base, or the coin it quotes the dollar in.

    >>> underlying("ATOM/USDT:PERP"), underlying("USD/BTC:PERP")
    ('ATOM', 'BTC')
    """
    base, _, quote = _capitals("market", market).split(":")[0].partition("/")
    return quote if base == "USD" else base


def _capitals(what: str, name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what!r} must be the name of one (got {shown(name)})")
    return name.upper()


Entry = TypeVar("Entry")


@attrs.frozen(kw_only=True)
class Rules:
    """Everything a venue decides: valuation, thresholds, fees, liquidation.

    Assets and symbols are looked up in capitals; those without an entry get that of
    ``default``.

    >>> rules = Rules.build("binance-pm", {"liquidation": {"rate_limit": 50}})
    >>> rules.liquidation.rate_limit, rules.collateral_of("WBETH").rates
    (50, (0.9,))
    """

    name: str
    account: Account
    ratio: Ratio
    thresholds: Thresholds
    fees: Fees
    interest: Interest
    funding: Funding
    mark: Mark
    liquidation: Liquidation
    adl: Adl
    collateral: Mapping[str, Haircut]
    """By asset: what a holding counts for."""

    collateral_initial: Mapping[str, Haircut]
    """By asset: what it counts for when an order is judged."""

    liability: Mapping[str, Margin]
    """By asset: what a debt weighs in adjusted equity."""

    borrow: Mapping[str, Margin]
    """By asset: the maintenance margin of a debt."""

    borrow_initial: Mapping[str, Margin]
    """By asset: its margin when an order is judged."""

    brackets: Mapping[str, Margin]
    """By symbol: the maintenance margin of a position, in its settle asset."""

    initial: Mapping[str, Margin]
    """By symbol: its margin when an order is judged."""

    conversion: Mapping[str, float]
    """By asset: what a coin loses of its index when the venue converts it."""

    deposit_scale: Mapping[str, float | None]
    """By asset: deposits at the venue, US dollars, beyond which it counts less."""

    open_interest: Mapping[str, tuple[float, float] | None]
    """By symbol: open interest between which the initial rate rises to 1."""

    stress: Mapping[str, Mapping[str, float]]
    """By underlying: the moves of a risk unit; empty where brackets decide."""

    stress_extreme: Mapping[str, float]
    """By underlying: the share of the loss in an extreme move that is asked for."""

    stress_charge: Mapping[str, float]
    """By underlying: what closing takes at least, of all that is held."""

    stress_scale: Mapping[str, Schedule]
    """By underlying: what each slice of that is multiplied by."""

    depeg: Mapping[str, Schedule]
    """By stablecoin: what hedges between it and another dollar need."""

    parameters: Mapping[str, Leaf] = attrs.field(repr=False)
    """All of it as read, by path, as in ``thresholds.warn`` or ``collateral.WBETH``."""

    # -- MAKING

    @classmethod
    def presets(cls) -> tuple[str, ...]:
        """Names of the shipped venues."""
        return presets()

    @classmethod
    def preset(cls, name: str) -> "Rules":
        """The rules of a shipped venue; RulesError for an unknown name."""
        return cls.build(name, {})

    @classmethod
    def load(
        cls,
        source: str | PathLike[str],
        overrides: Mapping[str, Any] | None = None,
    ) -> "Rules":
        """A shipped venue by its name, or one of your own by the path of its file.

        A text that ends in ``.toml`` is a path. Raises one RulesError with every
        problem.
        """
        if not isinstance(source, str | PathLike):
            text = "must be the name of a preset or the path of a file"
            raise RulesError([("source", f"{text} (got {shown(source)})")])
        if names_file(source):
            return cls.parse(fspath(source), read_text(source), overrides)
        return cls.build(fspath(source), overrides or {})

    @classmethod
    def parse(
        cls, file: str, text: str, overrides: Mapping[str, Any] | None = None
    ) -> "Rules":
        """The rules that the text of a file says, named as the file.

        Raises one RulesError with every problem.
        """
        tables = parse_document(file, text)
        return _read(Path(file).stem, tables, overrides or {})

    @classmethod
    def build(cls, preset: str, overrides: Mapping[str, Any]) -> "Rules":
        """A preset with overrides laid over it, keyed as in the preset's file.

        An override is a bare value or a table of value, grade and source. Raises one
        RulesError with every problem.
        """
        return _read(preset, document(preset), overrides)

    def changed(self, overrides: Mapping[str, Any]) -> "Rules":
        """These rules with overrides laid over them, as in `build`."""
        return _made(self.name, self.parameters, overrides, [])

    # -- QUERIES: of one asset or market

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Where each parameter comes from, by path."""
        return {path: leaf.evidence for path, leaf in self.parameters.items()}

    def collateral_of(self, asset: str) -> Haircut:
        """What a holding of an asset counts for."""
        return _listed(self.collateral, _capitals("asset", asset))

    def collateral_initial_of(self, asset: str, deposits_usd: float = 0.0) -> Haircut:
        """What a holding counts for when an order is judged.

        Where the rules have a scale, the weight falls as deposits of all users rise
        above it.

        Source: drift-labs/protocol-v2 at 0ae3e3b1, state/spot_market.rs
        """
        curve = self.collateral_initial.get(_capitals("asset", asset))
        curve = curve or self.collateral_initial.get("default")
        curve = curve or self.collateral_of(asset)
        start = _listed(self.deposit_scale, _capitals("asset", asset))
        if start is None or deposits_usd < start:
            return curve
        return curve.scaled(start / deposits_usd)

    def liability_of(self, asset: str) -> Margin:
        """What a debt weighs in adjusted equity."""
        return _listed(self.liability, _capitals("asset", asset))

    def borrow_of(self, asset: str) -> Margin:
        """The maintenance margin of a debt."""
        return _listed(self.borrow, _capitals("asset", asset))

    def borrow_initial_of(self, asset: str) -> Margin:
        """The margin of a debt when an order is judged."""
        curve = self.borrow_initial.get(_capitals("asset", asset))
        return curve or self.borrow_initial.get("default") or self.borrow_of(asset)

    def brackets_of(self, market: str) -> Margin:
        """The maintenance margin of a perpetual, by market name or symbol.

        It holds the liquidation fee, where the rules say so. With risk units it is
        what a position needs that nothing hedges, and goes by market name.
        """
        unit = self.risk_unit(underlying(market))
        if unit is not None:
            return unit.net_curve
        curve = _listed(self.brackets, bracket_symbol(market))
        return curve.plus(self.account.fee_in_margin)

    def initial_of(self, market: str, open_interest_usd: float = 0.0) -> Margin:
        """The margin of a perpetual when an order is judged.

        Where the rules have bounds, the rate rises to 1 as the open interest goes
        from the lower to the upper.

        Source: dydxprotocol/v4-chain at 84d4664b, perpetuals/types/liquidity_tier.go
        """
        symbol = bracket_symbol(market)
        curve = self.initial.get(symbol) or self.initial.get("default")
        if curve is None and self.account.initial == "maintenance":
            return self.brackets_of(market)
        if curve is None:
            brackets = _listed(self.brackets, symbol)
            assert isinstance(brackets, Schedule)
            curve = brackets.by_leverage()
        bounds = _listed(self.open_interest, symbol)
        if bounds is not None and isinstance(curve, Schedule):
            lower, upper = bounds
            part = min(max((open_interest_usd - lower) / (upper - lower), 0.0), 1.0)
            rates = [rate + part * (1.0 - rate) for rate in curve.rates]
            curve = attrs.evolve(curve, rates=rates)
        return curve.plus(self.account.fee_in_margin)

    def risk_unit(self, underlying: str) -> RiskUnit | None:
        """The moves that positions of an underlying must stand; None for brackets."""
        if not self.stress:
            return None
        name = _capitals("underlying", underlying)
        moves = _listed(self.stress, name)
        return RiskUnit(
            shock=moves["shock"],
            extreme=moves["extreme"],
            basis=moves["basis"],
            extreme_share=_listed(self.stress_extreme, name),
            charge=_listed(self.stress_charge, name),
            scale=_listed(self.stress_scale, name),
        )

    def position_margin(
        self, assets: Sequence[str], markets: Sequence[str]
    ) -> StressMargin | None:
        """The margin of positions by risk units; None where brackets decide."""
        if not self.stress:
            return None
        names = [underlying(market) for market in markets]
        units = {name: self.risk_unit(name) for name in names}
        return StressMargin(
            [
                (
                    name,
                    settle_asset(market),
                    -1.0 if market[:4].upper() == "USD/" else 1.0,
                )
                for name, market in zip(names, markets, strict=True)
            ],
            [asset.upper() for asset in assets],
            {name: unit for name, unit in units.items() if unit is not None},
            self.depeg,
        )

    def conversion_of(self, asset: str) -> float:
        """What a coin loses of its index when the venue converts it."""
        return _listed(self.conversion, _capitals("asset", asset))

    # -- QUERIES: what the compiled pass reads

    def terms(
        self,
        assets: Sequence[str],
        markets: Sequence[str],
        *,
        deposits_usd: Mapping[str, float] | None = None,
        open_interest_usd: Mapping[str, float] | None = None,
    ) -> Mapping[str, Curves]:
        """The curves of these assets and markets, end to end, by name.

        ``collateral``, ``liability``, ``borrow`` and, by market, ``brackets`` are
        for maintenance; ``collateral_initial``, ``borrow_initial`` and ``initial``
        judge orders. Deposits by asset and open interest by market are those of the
        whole venue.
        """
        deposits, interest = deposits_usd or {}, open_interest_usd or {}
        curves: Mapping[str, Iterable[Curve]] = {
            "collateral": map(self.collateral_of, assets),
            "collateral_initial": (
                self.collateral_initial_of(a, deposits.get(a, 0.0)) for a in assets
            ),
            "liability": map(self.liability_of, assets),
            "borrow": map(self.borrow_of, assets),
            "borrow_initial": map(self.borrow_initial_of, assets),
            "brackets": map(self.brackets_of, markets),
            "initial": (self.initial_of(m, interest.get(m, 0.0)) for m in markets),
        }
        return {name: flatten(every) for name, every in curves.items()}

    def margin_factors(self, markets: Sequence[str]) -> Floats:
        """What the margin of each market is multiplied by in US dollars.

        1, or the weight of a debt in the settle asset where the venue converts margins
        at its ask.
        """
        if self.account.margin_at == "index":
            return np.ones(len(markets))
        debts = [self.liability_of(settle_asset(market)) for market in markets]
        return np.array([debt.amount(1.0, 1.0) for debt in debts], np.float64)


def _listed(table: Mapping[str, Entry], key: str) -> Entry:
    return table[key] if key in table else table["default"]


# -- READING -----------------------------------------------------------------------

KNOWN: Mapping[str, Collection[str] | None] = dict.fromkeys(TABLES) | {
    group: tuple(attrs.fields_dict(kind)) for group, kind in GROUPS.items()
}
"""The names that each group may hold; None where a file gives them."""


def _read(name: str, tables: Mapping[str, Any], overrides: Mapping[str, Any]) -> Rules:
    problems: Problems = []
    return _made(name, _file(tables, problems), overrides, problems)


def _file(tables: Mapping[str, Any], problems: Problems) -> dict[str, Leaf]:
    # What is like another preset: its values, but for the tables given here.
    own = dict(tables)
    sources, like = own.pop("sources", {}), own.pop("like", None)
    if not isinstance(sources, Mapping) or not all(
        isinstance(text, str) for text in sources.values()
    ):
        text = "must be a table of texts, as in page = 'https://…'"
        problems.append(("sources", f"{text} (got {shown(sources)})"))
        sources = {}
    found = leaves(own, KNOWN, problems, sources)
    if like is None:
        return found
    if like not in presets():
        text = f"must be one of {', '.join(presets())} (got {shown(like)})"
        problems.append(("like", text + nearest(like, presets())))
        # What it would have given is not missing.
        raise RulesError(problems)
    inherited = _file(document(like), problems)
    replaced = {table for table in TABLES if table in own}
    kept = {p: leaf for p, leaf in inherited.items() if p.split(".")[0] not in replaced}
    return kept | found


def _made(
    name: str,
    found: Mapping[str, Leaf],
    overrides: Mapping[str, Any],
    problems: Problems,
) -> Rules:
    found = {**found, **leaves(overrides, KNOWN, problems)}
    parts: dict[str, Any] = {}
    for group, kind in GROUPS.items():
        parts[group] = read_group(group, kind, found, problems)
    stressed = any(path.partition(".")[0] in STRESS for path in found)
    for table, parse in TABLES.items():
        needed = table not in OPENING and (table not in STRESS or stressed)
        parts[table] = read_table(table, parse, found, problems, needs_default=needed)
    problems += contradictions(parts)
    if problems:
        raise RulesError(missing_as_one(problems))
    parts |= {group: kind(**parts[group]) for group, kind in GROUPS.items()}
    return Rules(name=name, parameters=found, **parts)
