"""Loop borrowers, and whales whose loans are called for margin."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...margin.loans import LoanLevels
from ..agents import NEVER
from ..events import NO_CAUSE
from ..reading.drawing import draw
from .cefi import Borrower, CollateralLoan, Stage
from .isolated import PRICE_ONE, IsolatedMarket
from .loopers import state_of, unwind_by_flash, unwind_by_rounds
from .pools import input_for
from .protocol import Refused, Transfer
from .settings import Loans, Loops, Step
from .surroundings import Deed
from .user import THERE, User

if TYPE_CHECKING:
    from .chain import Chain

OPEN = (Stage.OK, Stage.CALLED, Stage.LIQUIDATING)

AGAIN = 0.01
"""A borrower asks its loop again when it lacks this share of its debt more."""


class LoopBorrowers(User):
    """Loops in an isolated market, each unwound when its reason to be is gone."""

    group = "loops"
    settings: Loops

    def __init__(self, chain: "Chain", name: str, settings: Loops) -> None:
        super().__init__(chain, name, settings)
        count = settings.count
        self.place, self.pool = f"lending.{settings.on}", f"pools.{settings.pool}"
        rule = chain.world.config.lending[settings.on]
        self.loan, self.collateral, self.feed = rule.loan, rule.collateral, rule.feed
        self.delay = self.delays(count, settings.delay)
        self.due = [NEVER] * count
        self.cause = [NO_CAUSE] * count
        self.sold = [0] * count  # atoms sold on the exchange
        self.unwound = 0  # atoms of collateral sold or taken out

    def member(self, i: int) -> str:
        """Name of a borrower's account on chain."""
        return f"{self.label}.{i + 1}"

    def on_exchange(self, i: int) -> str:
        """Name of its account on the exchange."""
        return self.member(i) + THERE

    def holders(self) -> list[str]:
        """One account each, and one on the exchange where that is used."""
        every = range(self.settings.count)
        names = [self.member(i) for i in every]
        return names + [self.on_exchange(i) for i in every]

    @property
    def market(self) -> Any:
        """The lending market as it stands."""
        return self.chain.state(self.place)

    def begin(self) -> None:
        """Pledge and borrow; what was borrowed bought what is pledged."""
        settings, chain = self.settings, self.chain
        low, high = settings.ltv
        price = chain.feed_value(self.feed, 0)
        each = settings.collateral / settings.count
        for i in range(settings.count):
            share = low + (high - low) * i / max(1, settings.count - 1)
            who = self.member(i)
            chain.give(who, self.collateral, each)
            pledge = Step(do="pledge", on=self.place)
            borrow = Step(do="borrow", on=self.place, amount=each * share * price)
            chain.start_with(who, (pledge, borrow))
            chain.spend(who, self.loan, self.balance(who, self.loan))

    def wake(self, now: int) -> None:
        """Leave where there is no reason to stay, and sell what came free."""
        for i in range(self.settings.count):
            if self.settings.book is not None:
                self._sell_on_exchange(i, now)
            if not self.settings.enabled or self.due[i] < 0:
                continue
            if self.due[i] == NEVER:
                self._consider(i, now)
            if self.due[i] <= now:
                self._leave(i, now)

    # -- LEAVING

    def _consider(self, i: int, now: int) -> None:
        settings, chain, who = self.settings, self.chain, self.member(i)
        state = chain.state(self.pool)
        price = chain.amounts.rate(
            state.price(self.collateral, self.loan), self.collateral, self.loan
        )
        why, cause = "", NO_CAUSE
        if settings.leave_at is not None and price < settings.leave_at:
            why = f"leaves its loop as {self.collateral} is at {price:.4g}"
            cause = chain.last_at(self.pool)
        elif settings.leave_below is not None:
            net = self._net(who, now)
            if net is not None and net < settings.leave_below:
                why = f"leaves its loop, which earns {net:.1%} a year"
                cause = chain.last_at(self.place)
        if why:
            self.cause[i] = self.decide(who, now, cause, why)
            self.due[i] = now + int(self.delay[i] * 1e9)

    def _net(self, who: str, now: int) -> float | None:
        # What the equity earns a year; None without a loop.
        market: IsolatedMarket = self.market.accrue(now)
        try:
            loop = state_of(who, market, self.chain.market_price(market, now))
        except Refused:
            return None
        if loop.debt <= 0 or loop.equity <= 0:
            return None
        return loop.net_yield(self.settings.earns, market.yearly_rate(now))

    def _leave(self, i: int, now: int) -> None:
        who, chain = self.member(i), self.chain
        market, pool = self.market, chain.state(self.pool)
        if not market.position(who).borrow_shares:
            self.due[i] = -1
            return
        before = market.position(who).collateral
        try:
            price = chain.market_price(market, now)
            try:
                done = unwind_by_flash(who, market, pool, price, now)
            except Refused:
                done = unwind_by_rounds(who, market, pool, price, now)
            if not done.transfers:
                return
            sold = sum(
                row.atoms
                for row in done.transfers
                if row.asset == self.collateral and row.target == self.pool
            )
            self._keep(i, done.market, done.pool, done.transfers, sold, now)
        except Refused:
            return  # tried again in the next block
        freed = before - done.market.position(who).collateral - sold
        self._unwound(sold, freed)
        if not done.market.position(who).borrow_shares:
            self.due[i] = -1

    def _keep(
        self,
        i: int,
        market: Any,
        pool: Any,
        moves: tuple[Transfer, ...],
        sold: int,
        now: int,
    ) -> None:
        chain, who = self.chain, self.member(i)
        units = self.units(self.collateral, sold)
        kept = market.position(who).collateral
        out = self.units(self.collateral, self.market.position(who).collateral - kept)
        text = f"unwind loop of {self.collateral}"
        deeds = [Deed(self.place, text, self.collateral, out)]
        if sold:
            text = f"sale of {self.collateral} to repay"
            deeds.append(Deed(self.pool, text, self.collateral, units))
        before = {self.pool: chain.around.places[self.pool]}
        states = {self.place: market, self.pool: pool}
        event = chain.around.keep(states, moves, deeds, who, now, self.cause[i])
        self.cause[i] = event
        if sold:
            chain.note(before)

    def _unwound(self, sold: int, freed: int) -> None:
        chain, usd = self.chain, self.chain.usd(self.collateral)
        self.unwound += sold + freed
        whole = self.units(self.collateral, sold + freed) * usd
        chain.count("links.unwound_usd", whole)
        pool = self.units(self.collateral, sold) * usd
        chain.count("links.sold_pool_usd", pool)

    # -- RAISING MONEY FOR SOMEBODY ELSE

    def raise_money(self, i: int, need: int, now: int, cause: int) -> int:
        """Free so many atoms of the loan asset at the leverage of now; 0 if it cannot.

        Of a loop of leverage λ it takes λ of each: λ − 1 repay debt through the pool,
        the rest is sold on the exchange, or in the pool as well. Returns what was
        freed, at the oracle's price.
        """
        chain, who = self.chain, self.member(i)
        if not self.settings.enabled or self.market.position(who).collateral == 0:
            return 0
        event = self.decide(who, now, cause, self._told(need), self._usd(need))
        self.cause[i] = event
        for part in (1.0, 0.5, 0.25, 0.1):
            try:
                return self._free(i, int(need * part), now)
            except Refused:
                continue
        told = Deed("", f"cannot unwind its loop at {self.pool}")
        chain.around.tell(told, who, now, event)
        return 0

    def _told(self, need: int) -> str:
        units = self.units(self.loan, need)
        return f"unwinds its loop to raise {units:,.0f} {self.loan}"

    def _usd(self, atoms: int) -> float:
        return self.units(self.loan, atoms) * self.chain.usd(self.loan)

    def _free(self, i: int, need: int, now: int) -> int:
        chain, who = self.chain, self.member(i)
        market: IsolatedMarket = self.market.accrue(now)
        pool = chain.state(self.pool)
        price = chain.market_price(market, now)
        has, debt = market.position(who), market.debt(who)
        loop = state_of(who, market, price)
        if loop.equity <= 0:
            raise Refused("'who' must have equity (got none)")
        need = min(need, int(loop.equity))
        freed = min(has.collateral, int(need * PRICE_ONE / price))
        repaid, sold = min(debt, int((loop.leverage - 1.0) * need)), 0
        moves: list[Transfer] = []
        if repaid:
            sold = input_for(pool, self.collateral, self.loan, repaid)
            freed = min(freed, has.collateral - sold)
        if freed < 0 or sold > has.collateral:
            raise Refused("'sold' must be within the collateral (got more)")
        if repaid:
            shares = has.borrow_shares if repaid >= debt else 0
            market, paid = market.repay(
                who, None if shares else repaid, now, shares=shares
            )
            moves += paid.transfers
        market, back = market.remove_collateral(who, sold + freed, price, now)
        moves += back.transfers
        in_pool = sold if self.settings.book is not None else sold + freed
        if in_pool:
            pool, trade = pool.swap(
                who, self.collateral, self.loan, in_pool, least=repaid, now_ns=now
            )
            moves += trade.transfers
        self._keep(i, market, pool, tuple(moves), in_pool, now)
        self._unwound(in_pool, sold + freed - in_pool)
        return need

    def _sell_on_exchange(self, i: int, now: int) -> None:
        who, there, chain = self.member(i), self.on_exchange(i), self.chain
        self.carry(who, there, self.collateral, now)
        number = self.world.exchange.asset_number[self.collateral]
        here = self.balance(there, self.collateral)
        gone = chain.bridge.arrived(self.account(there), number) - here
        if gone > self.sold[i]:
            atoms, self.sold[i] = gone - self.sold[i], gone
            usd = self.units(self.collateral, atoms) * chain.usd(self.collateral)
            chain.count("links.sold_venue_usd", usd)
        if here and not self.waits(there):
            part, clip = here, self.settings.clip
            if clip is not None:
                part = min(here, chain.amounts.atoms(self.collateral, clip))
            self.sell(there, str(self.settings.book), part, self.cause[i])

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """Equity at the oracle's price, debt, collateral, and what was unwound."""
        market: IsolatedMarket = self.market
        rows = [market.position(self.member(i)) for i in range(self.settings.count)]
        debts = [market.debt(self.member(i)) for i in range(self.settings.count)]
        pledged = self.units(self.collateral, sum(row.collateral for row in rows))
        debt = self.units(self.loan, sum(debts))
        yield "collateral", pledged
        yield "debt", debt
        yield "equity", pledged * self.chain.price_of(self.feed) - debt
        yield "unwound", self.units(self.collateral, self.unwound)


class Whales(User):
    """Loans of the exchange's desk against coins, one each, in any of their stages."""

    group = "loans"
    settings: Loans

    def __init__(self, chain: "Chain", name: str, settings: Loans) -> None:
        super().__init__(chain, name, settings)
        self.delay = draw(self.stream, settings.count, settings.delay)
        self.book = f"{settings.collateral}/{settings.loan}"
        self.loop: LoopBorrowers | None = None
        self.loans: list[CollateralLoan] = []
        self.cause = [NO_CAUSE] * settings.count
        self.asked = [0] * settings.count
        self.called = [0] * settings.count  # the most that a call asked for
        self.started: list[int] = []  # what each owed at the start

    def borrower(self, i: int) -> str:
        """Name of the account that a borrower answers from."""
        if self.loop is not None and self.loop.settings.book is not None:
            return self.loop.on_exchange(i)
        return self.loop.member(i) if self.loop is not None else f"{self.label}.{i + 1}"

    def desk(self, i: int) -> str:
        """Name of the lender's account with the collateral."""
        return f"{self.label}.{i + 1} pledge"

    def holders(self) -> list[str]:
        """Borrowers and the lender's accounts."""
        every = range(self.settings.count)
        own = [f"{self.label}.{i + 1}" for i in every]
        return own + [self.desk(i) for i in every]

    def begin(self) -> None:
        """Pledge coins for money that has been spent."""
        settings, chain = self.settings, self.chain
        levels = LoanLevels(
            initial=settings.initial, call=settings.call, liquidate=settings.liquidate
        )
        low, high = settings.ltv
        worth = settings.usd / settings.count
        for i in range(settings.count):
            ltv = low + (high - low) * i / max(1, settings.count - 1)
            coins = worth / chain.usd(settings.collateral)
            owed = worth * ltv / chain.usd(settings.loan)
            chain.give(self.desk(i), settings.collateral, coins)
            if settings.cash:
                chain.give(self.borrower(i), settings.loan, owed * settings.cash)
            loan = CollateralLoan(
                borrower=self.borrower(i),
                lender=self.desk(i),
                loan=settings.loan,
                collateral=settings.collateral,
                owed=chain.amounts.atoms(settings.loan, owed),
                pledged=chain.amounts.atoms(settings.collateral, coins),
                levels=levels,
            )
            self.loans.append(loan)
            self.started.append(loan.owed)

    def wake(self, now: int) -> None:
        """What the lender makes of the price, and the borrowers' answers."""
        settings, chain = self.settings, self.chain
        if not settings.enabled:
            return
        usd = chain.usd(settings.collateral) / chain.usd(settings.loan)
        price = chain.amounts.in_atoms(usd, settings.collateral, settings.loan)
        for i, loan in enumerate(self.loans):
            if loan.stage not in OPEN:
                continue
            loan = self._settle_sales(i, loan)
            loan = self._judged(i, loan, price, now)
            if loan.stage is Stage.CALLED:
                self._count(i, loan.cure(price).repay)
                loan = self._answered(i, loan, price, now)
            elif loan.stage is Stage.LIQUIDATING:
                self._sell_pledge(i, loan, price)
            self.loans[i] = loan

    def _judged(
        self, i: int, loan: CollateralLoan, price: float, now: int
    ) -> CollateralLoan:
        after = loan.step(price, now)
        if after.stage is loan.stage:
            return after
        number = self.world.exchange.asset_number[self.settings.collateral]
        moved = self.world.exchange.index_event[number]
        ltv, usd = after.ltv(price), self._usd(after.owed)
        if after.stage is Stage.CALLED:
            text = f"called for margin at a loan-to-value of {ltv:.1%}, owes"
            self.cause[i] = self.decide(self.borrower(i), now, moved, text, usd)
        elif after.stage is Stage.LIQUIDATING:
            text = f"is liquidated by its lender at a loan-to-value of {ltv:.1%}, owes"
            self.cause[i] = self.decide(self.borrower(i), now, moved, text, usd)
        elif after.stage is Stage.OK:
            self.asked[i] = 0
        return after

    def _count(self, i: int, lacks: int) -> None:
        # What a call asks for counts once, and again only as far as it grows.
        if lacks > self.called[i]:
            self.chain.count("links.called_usd", self._usd(lacks - self.called[i]))
            self.called[i] = lacks

    def _usd(self, atoms: int) -> float:
        loan = self.settings.loan
        return self.units(loan, atoms) * self.chain.usd(loan)

    def _answered(
        self, i: int, loan: CollateralLoan, price: float, now: int
    ) -> CollateralLoan:
        cash = max(0, self.balance(loan.borrower, loan.loan))
        who = Borrower(delay_ns=int(self.delay[i] * 1e9), cash=cash)
        answer = who.answer(loan, price, now)
        if answer is None:
            return loan
        after = loan
        if answer.repay:
            after, moves = loan.repay(min(answer.repay, loan.owed))
            self.chain.around.booking.book(moves)
            text = f"repays {loan.loan} to its lender"
            units = self.units(loan.loan, answer.repay)
            deed = Deed("", text, loan.loan, units)
            self.chain.around.tell(deed, loan.borrower, now, self.cause[i])
        more = answer.raise_ - self.asked[i]
        if self.loop is not None and more > AGAIN * after.owed:
            self.asked[i] += more
            self.loop.raise_money(i, more, now, self.cause[i])
        return after

    # -- THE LENDER'S SALES

    def _sell_pledge(self, i: int, loan: CollateralLoan, price: float) -> None:
        if self.waits(loan.lender):
            return
        atoms = min(loan.to_sell(price), loan.pledged)
        atoms = max(int(atoms * self.settings.slice), min(atoms, 1))
        units = self.sell(loan.lender, self.book, atoms, self.cause[i])
        usd = units * self.chain.usd(loan.collateral)
        self.chain.count("links.forced_usd", usd)

    def _settle_sales(self, i: int, loan: CollateralLoan) -> CollateralLoan:
        sold = loan.pledged - self.balance(loan.lender, loan.collateral)
        if sold <= 0 or loan.stage is not Stage.LIQUIDATING:
            return loan
        # What the lender has beyond what was repaid before is what the sale paid.
        before = self.started[i] - loan.owed
        proceeds = self.balance(loan.lender, loan.loan) - before
        after, moves = loan.sold(sold, max(0, proceeds))
        self.chain.around.booking.book(moves)
        return after

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """How many are in which stage, what they owe, and the lenders' loss."""
        stages = [loan.stage for loan in self.loans]
        yield "called", float(stages.count(Stage.CALLED))
        yield "liquidating", float(stages.count(Stage.LIQUIDATING))
        yield "closed", float(stages.count(Stage.CLOSED))
        owed = sum(loan.owed for loan in self.loans)
        lost = sum(row.owed for row in self.loans if row.stage is Stage.DEFICIT)
        yield "owed", self.units(self.settings.loan, owed)
        yield "lost", self.units(self.settings.loan, lost)
