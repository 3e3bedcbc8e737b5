"""Terms of real markets and issuers, each with where its figures come from.

What is marked as assumed is ours and no history.
"""

from typing import NamedTuple

from ...margin.combined import Index, Product
from ...margin.feeds import Fixed, Last, Policy
from ...margin.presets import Evidence
from .adaptive_curve import AdaptiveCurve, per_second
from .fixed_point import WAD
from .isolated import Terms
from .lending_pool import Mode
from .reserves import KinkedCurve, ReserveTerms


class PoolPreset(NamedTuple):
    """A reserve of a shared pool, its efficiency mode, and the evidence."""

    terms: ReserveTerms
    mode: Mode
    evidence: Evidence


class MarketPreset(NamedTuple):
    """An isolated market, its curve, what its oracle says, and the evidence."""

    terms: Terms
    curve: AdaptiveCurve
    oracle: Policy
    evidence: Evidence


class IssuerPreset(NamedTuple):
    """An issuer's figures, whole dollars, and the evidence."""

    supply: float
    stable: float
    reserve: float
    backing: float
    evidence: Evidence


AAVE_USDE = PoolPreset(
    ReserveTerms(
        asset="USDe",
        decimals=18,
        curve=KinkedCurve(optimal=8_000, slope_1=650, slope_2=5_000),
        ltv=7_000,
        threshold=7_300,
        bonus=850,
        reserve_factor=2_500,
        supply_cap=50_000_000,
        borrow_cap=42_500_000,
    ),
    Mode(8_900, 9_200, 200, ("USDe",), ("USDC", "USDT")),
    Evidence("O", "governance.aave.com, threads 20495 and 23081: USDe on Avalanche"),
)
"""USDe on Aave, Avalanche; what may be borrowed in the mode is assumed."""

AAVE_STABLE_CURVE = KinkedCurve(optimal=9_200, slope_1=550, slope_2=4_000)
"""A stable coin's curve as Aave's usually are: assumed."""

MORPHO_XUSD = MarketPreset(
    Terms("USDC", "xUSD", "xUSD at 1.26", 915 * WAD // 1000),
    AdaptiveCurve(initial=per_second(0.22)),
    Fixed(1.26),
    Evidence(
        "3",
        "0x-opacic: Arbitrum, LLTV 91.5 %, oracle at 1.26; borrowers paid "
        "88 % with all of it lent, a quarter of which is the target rate",
    ),
)
"""xUSD against USDC, November 2025, whose oracle never moved."""

LISTA_USDX = MarketPreset(
    Terms("USD1", "USDX", "USDX at 1", 915 * WAD // 1000),
    AdaptiveCurve(),
    Fixed(1.0),
    Evidence("3", "blog.lista.org on LIP-022; the LLTV is not known: assumed"),
)
"""USDX against USD1, November 2025; 800 % a year is its curve's ceiling."""

ETHENA_OCT25 = IssuerPreset(
    supply=14.55e9,
    stable=9.0e9,
    reserve=61.84e6,
    backing=1.0065,
    evidence=Evidence(
        "3", "docs.ethena.fi and gov.ethenafoundation.com/t/703; supply 14.3 to 14.8 bn"
    ),
)
"""USDe on 10 October 2025; of the stable assets only that they exceeded 9 bn."""


def wbeth_index(book: float = 0.2) -> Policy:
    """The exchange's WBETH index of 10 October 2025: 20 % its own book, 80 % by ether.

    Sources are ``WBETH/USDT``, ``WBETH/ETH`` and ``ETH/USDT``. From 14 October the
    weights were to be 0 and 100, by the staking ratio in place of the pair.
    """
    pair = Product(Last("WBETH/ETH"), Last("ETH/USDT"))
    return Index((Last("WBETH/USDT"), pair), (book, 1.0 - book))
