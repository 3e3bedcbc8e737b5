"""Figures of the protocols and their users, taken at the end of each block."""

from collections.abc import Iterator
from math import fsum, nan
from typing import TYPE_CHECKING, Any

from .isolated import PRICE_ONE, IsolatedMarket
from .lending_pool import LendingPool
from .protocol import Refused

if TYPE_CHECKING:
    from .chain import Chain

LINKS = ("called", "unwound", "sold_pool", "sold_venue", "liquidated", "forced")
"""Links of the chain of events, US dollars each: margin called for, loops unwound, sold
into pools and on the exchange for it, liquidated in lending, sold for called loans."""


def figures(chain: "Chain", now: int) -> dict[str, float]:
    """Every figure by its name, always the same names in the same order."""
    found: dict[str, float] = {}
    config, around = chain.world.config, chain.around
    for name in config.feeds:
        found[f"feeds.{name}.price"] = chain.price_of(name)
    for place, state in around.places.items():
        table = place.partition(".")[0]
        for key, value in _OF_PLACES[table](chain, place, state, now):
            found[f"{place}.{key}"] = value
    for wallet in config.wallets:
        for asset in config.wallets[wallet]:
            atoms = around.booking.balance(f"wallets.{wallet}", asset)
            found[f"wallets.{wallet}.{asset}"] = chain.amounts.units(asset, atoms)
    for user in chain.users():
        for key, value in user.figures(now):
            found[f"{user.group}.{user.name}.{key}"] = value
    for link in LINKS:
        found[f"links.{link}_usd"] = chain.counts.get(f"links.{link}_usd", 0.0)
    return found


Found = Iterator[tuple[str, float]]


def _of_pool(chain: "Chain", place: str, pool: Any, now: int) -> Found:
    first, second = pool.assets[:2]
    yield "price", chain.amounts.rate(pool.price(first, second), first, second)
    for asset, atoms in zip(pool.assets, pool.reserves, strict=True):
        yield f"{asset}", chain.amounts.units(asset, atoms)
    for asset in pool.assets[2:]:
        yield (
            f"price_{asset}",
            chain.amounts.rate(pool.price(asset, first), asset, first),
        )


def _of_market(chain: "Chain", place: str, market: IsolatedMarket, now: int) -> Found:
    loan, collateral = market.terms.loan, market.terms.collateral
    market = market.accrue(now)
    amounts = chain.amounts
    yield "utilisation", market.utilisation
    yield "rate", market.yearly_rate(now)
    yield "cash", amounts.units(loan, market.cash)
    yield "supplied", amounts.units(loan, market.supplied)
    yield "lent", amounts.units(loan, market.lent)
    pledged = sum(row.collateral for row in market.positions.values())
    yield "pledged", amounts.units(collateral, pledged)
    yield "shortfall", _shortfall(chain, market, now)
    for key in ("liquidated", "repaid", "bad_debt", "liquidations"):
        asset = collateral if key == "liquidated" else loan
        atoms = chain.counts.get(f"{place}.{key}", 0.0)
        yield key, atoms if key == "liquidations" else amounts.units(asset, atoms)


def _shortfall(chain: "Chain", market: IsolatedMarket, now: int) -> float:
    # What the collateral lacks to pay the debts where it is sold.
    pool = chain.pool_of(market.terms.collateral, market.terms.loan)
    if pool is not None:
        price = pool.price(market.terms.collateral, market.terms.loan)
    else:
        try:
            price = chain.market_price(market, now) / PRICE_ONE
        except Refused:
            return nan
    rows = market.positions.items()
    lacks = fsum(
        max(0.0, market.debt(who) - row.collateral * price)
        for who, row in rows
        if row.borrow_shares
    )
    return chain.amounts.units(market.terms.loan, lacks)


def _of_shared(chain: "Chain", place: str, pool: LendingPool, now: int) -> Found:
    pool = pool.accrue(now)
    for asset, reserve in pool.reserves.items():
        units = chain.amounts.units
        debt, cash = reserve.total_debt, reserve.cash
        whole = debt + cash
        yield f"{asset}.utilisation", debt / whole if whole else 0.0
        yield f"{asset}.rate", reserve.rates.borrow / 10**27
        yield f"{asset}.cash", units(asset, cash)
        yield f"{asset}.lent", units(asset, debt)
        yield f"{asset}.deficit", units(asset, reserve.deficit)
        for key in ("liquidated", "repaid"):
            atoms = chain.counts.get(f"{place}.{asset}.{key}", 0.0)
            yield f"{asset}.{key}", units(asset, atoms)


def _of_vault(chain: "Chain", place: str, vault: Any, now: int) -> Found:
    places = {name: chain.around.places[name] for name in vault.places}
    yield "share_price", vault.share_price(places)
    yield "free", chain.amounts.units(vault.asset, vault.free(places))


def _of_issuer(chain: "Chain", place: str, issuer: Any, now: int) -> Found:
    units = chain.amounts.units
    yield "supply", units(issuer.token, issuer.supply)
    yield "stable", units(issuer.stable_asset, issuer.stable)
    yield "backing", chain.backing(place)


def _of_staking(chain: "Chain", place: str, state: Any, now: int) -> Found:
    if hasattr(state, "ratio"):
        yield "ratio", chain.amounts.rate(state.ratio, state.token, state.coin)
        yield (
            "queued",
            chain.amounts.units(state.coin, sum(row.atoms for row in state.queue)),
        )
    else:
        yield "ratio", state.price(now)
        yield "queued", chain.amounts.units(state.asset, state.silo)


def _of_stable(chain: "Chain", place: str, state: Any, now: int) -> Found:
    units = chain.amounts.units
    rule = chain.world.config.stables[place.partition(".")[2]]
    if rule.kind == "fractional":
        yield "supply", units(state.coin, state.supply)
        yield "held", units(state.collateral, state.held)
        yield "target", state.target / 10**6
        yield "effective", state.effective / 10**6
    elif rule.kind == "reserve":
        yield "supply", units(state.coin, state.supply)
        yield "reserve", units(state.asset, state.reserve)
        yield "floor", state.floor() if state.supply else nan
    elif rule.kind == "peg_module":
        yield "held", units(state.asset, state.held)
        yield "room", units(state.asset, state.room)
    else:
        yield "supply", units(state.stable, chain.supply_of(state.stable))
        yield "burned", units(state.stable, state.burned)
        yield "minted", units(state.stable, state.minted)
        yield "delta", state.market.delta / 10**18
        yield "spread", state.spread
        yield "capacity", state.capacity
    # Of what is listed, minus what outside owes is all that there is.
    if rule.share is not None:
        yield f"{rule.share}.supply", units(rule.share, chain.supply_of(rule.share))


def _of_savings(chain: "Chain", place: str, state: Any, now: int) -> Found:
    units = chain.amounts.units
    yield "deposits", units(state.asset, state.deposits)
    yield "cash", units(state.asset, state.cash)
    yield "reserve", units(state.asset, state.reserve)


_OF_PLACES: dict[str, Any] = {
    "pools": _of_pool,
    "lending": _of_market,
    "lending_pools": _of_shared,
    "vaults": _of_vault,
    "issuers": _of_issuer,
    "staking": _of_staking,
    "stables": _of_stable,
    "savings": _of_savings,
}
