"""Transactions: steps at protocols that happen all together or not at all."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from .booking import Booking
from .building import Amounts
from .concentrated import ConcentratedLiquidity
from .constant_product import ConstantProduct
from .curator import CuratedVault
from .fractional import FractionalStable
from .isolated import IsolatedMarket
from .issuer import SyntheticDollar
from .lending_pool import LendingPool
from .lending_steps import ISOLATED, SHARED
from .par import PegModule, ReserveStable
from .pool_vault import PoolVault
from .protocol import (
    ISSUED,
    Refused,
    Transfer,
    ceil_div,
    require,
    require_amount,
    require_known,
)
from .quotes import Quotes
from .savings import SavingsAccount
from .settings import Step
from .stableswap import StableSwap
from .staking import StakedCoin, StakedDollar
from .surroundings import Deed
from .terra import TerraModule

Pair = tuple[Any, tuple[Transfer, ...]]
"""The state after an action, and what it moved."""


class Setting(NamedTuple):
    """What a transaction needs to know beside the states: ledger, units, prices.

    ``monday_ns`` is what turns the clock into time since a Monday, 00:00 UTC.
    """

    booking: Booking
    amounts: Amounts
    quotes: Quotes
    monday_ns: int = 0
    block_ns: int = 10**9


class Transaction:
    """Steps being done on states that nobody else sees until they are kept.

    What ``who`` has in it is what the ledger says and what the steps before moved;
    a flash loan is money that has to be there again at the end.
    """

    def __init__(
        self, states: Mapping[str, Any], setting: Setting, who: str, now_ns: int
    ) -> None:
        self.states = dict(states)
        self.setting = setting._replace(quotes=setting.quotes.within(self.states))
        self.who = who
        self.now_ns = now_ns
        self.moves: list[Transfer] = []
        self.deeds: list[Deed] = []
        self._lent: dict[str, int] = {}
        self._change: dict[tuple[str, str], int] = {}

    def has(self, asset: str) -> int:
        """Atoms that the one who acts has now."""
        booked = self.setting.booking.balance(self.who, asset)
        return (
            booked + self._change.get((self.who, asset), 0) + self._lent.get(asset, 0)
        )

    def gained(self, asset: str) -> int:
        """Atoms that the steps brought, flash loans left out."""
        return self._change.get((self.who, asset), 0)

    def run(self, steps: tuple[Step, ...]) -> "Transaction":
        """Do steps, one after another; Refused if one of them is."""
        for step in steps:
            self.do(step)
        return self

    def do(self, step: Step, atoms: int | None = None) -> None:
        """Do one step, with so many atoms instead of its amount if given."""
        if step.do in GENERAL:
            GENERAL[step.do](self, step, atoms)
            return
        require_known("on", step.on or "", self.states)
        state = self.states[step.on or ""]
        verbs = verbs_of(state)
        require_known("do", step.do, verbs)
        given, amount = verbs[step.do](self, state, step, atoms)
        after, moves = given
        self.states[step.on or ""] = after
        self.move(moves)
        self._require_shares()
        text = step.do.replace("_", " ")
        asset = step.give or step.get or amount[0]
        units = self.setting.amounts.units(*amount)
        self.deeds.append(Deed(step.on or "", f"{text} {asset}", amount[0], units))

    def _require_shares(self) -> None:
        # Nobody lends shares of a place, so that they must be there at every step.
        for (holder, asset), change in self._change.items():
            if holder == self.who and change < 0 and self._is_share(asset):
                has = self.setting.booking.balance(holder, asset)
                must = f"have {-change} atoms of {asset}"
                require(has + change >= 0, holder, must, has)

    def _is_share(self, asset: str) -> bool:
        return asset not in self.setting.booking.numbers

    def move(self, moves: tuple[Transfer, ...]) -> None:
        """Take note of transfers."""
        for asset, source, target, atoms in moves:
            for holder, signed in ((source, -atoms), (target, atoms)):
                key = holder, asset
                self._change[key] = self._change.get(key, 0) + signed
        self.moves += moves

    def size(self, step: Step, asset: str, most: int | None, atoms: int | None) -> int:
        """Atoms of a step: those given, its amount, or all; at most ``most``."""
        if atoms is None and step.amount is not None:
            atoms = self.setting.amounts.atoms(asset, step.amount)
        if atoms is None:
            atoms = self.has(asset) if most is None else max(most, 0)
        require_amount("amount", atoms)
        return atoms


Amount = tuple[str, int]
Verb = Callable[[Transaction, Any, Step, int | None], tuple[Pair, Amount]]


# -- WITHOUT A PROTOCOL


def _flash(tx: Transaction, step: Step, atoms: int | None) -> None:
    asset = step.give or ""
    wanted = tx.size(step, asset, None, atoms)
    tx._lent[asset] = tx._lent.get(asset, 0) + wanted


def _send(tx: Transaction, step: Step, atoms: int | None) -> None:
    asset = step.give or ""
    wanted = tx.size(step, asset, None, atoms)
    target = step.to or ""
    known = tx.setting.booking.accounts.keys() - {ISSUED, *tx.states}
    # A place has only what was done there; what it issues nobody can give back.
    require_known("to", target, dict.fromkeys(sorted(known)))
    tx.move((Transfer(asset, tx.who, target, wanted),))
    units = tx.setting.amounts.units(asset, wanted)
    tx.deeds.append(Deed("", f"send {asset} to {target}", asset, units))


GENERAL: dict[str, Callable[[Transaction, Step, int | None], None]] = {
    "flash": _flash,
    "send": _send,
}
"""Actions that need no place: a flash loan, a payment."""


# -- POOLS


def _swap(
    tx: Transaction, pool: Any, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    give, get = step.give or "", step.get or _other(pool, step.give)
    amount = tx.size(step, give, None, atoms)
    least = tx.setting.amounts.atoms(get, step.least)
    after, trade = pool.swap(tx.who, give, get, amount, least=least, now_ns=tx.now_ns)
    return (after, trade.transfers), (give, amount)


def _other(pool: Any, give: str | None) -> str:
    others = [asset for asset in pool.assets if asset != give]
    require(len(others) == 1, "get", f"be given, of {pool.assets}", None)
    return str(others[0])


def _add(
    tx: Transaction, pool: Any, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    names = pool.assets if step.give is None else (step.give,)
    put = {a: tx.size(step, a, None, atoms) for a in names}
    after, done = pool.add(tx.who, put)
    return (after, done.transfers), (names[0], put[names[0]])


def _remove(
    tx: Transaction, pool: Any, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    token = pool.share_asset
    shares = tx.size(step, token, None, atoms)
    if step.get is not None:
        if not isinstance(pool, StableSwap):
            told = "must be left out: only a stableswap pool pays out in one asset"
            raise Refused(f"'get' {told} (got {step.get!r})")
        after, done = pool.remove_one(tx.who, shares, step.get)
    else:
        after, done = pool.remove(tx.who, shares)
    return (after, done.transfers), (token, shares)


# -- VAULTS


def _vault(
    act: str, tx: Transaction, vault: CuratedVault, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    markets = {name: tx.states[name] for name in vault.places}
    most = None
    if act == "withdraw":
        current = vault.accrued(markets, tx.now_ns)
        shares = tx.has(vault.share_asset)
        own = shares * (vault.total(current) + 1) // (vault.shares + 1)
        most = min(own, vault.free(current))
    amount = tx.size(step, vault.asset, most, atoms)
    after, flow = getattr(vault, act)(tx.who, amount, markets, tx.now_ns)
    tx.states.update(flow.places)
    return (after, flow.transfers), (vault.asset, amount)


def _put(
    tx: Transaction, vault: PoolVault, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    amount = tx.size(step, vault.asset, None, atoms)
    after, flow = vault.deposit(tx.who, amount, tx.states, tx.now_ns)
    return (after, flow.transfers), (vault.asset, amount)


def _take(
    tx: Transaction, vault: PoolVault, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    # What is asked for in atoms is shares of that worth; without, all there are.
    shares = tx.has(vault.share_asset)
    if atoms is not None or step.amount is not None:
        amount = tx.size(step, vault.asset, None, atoms)
        total = vault.total(tx.states)
        require(total > 0, "amount", "be asked of a vault that has something", amount)
        shares = ceil_div(amount * vault.shares, total)
    after, flow = vault.withdraw(tx.who, shares, tx.states, tx.now_ns)
    tx.states.update(flow.places)
    return (after, flow.transfers), (vault.asset, flow.assets)


# -- ISSUERS, STAKING, STABLE COINS


def _issuer(
    act: str, tx: Transaction, issuer: SyntheticDollar, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    give = issuer.stable_asset if act == "mint" else issuer.token
    amount = tx.size(step, give, None, atoms)
    block = tx.now_ns // tx.setting.block_ns
    return getattr(issuer, act)(tx.who, amount, block), (give, amount)


def _stake(
    tx: Transaction, place: Any, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    if isinstance(place, StakedCoin):
        amount = tx.size(step, place.coin, None, atoms)
        return place.mint(tx.who, amount), (place.coin, amount)
    amount = tx.size(step, place.asset, None, atoms)
    return place.deposit(tx.who, amount, tx.now_ns), (place.asset, amount)


def _unstake(
    tx: Transaction, place: Any, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    if isinstance(place, StakedCoin):
        amount = tx.size(step, place.token, None, atoms)
        return place.request(tx.who, amount, tx.now_ns), (place.token, amount)
    amount = tx.size(step, place.shares_asset, None, atoms)
    return place.cool_down(tx.who, amount, tx.now_ns), (place.shares_asset, amount)


def _claim(
    tx: Transaction, place: StakedDollar, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    return place.unstake(tx.who, tx.now_ns), (place.asset, 0)


def _fractional(
    act: str, tx: Transaction, place: FractionalStable, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    give = place.collateral if act == "mint" else place.coin
    amount = tx.size(step, give, None, atoms)
    value = tx.setting.quotes.feed_value(f"{place.account} share", tx.now_ns)
    price = place.six_digits(value)
    after, _, _, moves = getattr(place, act)(tx.who, amount, price)
    return (after, moves), (give, amount)


def _reserve(
    tx: Transaction, place: ReserveStable, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    most = min(tx.has(place.coin), place.reserve - place.stuck)
    amount = tx.size(step, place.coin, most, atoms)
    now_ns = tx.now_ns + tx.setting.monday_ns
    return place.redeem(tx.who, amount, now_ns), (place.coin, amount)


def _peg(
    act: str, tx: Transaction, place: PegModule, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    give = place.asset if act == "sell" else place.coin
    if act == "sell":
        most = min(tx.has(give), place.room)
    else:
        most = min(place.affordable(tx.has(give)), place.held)
    amount = tx.size(step, give, most, atoms)
    return getattr(place, act)(tx.who, amount), (give, amount)


def _terra(
    tx: Transaction, place: TerraModule, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    give = step.give or place.stable
    amount = tx.size(step, give, None, atoms)
    get = place.luna if give == place.stable else place.stable
    least = tx.setting.amounts.atoms(get, step.least)
    value = tx.setting.quotes.feed_value(f"{place.account} share", tx.now_ns)
    done = place.swap(tx.who, give, amount, least=least, **place.rates(value))
    return done, (give, amount)


def _save(
    tx: Transaction, place: SavingsAccount, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    amount = tx.size(step, place.asset, None, atoms)
    return place.deposit(tx.who, amount), (place.asset, amount)


def _draw(
    tx: Transaction, place: SavingsAccount, step: Step, atoms: int | None
) -> tuple[Pair, Amount]:
    most = min(place.claim(tx.has(place.share_asset)), place.cash)
    amount = tx.size(step, place.asset, most, atoms)
    return place.withdraw(tx.who, amount), (place.asset, amount)


_POOL: dict[str, Verb] = {"swap": _swap, "add": _add, "remove": _remove}
VERBS: dict[type, dict[str, Verb]] = {
    ConstantProduct: _POOL,
    StableSwap: _POOL,
    ConcentratedLiquidity: {"swap": _swap},
    IsolatedMarket: ISOLATED,
    LendingPool: SHARED,
    CuratedVault: {name: partial(_vault, name) for name in ("deposit", "withdraw")},
    PoolVault: {"deposit": _put, "withdraw": _take},
    SyntheticDollar: {name: partial(_issuer, name) for name in ("mint", "redeem")},
    StakedCoin: {"stake": _stake, "unstake": _unstake},
    StakedDollar: {"stake": _stake, "unstake": _unstake, "claim": _claim},
    FractionalStable: {name: partial(_fractional, name) for name in ("mint", "redeem")},
    ReserveStable: {"redeem": _reserve},
    PegModule: {name: partial(_peg, name) for name in ("sell", "buy")},
    TerraModule: {"swap": _terra},
    SavingsAccount: {"deposit": _save, "withdraw": _draw},
}
"""What can be done at each kind of protocol."""


def verbs_of(state: object) -> dict[str, Verb]:
    """What can be done at a place."""
    found = VERBS.get(type(state))
    if found is None:
        raise Refused(f"'on' must be a place to act at (got {state!r})")
    return found
