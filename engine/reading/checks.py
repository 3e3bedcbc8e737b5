"""What must hold between the tables of a scenario: names, units, cycles.

Each check yields every fault it finds; none of them raises.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ...margin.markets import MarketError, MarketSpec, exact, parse_name
from ...margin.presets import shown
from ...margin.rules import BY_SYMBOL, TABLES, RulesError, bracket_symbol
from ...orderbook.orders import PRICE_MAX
from ..arguments import suggest
from ..quoting import NEAR
from .chain_checks import chain
from .draft import SENDERS, Draft, unknown, without_name
from .drawing import distribution_faults
from .flow_checks import arbitrage, by_depth, sellers
from .limits import ATOMS_MAX, SECONDS_MAX, STEPS_MAX, limits
from .location import Path
from .price_checks import oracles
from .shock_checks import shocks
from .structure import Fault, amount
from .venue_files import build_rules
from .windows import window_faults

_ASSET = re.compile(r"[A-Z0-9]+")


def check(draft: Draft) -> Iterator[Fault]:
    """Everything that is wrong between the tables."""
    for part in (
        _assets,
        _markets,
        _gateway,
        _participants,
        _ladders,
        shocks,
        oracles,
        _rules,
        _record,
        _targets,
        chain,
    ):
        yield from part(draft)
    yield from limits(draft)


# -- ASSETS AND MARKETS


def _assets(draft: Draft) -> Iterator[Fault]:
    names = draft.names("assets")
    for name in names:
        if not _ASSET.fullmatch(name):
            text = f"{name!r} is not an asset's name; write capitals and digits"
            yield Fault(("assets", name), text)
    for table in ("assets", "markets"):
        if table in draft.parts and not draft.document[table]:
            yield Fault((table,), "must have at least one entry")
    leaders = {str(path[1]): asset.follows for path, asset in draft.records("assets")}
    for name, leader in leaders.items():
        path: Path = ("assets", name, "follows")
        if leader is not None and leader not in names:
            yield Fault(path, unknown("an asset", leader, names))
        chain = [name]
        while leader is not None and leader not in chain:
            chain.append(leader)
            leader = leaders.get(leader)
        if leader == name:
            text = f"must not lead back to itself (got {' -> '.join([*chain, name])})"
            yield Fault(path, text)


def _gateway(draft: Draft) -> Iterator[Fault]:
    gateway = draft.parts.get("gateway")
    for name, seconds in gateway.latency.items() if gateway else ():
        path: Path = ("gateway", "latency", name)
        if name not in SENDERS:
            text = f"{name!r} is not a table that sends orders"
            yield Fault(path, text + suggest(name, SENDERS))
        if not 0 <= seconds <= SECONDS_MAX:
            yield Fault(
                path, f"must be from 0 to {amount(SECONDS_MAX)} (got {amount(seconds)})"
            )


def _markets(draft: Draft) -> Iterator[Fault]:
    if draft.has_checked("assets", "markets"):
        return
    assets = draft.names("assets")
    for name in draft.names("markets"):
        path: Path = ("markets", name)
        try:
            sides = parse_name(name)[:2]
        except MarketError as error:
            yield Fault(path, str(error))
            continue
        for asset in sides:
            if asset not in assets:
                yield Fault(path, unknown("an asset", asset, assets))
        if name in draft.parts["markets"]:
            yield from _grid(draft, path, draft.parts["markets"][name])


def _grid(draft: Draft, path: Path, market: Any) -> Iterator[Fault]:
    """Whether the steps are whole atoms, and the price a sane number of them."""
    name = str(path[1])
    right = True
    for key in ("tick", "lot"):
        try:
            if exact(getattr(market, key), name) <= 0:
                raise MarketError(f"must be above 0 (got {getattr(market, key)!r})")
        except MarketError as error:
            right = False
            yield Fault((*path, key), without_name(name, error))
    coins = draft.parts.get("assets", {})
    if not right or any(asset not in coins for asset in parse_name(name)[:2]):
        return
    spec = draft.spec(name)
    if spec is None:
        decimals = {asset: coin.decimals for asset, coin in coins.items()}
        try:
            MarketSpec.define(name, market.tick, market.lot, decimals)
        except MarketError as error:
            key = "lot" if "a lot of" in str(error) else "tick"
            yield Fault((*path, key), without_name(name, error))
        return
    ticks = draft.price(spec) / float(spec.tick)
    if not 1 <= ticks <= PRICE_MAX:
        finer = "finer" if ticks < 1 else "coarser"
        text = f"the price {draft.price(spec):g} is {ticks:.3g} ticks of {market.tick}"
        text += f", must be 1 to {PRICE_MAX:,}; make the tick {finer}"
        yield Fault((*path, "tick"), text)
    elif market.price_band is not None and market.price_band < 1e-6:
        text = f"must be at least 1e-06 (got {market.price_band:g}); leave it out"
        yield Fault((*path, "price_band"), f"{text} for no band")
    elif market.last is not None:
        try:
            spec.ticks(market.last)
        except MarketError as error:
            yield Fault((*path, "last"), without_name(name, error))


# -- PARTICIPANTS


def _participants(draft: Draft) -> Iterator[Fault]:
    assets, markets = draft.names("assets"), dict.fromkeys(draft.names("markets"))
    for path, group in draft.participants():
        first: dict[str, int] = {}
        for i, name in enumerate(getattr(group, "markets", ())):
            here = draft.entry((*path, "markets"), i)
            if name not in markets:
                yield Fault(here, unknown("a market", name, markets))
            elif first.setdefault(name, i) < i:
                yield Fault(here, f"{name!r} is named twice")
            elif path[0] == "traders" and not name.endswith(":PERP"):
                text = f"{name!r} is not a perpetual; name markets that end in :PERP"
                yield Fault(here, text)
        alone = getattr(group, "markets", None) == () and not getattr(
            group, "assets", {}
        )
        if group.enabled and alone:
            yield Fault((*path, "markets"), "must name at least one market")
        for field in ("collateral", "inventory", "assets"):
            for asset, share in getattr(group, field, {}).items():
                here = (*path, field, asset)
                if asset not in assets:
                    yield Fault(here, unknown("an asset", asset, assets))
                if share < 0:
                    yield Fault(here, f"must be at least 0 (got {amount(share)})")
        yield from _by_volume(draft, path, group)
        yield from by_depth(draft, path, group)
        if path[0] in ("arbitrage", "cross_arbitrage"):
            yield from arbitrage(draft, path, group)
        if hasattr(group, "held_usd"):
            yield from sellers(draft, path, group)
        if path[0] == "market_makers":
            yield from _makers(draft, path, group)
        if path[0] == "population":
            yield from _population(draft, path, group)
        if path[0] == "stale_bids" and not group.nearest < group.farthest < 1:
            text = f"must be above nearest, {group.nearest:g}, and below 1"
            yield Fault((*path, "farthest"), f"{text} (got {group.farthest:g})")
        if "USDT" not in assets:
            yield Fault(path, "needs the asset USDT, in which participants hold money")
        for asset in getattr(group, "assets", ()):
            if f"{asset}/USDT" not in markets:
                text = f"needs the market {asset}/USDT to sell in; add it"
                yield Fault((*path, "assets", asset), text)


def _by_volume(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    """Markets without the volume by which they are to be weighed."""
    if getattr(group, "by_volume", 0.0):
        for i, name in enumerate(group.markets):
            market = draft.parts.get("markets", {}).get(name)
            if market is not None and market.volume_usd is None:
                text = f"needs the volume_usd of {name} to weigh by; give it there"
                yield Fault(draft.entry((*path, "markets"), i), text)


def _makers(draft: Draft, path: Path, makers: Any) -> Iterator[Fault]:
    if makers.reach * 1e4 <= makers.half_spread_bp:
        text = f"must be above half_spread_bp, {makers.half_spread_bp * 1e-4:g}"
        yield Fault((*path, "reach"), f"{text} (got {makers.reach:g})")
    if makers.share is not None and makers.half_spread_bp > 1e4 * NEAR:
        text = f"must be at most {1e4 * NEAR:g} with share, to be within 1 % of the"
        here = (*path, "half_spread_bp")
        yield Fault(here, f"{text} price (got {makers.half_spread_bp:g})")
    if makers.stock and all(name.endswith(":PERP") for name in makers.markets):
        text = "needs a spot market among markets, whose coins to hold"
        yield Fault((*path, "stock"), f"{text} (got {makers.stock:g})")
    coins = draft.parts.get("assets", {}).values()
    if makers.withdraw_sigmas and not any(coin.volatility for coin in coins):
        text = "needs an asset with a volatility, of which it is a multiple"
        here = (*path, "withdraw_sigmas")
        yield Fault(here, f"{text} (got {makers.withdraw_sigmas:g})")
    for market, scale in makers.scale.items():
        here = (*path, "scale", market)
        if market not in makers.markets:
            text = f"{market!r} is not one of these makers' markets"
            yield Fault(here, text + suggest(market, makers.markets))
        elif scale <= 0:
            text = f"must be above 0 (got {amount(scale)}); take the market out of"
            yield Fault(here, f"{text} markets to quote nothing there")
    for asset in makers.inventory if makers.hedge else ():
        hedge = f"{asset}/USDT:PERP"
        if hedge not in draft.names("markets"):
            text = f"needs the market {hedge} to hedge in; add it, or set hedge to 0"
            yield Fault((*path, "inventory", asset), text)


def _population(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    if group.positions > max(1, len(group.markets)):
        text = f"must be at most the {len(group.markets)} markets there are"
        yield Fault((*path, "positions"), f"{text} (got {group.positions})")
    if not any(share > 0 for share in group.collateral.values()):
        text = "must have at least one share above 0"
        yield Fault((*path, "collateral"), text)
    for name in ("equity_usd", "leverage"):
        yield from distribution_faults(getattr(group, name), (*path, name))


# -- ORDERS


def _ladders(draft: Draft) -> Iterator[Fault]:
    markets = draft.names("markets")
    for path, ladder in draft.records("ladders"):
        if ladder.market not in markets:
            text = unknown("a market", ladder.market, markets)
            yield Fault((*path, "market"), text)
        spec = draft.spec(ladder.market)
        total = 0
        for i, (price, qty) in enumerate(ladder.orders if spec else ()):
            assert spec is not None
            try:
                total += spec.ticks(price) * spec.lots(qty) * spec.quote_unit
            except MarketError as error:
                yield Fault((*path, "orders", i), str(error))
        if total > ATOMS_MAX:
            text = (
                f"is worth {float(total):.3g} atoms of the quote asset in all, at most"
            )
            yield Fault((*path, "orders"), f"{text} {ATOMS_MAX:.3g}; lower quantities")
    yield from _crossed(draft)


def _crossed(draft: Draft) -> Iterator[Fault]:
    """Bids of a market at or above its asks would trade before anything happens."""
    best: dict[tuple[str, str], Fraction] = {}
    for path, ladder in draft.records("ladders"):
        try:
            prices = [exact(price, "price") for price, _ in ladder.orders]
        except MarketError:
            continue
        if prices:
            edge = max if ladder.side == "buy" else min
            key = ladder.market, ladder.side
            best[key] = edge([*prices, *([best[key]] if key in best else [])])
        bid, ask = (best.get((ladder.market, side)) for side in ("buy", "sell"))
        if bid is not None and ask is not None and bid >= ask:
            text = f"bid {float(bid):g} is not below ask {float(ask):g}"
            yield Fault((*path, "orders"), f"{text} of {ladder.market}")


# -- RULES


def _rules(draft: Draft) -> Iterator[Fault]:
    rules = draft.parts.get("rules")
    if rules is None:
        return
    overrides = {name: table for name, table in rules.items() if name != "preset"}
    try:
        if not isinstance(rules["preset"], str):
            text = f"must be text in quotes (got {shown(rules['preset'])})"
            raise RulesError([("preset", text)])
        built = build_rules(rules)
        least = max(1e-6, draft.parts.get("duration", 0.0) / STEPS_MAX)
        for place, seconds in (
            ("liquidation.cycle_s", built.liquidation.cycle_s),
            ("funding.interval_s", built.funding.interval_s),
        ):
            if not least <= seconds <= SECONDS_MAX:
                text = f"must be from {least:g} to {amount(SECONDS_MAX)}"
                where = ("rules", *place.split("."))
                yield Fault(where, f"{text} (got {amount(seconds)})")
    except RulesError as error:
        for place, text in error.problems:
            yield Fault(("rules", *place.split(".")), text)
    assets = ["default", *draft.names("assets")]
    symbols = ["default"]
    symbols += [
        bracket_symbol(m) for m in draft.names("markets") if m.endswith(":PERP")
    ]
    for table in TABLES:
        known, what = assets, "an asset"
        if table in BY_SYMBOL:
            known, what = symbols, "the symbol of a perpetual"
        entries = overrides.get(table)
        for name in entries if isinstance(entries, dict) else ():
            if name not in known:
                yield Fault(("rules", table, name), unknown(what, name, known))


# -- RECORD AND TARGETS


def _record(draft: Draft) -> Iterator[Fault]:
    record, markets = draft.parts.get("record"), draft.names("markets")
    for i, name in enumerate(record.markets if record else ()):
        if name not in markets:
            here = draft.entry(("record", "markets"), i)
            yield Fault(here, unknown("a market", name, markets))


def _targets(draft: Draft) -> Iterator[Fault]:
    variations = draft.names("variations")
    seen: dict[str, int] = {}
    for path, target in draft.records("targets"):
        first = seen.setdefault(target.id, int(path[1]))
        if first != path[1]:
            text = f"{target.id!r} is the id of targets.{first} already"
            yield Fault((*path, "id"), text)
        if (target.value is None) == (target.band is None):
            got = "neither" if target.value is None else "both"
            yield Fault(path, f"must have either value or band (got {got})")
        if target.band is not None and target.band[0] > target.band[1]:
            text = f"must be [least, most] (got {list(target.band)})"
            yield Fault((*path, "band"), text)
        if target.window is not None:
            yield from window_faults(draft, path, target.window)
        if target.variation is None:
            if target.relative:
                text = "needs a variation, whose ratio to the base run it is"
                yield Fault((*path, "relative"), text)
        elif target.variation not in variations:
            text = unknown("a variation", target.variation, variations)
            yield Fault((*path, "variation"), text)
