"""From the tables of a scenario to protocols."""

from collections.abc import Mapping
from typing import Any

import attrs

from ...margin.oracles import nanoseconds
from .adaptive_curve import AdaptiveCurve, per_second
from .concentrated import ConcentratedLiquidity
from .constant_product import ConstantProduct
from .curator import CuratedVault
from .fixed_point import WAD
from .fractional import FractionalStable
from .isolated import IsolatedMarket, Terms
from .issuer import SyntheticDollar
from .lending_pool import LendingPool, Mode
from .par import ALWAYS, PegModule, ReserveStable
from .pool_vault import PPM, PoolVault
from .reserves import KinkedCurve, ReserveTerms
from .savings import SavingsAccount
from .settings import Issuer, Lending, Pool, Savings, Stable, Staking, Vault
from .settings import LendingPool as SharedRule
from .stableswap import FEE_ONE, StableSwap
from .staking import StakedCoin, StakedDollar
from .terra import TerraModule, VirtualPoolMarket
from .ticks import sqrt_of, tick_at_sqrt

PLACES = (
    "pools",
    "lending",
    "lending_pools",
    "vaults",
    "issuers",
    "staking",
    "stables",
    "savings",
)
"""Tables of protocols; each entry is a place, named by table and entry."""

_LIQUIDITY = 10**18  # a trial, to see what a range takes


@attrs.frozen
class Amounts:
    """Atoms and whole units of assets; what has no decimals here is in atoms."""

    decimals: Mapping[str, int]

    def places(self, asset: str) -> int:
        """Decimals of an asset."""
        return self.decimals.get(asset, 0)

    def atoms(self, asset: str, units: float) -> int:
        """Atoms of so many units, to the nearest."""
        return round(units * 10.0 ** self.places(asset))

    def units(self, asset: str, atoms: float) -> float:
        """Units of so many atoms."""
        return atoms / 10.0 ** self.places(asset)

    def rate(self, price: float, give: str, get: str) -> float:
        """A price of atoms as one of units."""
        return price * 10.0 ** (self.places(give) - self.places(get))

    def in_atoms(self, price: float, give: str, get: str) -> float:
        """A price of units as one of atoms."""
        return price * 10.0 ** (self.places(get) - self.places(give))


# -- PROTOCOLS


def pool(account: str, rule: Pool, amounts: Amounts) -> Any:
    """A pool without reserves."""
    if rule.kind == "constant_product":
        first, second = rule.reserves
        fee_ppm = round(rule.fee * 10**6)
        return ConstantProduct.empty(account, (first, second), fee_ppm=fee_ppm)
    if rule.kind == "stableswap":
        assets = tuple(rule.reserves)
        most = max(amounts.places(asset) for asset in assets)
        rates = tuple(10 ** (18 + most - amounts.places(asset)) for asset in assets)
        return StableSwap.empty(
            account,
            assets,
            amplification=rule.amplification or 100,
            fee=round(rule.fee * FEE_ONE),
            rates=rates,
            off_peg=round((rule.off_peg or 0.0) * FEE_ONE),
        )
    first, second = rule.assets
    root = sqrt_of(amounts.in_atoms(rule.price or 1.0, first, second))
    fee_ppm = round(rule.fee * 10**6)
    return ConcentratedLiquidity.at(
        account, (first, second), root, fee_ppm=fee_ppm, spacing=1
    )


def ranges(
    state: ConcentratedLiquidity, rule: Pool, amounts: Amounts
) -> list[tuple[int, int, int]]:
    """Lower and upper tick of a pool's ranges, and their liquidity."""
    first, second = state.assets
    found = []
    for low, high, worth in rule.ranges:
        lower, upper = (
            tick_at_sqrt(sqrt_of(amounts.in_atoms(edge, first, second)))
            for edge in (low, high)
        )
        upper = max(upper, lower + 1)
        one, other = state.worth(_LIQUIDITY, lower, upper)
        atoms = one * state.price(first, second) + other
        wanted = amounts.atoms(second, worth)
        found.append((lower, upper, int(_LIQUIDITY * wanted / atoms)))
    return found


def lending(account: str, rule: Lending, amounts: Amounts) -> IsolatedMarket:
    """An isolated market without assets."""
    terms = Terms(rule.loan, rule.collateral, rule.feed, round(rule.lltv * WAD))
    curve = AdaptiveCurve(
        target=round(rule.target * WAD),
        initial=per_second(rule.rate),
        least=per_second(rule.rate_least),
        most=per_second(rule.rate_most),
        rate_cap=None if rule.rate_cap is None else per_second(rule.rate_cap),
    )
    return IsolatedMarket.open(
        account,
        terms,
        curve=curve,
        fee=round(rule.fee * WAD),
        fee_taker=f"{account} lenders" if rule.fee else "",
        least_loan=amounts.atoms(rule.loan, rule.least_loan),
    )


def shared(account: str, rule: SharedRule, amounts: Amounts) -> LendingPool:
    """A shared pool without assets."""

    def bps(part: float) -> int:
        return round(part * 10_000)

    terms = tuple(
        ReserveTerms(
            asset=asset,
            decimals=amounts.places(asset),
            curve=KinkedCurve(
                optimal=bps(row.optimal),
                base=bps(row.base),
                slope_1=bps(row.slope_1),
                slope_2=bps(row.slope_2),
            ),
            ltv=bps(row.ltv),
            threshold=bps(row.threshold),
            bonus=bps(row.bonus),
            protocol_fee=bps(row.protocol_fee),
            reserve_factor=bps(row.reserve_factor),
            supply_cap=row.supply_cap,
            borrow_cap=row.borrow_cap,
            borrowable=row.borrowable,
        )
        for asset, row in rule.reserves.items()
    )
    modes = {
        name: Mode(
            bps(row.ltv),
            bps(row.threshold),
            bps(row.bonus),
            row.collateral,
            row.borrowable,
        )
        for name, row in rule.modes.items()
    }
    return LendingPool.open(account, terms, modes=modes)


def vault(account: str, rule: Vault, amounts: Amounts) -> CuratedVault | PoolVault:
    """A vault that has lent nothing, or has no stake yet."""
    if rule.pool is not None:
        tolerance = rule.tolerance
        return PoolVault(
            account=account,
            asset=rule.asset,
            pool=f"pools.{rule.pool}",
            cash=amounts.atoms(rule.asset, rule.held),
            shares=amounts.atoms(rule.asset, rule.supply),
            valued=rule.valued,
            tolerance=None if tolerance is None else round(tolerance * PPM),
            checked=rule.checked,
        )
    caps = {
        f"lending.{market}": amounts.atoms(rule.asset, units)
        for market, units in rule.caps.items()
    }
    first = tuple(f"lending.{market}" for market in rule.withdraw_first)
    return CuratedVault(
        account=account,
        asset=rule.asset,
        curator=account,
        caps=caps,
        withdraw_first=first or tuple(caps),
    )


def issuer(
    account: str, rule: Issuer, amounts: Amounts, minters: tuple[str, ...]
) -> SyntheticDollar:
    """An issuer with its assets; its shorts are on the exchange."""
    stable, on = rule.stable, rule.enabled
    return SyntheticDollar(
        account=account,
        token=rule.token,
        stable_asset=stable,
        minters=minters,
        mint_cap=amounts.atoms(rule.token, rule.mint_cap) if on else 0,
        redeem_cap=amounts.atoms(rule.token, rule.redeem_cap) if on else 0,
        stable=amounts.atoms(stable, rule.stable_held),
        supply=amounts.atoms(rule.token, rule.supply),
        spot={coin: amounts.atoms(coin, units) for coin, units in rule.hedges.items()},
    )


def staked(account: str, rule: Staking, amounts: Amounts) -> StakedCoin | StakedDollar:
    """A staked coin or dollar with what is staked."""
    held = amounts.atoms(rule.asset, rule.supply * rule.ratio)
    supply = amounts.atoms(rule.token, rule.supply)
    if rule.kind == "coin":
        return StakedCoin(
            account=account,
            coin=rule.asset,
            token=rule.token,
            delay_ns=nanoseconds(rule.delay),
            per_day=amounts.atoms(rule.asset, rule.per_day),
            staked=held,
            supply=supply,
        )
    return StakedDollar(
        account=account,
        asset=rule.asset,
        shares_asset=rule.token,
        cooldown_ns=nanoseconds(rule.delay),
        held=held,
        shares=supply,
    )


def stable(account: str, rule: Stable, amounts: Amounts) -> Any:
    """A coin's mechanism with what it holds."""
    coin, backing = rule.coin, rule.backing or ""
    supply = amounts.atoms(coin, rule.supply)
    held = amounts.atoms(backing, rule.held)
    if rule.kind == "fractional":
        return FractionalStable(
            account=account,
            coin=coin,
            share=rule.share or "",
            collateral=backing,
            held=held,
            supply=supply,
            target=round(rule.target * 10**6),
            effective=min(10**6, round(rule.held / rule.supply * 10**6)),
            mint_fee=round(rule.mint_fee * 10**6),
            redeem_fee=round(rule.redeem_fee * 10**6),
            scale=10 ** (amounts.places(coin) - amounts.places(backing)),
        )
    if rule.kind == "reserve":
        return ReserveStable(
            account=account,
            coin=coin,
            asset=backing,
            reserve=held,
            supply=supply,
            stuck=amounts.atoms(backing, rule.stuck),
            recovered=rule.recovered,
            hours=rule.hours or ALWAYS,
        )
    if rule.kind == "peg_module":
        return PegModule(
            account=account,
            coin=coin,
            asset=backing,
            ceiling=amounts.atoms(backing, rule.ceiling),
            fee_in_ppm=round(rule.mint_fee * 10**6),
            fee_out_ppm=round(rule.redeem_fee * 10**6),
            held=held,
            minted=held,
        )
    return TerraModule(
        account=account,
        stable=coin,
        luna=rule.share or "",
        market=VirtualPoolMarket(
            base=round(rule.base) * WAD,
            recovery=rule.recovery,
            least_spread=round(rule.spread * WAD),
        ),
        stable_scale=10 ** (18 - amounts.places(coin)),
        luna_scale=10 ** (18 - amounts.places(rule.share or "")),
        sdr=rule.sdr,
        block_ns=nanoseconds(rule.block or 0.0),
    )


def savings(account: str, rule: Savings, amounts: Amounts) -> SavingsAccount:
    """A place for savings with its reserve, and no deposits."""
    return SavingsAccount(
        account=account,
        asset=rule.asset,
        promised=rule.promised,
        earned=rule.earned,
        factor=rule.factor,
        epoch_ns=nanoseconds(rule.epoch),
        reserve=amounts.atoms(rule.asset, rule.reserve),
    )
