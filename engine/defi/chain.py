"""The protocols of a scenario in its simulation: their clock, prices and users."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any

from ...cython_ext.ledger import EXTERNAL
from ..agents import SECOND
from ..arguments import suggest
from ..events import NO_CAUSE
from ..reading.sources import Problem, ScenarioError
from . import building
from .actions import Setting, Transaction
from .booking import Booking
from .bridge import Bridge
from .building import PLACES, Amounts
from .figures import figures
from .fractional import FractionalStable
from .par import MONDAY_S
from .prices import Priced
from .protocol import ISSUED, Refused, Transfer, transfers
from .savings import SavingsAccount
from .settings import USERS, Step
from .staking import StakedCoin
from .surroundings import Deed, Surroundings
from .terra import TerraModule
from .user import User
from .users import KINDS, IssuerDesk, make_users

if TYPE_CHECKING:
    from ..simulation import World


class Chain(Priced):
    """Everything around the exchange, one block after another.

    In each block coins arrive, feeds read the prices as they stand, and then the users
    act in the order of the settings; what they do counts at once. Every balance is in
    the exchange's ledger. ``series`` are figures of the end of each block.
    """

    group = "chain"
    machinery = True

    def __init__(self, world: "World") -> None:
        config = world.config
        super().__init__(world, "chain", config.chain.interval)
        self.settings = config.chain
        self.amounts = Amounts({n: a.decimals for n, a in config.assets.items()})
        self.block = 0
        self.bridge = Bridge(world)
        self.counts: dict[str, float] = {}  # figures that only grow
        self._users: dict[str, list[User]] = {}
        self.times: list[int] = []
        self._rows: list[list[float]] = []
        self._names: tuple[str, ...] = ()
        self._build()

    @classmethod
    def of(cls, world: "World") -> "Chain | None":
        """The chain of a world; None if its scenario has nothing of it."""
        config = world.config
        tables = (*PLACES, *KINDS, "feeds", "wallets")
        return cls(world) if any(getattr(config, name) for name in tables) else None

    # -- BUILDING

    def _build(self) -> None:
        config, world = self.world.config, self.world
        tables = {table: getattr(config, table) for table in PLACES}
        names = [f"{t}.{n}" for t, rows in tables.items() for n in rows]
        holders = list(names)
        holders += [f"{name} lenders" for name in names if _is_lent(name)]
        holders += [f"{name} providers" for name in names if name.startswith("pools.")]
        accounts = self._opened("chain", holders)
        accounts |= self._opened("wallets", [f"wallets.{n}" for n in config.wallets])
        members, users = make_users(self)
        for group, wanted in members.items():
            accounts |= self._opened(group, wanted)
        if any(rows for rows in tables.values()):
            self.bridge.open()
        numbers = world.exchange.asset_number
        tokens = [f"{n} shares" for n in names if n.split(".")[0] in _SHARED]
        booking = Booking(world.exchange.ledger, numbers, accounts, tokens)
        self.around = Surroundings(booking, {}, world.exchange.log)
        self.setting = Setting(
            booking,
            self.amounts,
            self,
            (MONDAY_S + int(config.start)) * SECOND,
            self.interval_ns,
        )
        for wallet, holdings in config.wallets.items():
            for asset, units in holdings.items():
                self.give(f"wallets.{wallet}", asset, units)
        minters = tuple(accounts)
        self._open_places(tables, minters)
        self.open_feeds()
        self._supply(tables)
        self._users = {group: [] for group in USERS}
        for user in users:
            user.begin()
            self._users[user.group].append(user)
        self.observe(0)
        if world.exchange.prices.places:
            world.exchange.update_prices()
        self._sample(0)
        self._check_watched()

    def _check_watched(self) -> None:
        # Which figures there are is known from the first sample on.
        for name, rule in self.world.config.runners.items():
            if rule.watch not in self._names:
                near = suggest(rule.watch, self._names)
                text = f"{rule.watch!r} is not a figure of the chain{near}"
                where = self.world.config.name, None, f"runners.{name}.watch"
                raise ScenarioError([Problem(*where, text)])

    def short(self) -> list[IssuerDesk]:
        """Issuers with shorts on the exchange at the start."""
        desks = (user for user in self._users["issuers"])
        return [d for d in desks if isinstance(d, IssuerDesk) and d.settings.hedges]

    def _opened(self, group: str, names: list[str]) -> dict[str, int]:
        if not names:
            return {}
        numbers = self.world.open_accounts(group, len(names)).tolist()
        return dict(zip(names, numbers, strict=True))

    def _open_places(self, tables: Mapping[str, Any], minters: tuple[str, ...]) -> None:
        makers: dict[str, Any] = {
            "pools": building.pool,
            "lending": building.lending,
            "lending_pools": building.shared,
            "vaults": building.vault,
            "issuers": partial(building.issuer, minters=minters),
            "staking": building.staked,
            "stables": building.stable,
            "savings": building.savings,
        }
        for table, rows in tables.items():
            for name, rule in rows.items():
                account = f"{table}.{name}"
                with self._starting(account):
                    state = makers[table](account, rule, self.amounts)
                self.around.places[account] = state
                for asset, atoms in state.holds.items():
                    if atoms:
                        self.give(account, asset, atoms=atoms)
        day = next((r.day for r in tables["stables"].values() if r.hours), 0)
        monday = self.setting.monday_ns + day * 86_400 * SECOND
        self.setting = self.setting._replace(monday_ns=monday)
        for name, rule in tables["pools"].items():
            with self._starting(f"pools.{name}"):
                self._provide(f"pools.{name}", rule)
        for name, rule in tables["vaults"].items():
            if rule.pool is not None:
                self._stake(f"vaults.{name}", rule.stake)

    @contextmanager
    def _starting(self, place: str) -> Iterator[None]:
        # What a place does not take before the start is a fault of its table.
        try:
            yield
        except (Refused, OverflowError) as fault:
            text = f"cannot start: {fault}"
            problem = Problem(self.world.config.name, None, place, text)
            raise ScenarioError([problem]) from None

    def _stake(self, account: str, share: float) -> None:
        # A vault's stake is bought from the pool's providers; lenders have its shares.
        vault, places = self.state(account), self.around.places
        pool: Any = places[vault.pool]
        stake = int(share * pool.shares)
        pledged = Transfer(pool.share_asset, f"{vault.pool} providers", account, stake)
        lent = Transfer(vault.share_asset, ISSUED, f"{account} lenders", vault.shares)
        self.around.booking.book(transfers(pledged, lent))
        places[account] = vault.begun(stake, places)

    def _provide(self, account: str, rule: Any) -> None:
        who = f"{account} providers"
        if rule.kind == "concentrated":
            rows = building.ranges(self.state(account), rule, self.amounts)
            for lower, upper, liquidity in rows:
                pool, put = self.state(account).add(who, lower, upper, liquidity)
                for asset, atoms in zip(pool.assets, put.amounts, strict=True):
                    self.give(who, asset, atoms=atoms)
                self.around.booking.book(put.transfers)
                self.around.places[account] = pool
            return
        put = {a: self.amounts.atoms(a, n) for a, n in rule.reserves.items()}
        for asset, atoms in put.items():
            self.give(who, asset, atoms=atoms)
        pool, done = self.state(account).add(who, put)
        self.around.booking.book(done.transfers)
        self.around.places[account] = pool

    def _supply(self, tables: Mapping[str, Any]) -> None:
        for name, rule in tables["lending"].items():
            self._lend(f"lending.{name}", rule.loan, rule.supplied)
        for name, rule in tables["lending_pools"].items():
            for asset, row in rule.reserves.items():
                self._lend(f"lending_pools.{name}", asset, row.supplied)
        for name, rule in tables["vaults"].items():
            self._lend(f"vaults.{name}", rule.asset, rule.deposited)

    def _lend(self, place: str, asset: str, units: float) -> None:
        if units:
            who = f"{place} lenders"
            self.give(who, asset, units)
            do = "deposit" if place.startswith("vaults") else "supply"
            self.start_with(who, (Step(do=do, on=place, give=asset, amount=units),))

    def give(
        self, holder: str, asset: str, units: float = 0.0, atoms: int | None = None
    ) -> None:
        """Give a holder units of an asset from outside, at the start."""
        number = self.world.exchange.asset_number[asset]
        account = self.around.booking.accounts[holder]
        amount = self.amounts.atoms(asset, units) if atoms is None else atoms
        self.world.exchange.ledger.deposit(account, number, amount)

    def start_with(self, who: str, steps: tuple[Step, ...]) -> None:
        """Do steps before anything happens; nothing is told of them.

        ScenarioError if one of them is refused: the scenario cannot start so.
        """
        tx = Transaction(self.around.places, self.setting, who, 0)
        try:
            tx.run(steps)
            self.around.booking.book(tx.moves)
        except Refused as refused:
            place = ".".join(who.split(" ")[0].split(".")[:2])
            text = f"cannot start: {refused}, of {steps[-1].on}"
            problem = Problem(self.world.config.name, None, place, text)
            raise ScenarioError([problem]) from None
        self.around.places.update(tx.states)

    def spend(self, holder: str, asset: str, atoms: int) -> None:
        """Take what a holder spent before the start."""
        number = self.world.exchange.asset_number[asset]
        account = self.around.booking.accounts[holder]
        self.world.exchange.ledger.transfer(number, account, EXTERNAL, atoms)

    # -- THE CLOCK

    def wake(self, now: int) -> None:
        """One block."""
        self.block += 1
        self.bridge.deliver(now)
        self._turn(now)
        self.observe(now)
        for group in self.settings.order or USERS:
            for user in self._users[group]:
                user.wake(now)
        self._sample(now)

    def _turn(self, now: int) -> None:
        # What protocols do by themselves.
        for name, state in list(self.around.places.items()):
            if isinstance(state, StakedCoin) and state.queue:
                after, moves = state.paid(now)
                self.around.booking.book(moves)
                self.around.places[name] = after
            elif isinstance(state, TerraModule):
                ended = state.until(now) if state.block_ns else state.end_block()
                self.around.places[name] = ended
            elif isinstance(state, SavingsAccount):
                self.around.places[name] = state.accrue(now)
            elif isinstance(state, FractionalStable):
                rule = self.world.config.stables[name.partition(".")[2]]
                if rule.coin_feed is not None and rule.coin_feed in self._values:
                    price = state.six_digits(self._values[rule.coin_feed])
                    self.around.places[name] = state.refresh(price, now)

    # -- WHAT HAPPENS AT PROTOCOLS

    def transact(
        self,
        who: str,
        steps: tuple[Step, ...],
        now: int,
        cause: int = NO_CAUSE,
        *,
        quiet: bool = False,
    ) -> Transaction | None:
        """Do steps together; None, with nothing changed, if one of them is refused.

        A refusal is an event, unless the one who tries is ``quiet`` about it.
        """
        try:
            tx = Transaction(self.around.places, self.setting, who, now).run(steps)
            self.commit(tx, cause)
        except Refused as refused:
            if quiet:
                return None
            name = ", ".join(dict.fromkeys(s.on or s.do for s in steps))
            told = Deed("", f"refused at {name}: {refused}")
            self.around.tell(told, who, now, cause)
            return None
        return tx

    def commit(self, tx: Transaction, cause: int = NO_CAUSE) -> int:
        """Keep what a transaction did; Refused if somebody lacks the atoms."""
        world = self.around
        before = {p: s for p, s in world.places.items() if tx.states[p] is not s}
        moves = tuple(tx.moves)
        event = world.keep(tx.states, moves, tx.deeds, tx.who, tx.now_ns, cause)
        self.note(before)
        return event

    def note(self, before: Mapping[str, Any]) -> None:
        """Remember who moved the price of pools most since feeds last looked."""
        for place, state in before.items():
            if not place.startswith("pools."):
                continue
            a, b = state.assets[:2]
            after = self.state(place)
            move = abs(after.price(a, b) / state.price(a, b) - 1.0)
            if move >= self._moved.get(place, (0.0, 0))[0]:
                self._moved[place] = move, self.around.touched[place]

    def govern(self, place: str, changes: Mapping[str, float], event: int) -> None:
        """Change the terms of a place, as was voted; `event` is the vote's."""
        after = self.state(place).voted(changes)
        told = ", ".join(f"{name} {value:g}" for name, value in changes.items())
        deed = Deed(place, f"terms set by vote, {told},")
        self.around.keep({place: after}, (), [deed], place, self.world.now, event)

    def count(self, name: str, amount: float) -> None:
        """Add to a figure."""
        self.counts[name] = self.counts.get(name, 0.0) + amount

    # -- FIGURES

    def users(self) -> Iterator[User]:
        """All users, table by table."""
        for group in USERS:
            yield from self._users.get(group, ())

    def series(self) -> tuple[list[int], dict[str, list[float]]]:
        """Times of the samples, and every figure at them."""
        columns = zip(*self._rows, strict=True)
        return self.times, dict(zip(self._names, map(list, columns), strict=True))

    def value(self, name: str) -> float:
        """A figure as of the last sample, NaN if there is none of the name."""
        if not self._rows or name not in self._names:
            return nan
        return self._rows[-1][self._names.index(name)]

    def _sample(self, now: int) -> None:
        found = figures(self, now)
        if not self._names:
            self._names = tuple(found)
        row = [found[name] for name in self._names]
        if self.times and self.times[-1] == now:
            self._rows[-1] = row
        else:
            self.times.append(now)
            self._rows.append(row)

    def names(self) -> dict[int, str]:
        """Names of all holders by the number of their account."""
        accounts = self.around.booking.accounts
        return {n: name for name, n in accounts.items() if name != "issued"}

    def sound(self) -> bool:
        """Whether every place holds in the ledger what it says."""
        try:
            self.around._check()
        except AssertionError:
            return False
        return True


_SHARED = ("pools", "vaults", "savings")
"""Tables of places that give shares for what is put in."""


def _is_lent(place: str) -> bool:
    return place.split(".")[0] in ("lending", "lending_pools", "vaults")
