"""What automated market makers have in common, and what can be asked of any of them."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

from .protocol import Refused, Transfer, require, require_amount, require_known

INPUT_MAX = 2**112 - 1
"""No swap may bring in more atoms: where Uniswap v2's reserves end as well."""


class Trade(NamedTuple):
    """What a swap moved; ``fee`` is in the asset it was taken from."""

    amount_in: int
    amount_out: int
    fee: int
    transfers: tuple[Transfer, ...]


class Provision(NamedTuple):
    """What a liquidity provider put in or took out, by asset, and for which shares."""

    amounts: tuple[int, ...]
    shares: int
    transfers: tuple[Transfer, ...]


class Pool(Protocol):
    """An automated market maker.

    Amounts are whole atoms in both modes. ``exact`` computes as the contracts do, with
    integers, to the last atom; without it the same formulas run in float64 and the
    result is rounded against the trader.
    """

    @property
    def account(self) -> str:
        """Who holds the reserves."""

    @property
    def assets(self) -> tuple[str, ...]:
        """What is traded here."""

    @property
    def reserves(self) -> tuple[int, ...]:
        """Atoms of each asset that can be traded."""

    def quote(self, give: str, get: str, amount: int) -> int:
        """Atoms of ``get`` that ``amount`` atoms of ``give`` would buy."""

    def price(self, give: str, get: str) -> float:
        """Atoms of ``get`` for one more atom of ``give``, before fees."""

    def swap(
        self,
        trader: str,
        give: str,
        get: str,
        amount: int,
        *,
        least: int = 0,
        now_ns: int = 0,
    ) -> tuple[Self, Trade]:
        """Sell ``amount`` atoms of ``give`` for at least ``least`` of ``get``."""


def sides(assets: tuple[str, ...], give: str, get: str, amount: int) -> tuple[int, int]:
    """Positions of the two assets of a swap; Refused if it cannot be one."""
    positions = {asset: i for i, asset in enumerate(assets)}
    require_known("give", give, positions)
    require_known("get", get, positions)
    require(give != get, "get", f"be another asset than {give!r}", get)
    require_amount("amount", amount)
    require(amount <= INPUT_MAX, "amount", "be below 2**112 atoms", amount)
    return positions[give], positions[get]


def amounts_in_order(
    assets: tuple[str, ...], amounts: Mapping[str, int]
) -> tuple[int, ...]:
    """Amounts by asset in the order of the pool's, 0 for what is not named."""
    known = dict.fromkeys(assets)
    for asset, atoms in amounts.items():
        require_known("amounts", asset, known)
        require_amount(f"amounts.{asset}", atoms)
    require(bool(amounts), "amounts", "name at least one asset", dict(amounts))
    return tuple(amounts.get(asset, 0) for asset in assets)


def depth(pool: Pool, give: str, get: str, price: float) -> int:
    """Atoms of ``give`` to sell until one more brings at most ``price`` of ``get``.

    0 where the pool's price is there already. O(log(amount)) swaps. Refused if no
    amount brings the price so low.
    """
    require(price > 0.0, "price", "be above 0", price)

    def reached(amount: int) -> bool:
        return pool.swap("", give, get, amount)[0].price(give, get) <= price

    if pool.price(give, get) <= price:
        return 0
    high = 1
    while not reached(high):
        high *= 2
        require(high <= INPUT_MAX, "price", "be one that selling can reach", price)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def input_for(pool: Pool, give: str, get: str, amount_out: int) -> int:
    """The fewest atoms of ``give`` that buy at least ``amount_out`` of ``get``.

    O(log(amount)) quotes. Refused if the pool cannot pay so much.
    """
    require_amount("amount_out", amount_out)

    def enough(amount: int) -> bool:
        try:
            return pool.quote(give, get, amount) >= amount_out
        except Refused:
            return False

    high = max(1, amount_out)
    while not enough(high):
        high *= 4
        require(
            high <= INPUT_MAX,
            "amount_out",
            f"be what {pool.account} can pay",
            amount_out,
        )
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
