"""The rules of a venue as data: presets, overrides, and the arrays compiled code reads.

A preset is one file in ``data/presets``: adding a venue is adding a file. Each
parameter there carries its evidence. `Rules.build` lays overrides over a preset and
reports every problem at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from math import inf
from typing import Any

import attrs

from .presets import Evidence, Leaf, RulesError, document, leaves, nearest, table_key
from .schedule import Schedule, Tiers, flatten, is_number

__all__ = [
    "Account",
    "Fees",
    "Funding",
    "Interest",
    "Liquidation",
    "Rules",
    "RulesError",
    "State",
    "Thresholds",
    "bracket_symbol",
    "virtual_max_loan",
]

STEPS = (
    "cancel_orders",
    "repay",
    "sell_collateral",
    "reduce_positions",
    "takeover",
    "insurance_fund",
    "claim",
)
"""The steps a liquidation may take; rules name those it does take, in order."""

PRICE_CAPS = ("bankruptcy", "market")
"""Worst price of a forced order: the bankruptcy price, or whatever is bid."""


# -- PARAMETERS: each says how it is read from a file ------------------------------

Parse = Callable[[object], Any]


def _number(value: object) -> float:
    if not is_number(value) or not 0.0 <= value < inf:
        raise ValueError(f"must be a number, at least 0 (got {value!r})")
    return float(value)


def _positive(value: object) -> float:
    if not is_number(value) or not 0.0 < value < inf:
        raise ValueError(f"must be a number above 0 (got {value!r})")
    return float(value)


def _share(value: object) -> float:
    if not is_number(value) or not 0.0 < value <= 1.0:
        raise ValueError(f"must be above 0 and at most 1 (got {value!r})")
    return float(value)


def _ppm(value: object) -> int:
    # Negative: a rebate, as makers get on many venues.
    if type(value) is not int or not -1_000_000 < value < 1_000_000:
        raise ValueError(f"must be a whole number of parts per million (got {value!r})")
    return value


def _rate_limit(value: object) -> int | None:
    if value is None or value == "none":
        return None
    if type(value) is not int or value < 1:
        raise ValueError(
            f"must be a whole number of orders a second, at least 1, or 'none' "
            f"(got {value!r})"
        )
    return value


def _choice(words: Sequence[str]) -> Parse:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(
                f"must be one of {', '.join(words)} (got {value!r})"
                + nearest(value, words)
            )
        return value

    return parse


def _steps(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"must be a list of steps (got {value!r})")
    steps = tuple(map(_choice(STEPS), value))
    for i, step in enumerate(steps):
        if step in steps[:i]:
            raise ValueError(f"must name each step once (got {step!r} again)")
    return steps


def _param(parse: Parse) -> Any:
    return attrs.field(metadata={"parse": parse})


class State(IntEnum):
    """What an account may do, from its health."""

    HEALTHY = 0
    WARN = 1
    REDUCE_ONLY = 2
    LIQUIDATE = 3


@attrs.frozen(kw_only=True)
class Account:
    """How an account is valued and what it may take out."""

    negative_multiplier: float = _param(_number)
    """What one dollar owed weighs in adjusted equity."""

    withdraw_multiple: float = _param(_number)
    """Multiple of the maintenance margin that has to stay in the account."""

    def max_withdraw(self, equity: float, maintenance: float) -> float:
        """Most US dollars an account can take out, from its adjusted equity.

        Source: https://www.binance.com/en/support/faq/446ce2c3357a449599c82436078b0e3b
        """
        return max(equity - self.withdraw_multiple * maintenance, 0.0)


@attrs.frozen(kw_only=True)
class Thresholds:
    """Healths (adjusted equity over maintenance margin) that change the state."""

    warn: float = _param(_number)
    reduce_only: float = _param(_number)
    liquidate: float = _param(_positive)

    def state(self, health: float) -> State:
        """The state of an account of this health.

        >>> Rules.preset("binance-pm").thresholds.state(1.2).name
        'REDUCE_ONLY'
        """
        if health <= self.liquidate:
            return State.LIQUIDATE
        if health <= self.reduce_only:
            return State.REDUCE_ONLY
        return State.WARN if health <= self.warn else State.HEALTHY


@attrs.frozen(kw_only=True)
class Fees:
    """Parts per million of a trade's notional; negative pays the account."""

    spot_maker_ppm: int = _param(_ppm)
    spot_taker_ppm: int = _param(_ppm)
    perpetual_maker_ppm: int = _param(_ppm)
    perpetual_taker_ppm: int = _param(_ppm)
    liquidation_ppm: int = _param(_ppm)
    """On forced trades, to the insurance fund, beside the taker fee."""


@attrs.frozen(kw_only=True)
class Interest:
    """What a negative balance costs."""

    daily_rate: float = _param(_number)
    threshold_usd: float = _param(_number)

    def due(self, balance_usd: float) -> float:
        """US dollars a balance is charged at 00:00 UTC.

        Source: https://www.binance.com/en/support/faq/c1df531bb7c44ea2a10919a74fd84f5e
        """
        return abs(min(balance_usd + self.threshold_usd, 0.0)) * self.daily_rate


@attrs.frozen(kw_only=True)
class Funding:
    """How often longs and shorts of a perpetual pay each other."""

    interval_s: float = _param(_positive)


@attrs.frozen(kw_only=True)
class Liquidation:
    """How an account is liquidated."""

    steps: tuple[str, ...] = _param(_steps)
    rate_limit: int | None = _param(_rate_limit)
    """Most liquidation orders a second over all accounts; None for no limit."""

    slice: float = _param(_share)
    """Share of each holding sold in one cycle."""

    cycle_s: float = _param(_positive)
    """Seconds between two scans."""

    target_health: float = _param(_number)
    """Health at which a liquidation stops."""

    price_cap: str = _param(_choice(PRICE_CAPS))


# -- SCHEDULES ---------------------------------------------------------------------


def _collateral(value: object) -> Schedule:
    schedule = Schedule.parse(value)
    if max(schedule.rates) > 1.0:
        raise ValueError(
            f"collateral rates must be from 0 to 1 (got {max(schedule.rates):g})"
        )
    return schedule


def _brackets(value: object) -> Schedule:
    schedule = Schedule.parse(value)
    if max(schedule.rates) > 1.0:
        raise ValueError(
            f"maintenance rates must be from 0 to 1 (got {max(schedule.rates):g})"
        )
    for i, rate in enumerate(schedule.rates[1:]):
        if rate < schedule.rates[i]:
            raise ValueError(
                "maintenance rates must not fall as the notional grows "
                f"(got {rate:g} after {schedule.rates[i]:g})"
            )
    return schedule


def bracket_symbol(market: str) -> str:
    """The venue's symbol of a perpetual market.

    >>> bracket_symbol("ATOM/USDT:PERP")
    'ATOMUSDT'
    """
    return market.split(":")[0].replace("/", "").upper()


def virtual_max_loan(
    max_withdraw: float, leverage: float, virtual_spot_loan: float
) -> float:
    """Most US dollars an account can borrow at a leverage above 1.

    Source: https://www.binance.com/en/support/faq/446ce2c3357a449599c82436078b0e3b
    """
    free = max_withdraw - virtual_spot_loan / (leverage - 1.0)
    return (leverage - 1.0) * max(free, 0.0)


GROUPS: Mapping[str, type] = {
    "account": Account,
    "thresholds": Thresholds,
    "fees": Fees,
    "interest": Interest,
    "funding": Funding,
    "liquidation": Liquidation,
}
TABLES: Mapping[str, Parse] = {
    "collateral": _collateral,
    "borrow": _brackets,
    "brackets": _brackets,
}


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
    thresholds: Thresholds
    fees: Fees
    interest: Interest
    funding: Funding
    liquidation: Liquidation
    collateral: Mapping[str, Schedule]
    """By asset: the share of its US-dollar value that counts."""

    borrow: Mapping[str, Schedule]
    """By asset: the maintenance margin of a loan worth so many US dollars."""

    brackets: Mapping[str, Schedule]
    """By symbol: the maintenance margin of a position's notional at mark."""

    evidence: Mapping[str, Evidence]
    """By path, as in ``thresholds.warn`` or ``collateral.WBETH``."""

    @classmethod
    def preset(cls, name: str) -> "Rules":
        """The rules of a shipped venue; RulesError for an unknown name."""
        return cls.build(name, {})

    @classmethod
    def build(cls, preset: str, overrides: Mapping[str, Any]) -> "Rules":
        """A preset with overrides laid over it, keyed as in the preset's file.

        An override is a bare value or a table of value, grade and source. Raises one
        RulesError with every problem.
        """
        problems: list[tuple[str, str]] = []
        tables = dict(document(preset))
        sources = tables.pop("sources", {})
        known: dict[str, Collection[str] | None] = dict.fromkeys(TABLES)
        known |= {name: attrs.fields_dict(kind) for name, kind in GROUPS.items()}
        found = leaves(tables, known, problems, sources)
        found |= leaves(overrides, known, problems)
        parts: dict[str, Any] = {}
        for name, kind in GROUPS.items():
            parts[name] = _group(name, kind, found, problems)
        for name, parse in TABLES.items():
            parts[name] = _table(name, parse, found, problems)
        problems += _contradictions(parts["thresholds"], parts["liquidation"])
        if problems:
            raise RulesError(problems)
        parts |= {name: kind(**parts[name]) for name, kind in GROUPS.items()}
        evidence = {path: leaf.evidence for path, leaf in found.items()}
        return cls(name=preset, evidence=evidence, **parts)

    # -- QUERIES

    def collateral_of(self, asset: str) -> Schedule:
        """The collateral schedule of an asset."""
        return self.collateral.get(asset.upper(), self.collateral["default"])

    def borrow_of(self, asset: str) -> Schedule:
        """The maintenance schedule of loans in an asset."""
        return self.borrow.get(asset.upper(), self.borrow["default"])

    def brackets_of(self, market: str) -> Schedule:
        """The maintenance brackets of a perpetual, by market name or symbol."""
        return self.brackets.get(bracket_symbol(market), self.brackets["default"])

    def collateral_arrays(self, assets: Sequence[str]) -> Tiers:
        """The collateral schedules of these assets end to end."""
        return flatten(map(self.collateral_of, assets))

    def borrow_arrays(self, assets: Sequence[str]) -> Tiers:
        """The borrow schedules of these assets end to end."""
        return flatten(map(self.borrow_of, assets))

    def bracket_arrays(self, markets: Sequence[str]) -> Tiers:
        """The brackets of these perpetuals end to end."""
        return flatten(map(self.brackets_of, markets))


# -- READING -----------------------------------------------------------------------


def _group(
    name: str,
    kind: type,
    found: Mapping[str, Leaf],
    problems: list[tuple[str, str]],
) -> dict[str, Any]:
    """The values of a group's fields, as far as they are right."""
    values = {}
    for field in attrs.fields(kind):
        path = f"{name}.{field.name}"
        if path not in found:
            problems.append((path, "is missing"))
            continue
        try:
            values[field.name] = field.metadata["parse"](found[path].value)
        except ValueError as error:
            problems.append((path, str(error)))
    return values


def _table(
    name: str,
    parse: Parse,
    found: Mapping[str, Leaf],
    problems: list[tuple[str, str]],
) -> dict[str, Schedule]:
    prefix = name + "."
    entries = {
        path.removeprefix(prefix): leaf.value
        for path, leaf in found.items()
        if path.startswith(prefix)
    }
    if "default" not in entries:
        problems.append((f"{prefix}default", "is missing"))
    schedules = {}
    for key, entry in entries.items():
        value = entry
        # A word takes the schedule of the entry it names, however many steps away.
        for _ in entries:
            if isinstance(value, str):
                value = entries.get(table_key(value), value)
        try:
            if isinstance(value, str):
                text = (
                    f"must be a schedule or name an entry that has one (got {entry!r})"
                )
                raise ValueError(text + nearest(value, entries))
            schedules[key] = parse(value)
        except ValueError as error:
            problems.append((prefix + key, str(error)))
    return schedules


def _contradictions(
    thresholds: Mapping[str, float], liquidation: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Thresholds out of order, among those that are right by themselves."""
    known = {f"thresholds.{name}": value for name, value in thresholds.items()}
    known |= {f"liquidation.{name}": value for name, value in liquidation.items()}
    ordered = (
        ("thresholds.reduce_only", "thresholds.liquidate"),
        ("thresholds.warn", "thresholds.reduce_only"),
        ("liquidation.target_health", "thresholds.liquidate"),
    )
    return [
        (high, f"must be at least {low}, {known[low]:g} (got {known[high]:g})")
        for high, low in ordered
        if high in known and low in known and known[high] < known[low]
    ]
