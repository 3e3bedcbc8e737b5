"""Who owes whom, and what everybody gets when somebody cannot pay."""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import NamedTuple, Self

import attrs

from .protocol import Refused, require, require_known

OUTSIDE = "outside"
ROUNDS_MAX = 100_000
_CLOSE = 1e-15


class Loan(NamedTuple):
    """A debt, perhaps against units of a token, perhaps beyond them."""

    lender: str
    borrower: str
    amount: float
    token: str = ""
    units: float = 0.0
    recourse: bool = True
    senior: bool = False


class Issuer(NamedTuple):
    """A node: its assets from outside, and the par and supply of its token, if any."""

    external: float
    par: float = 0.0
    supply: float = 0.0


class Clearing(NamedTuple):
    """What tokens are worth, what loans pay, who cannot pay all, and what is left.

    ``recovery`` is the share that a node's ordinary creditors get, ``outside`` what
    holders and lenders who are no nodes get in all. This is not a market price.
    """

    prices: dict[str, float]
    recovery: dict[str, float]
    paid: tuple[float, ...]
    defaults: tuple[str, ...]
    equity: dict[str, float]
    outside: float
    default_cost: float

    def losses_since(self, before: "Clearing") -> dict[str, float]:
        """What each node's equity, and everybody outside, lost since another clearing.

        Their sum is what was lost from outside and the costs of default.
        """
        lost = {name: before.equity[name] - left for name, left in self.equity.items()}
        return lost | {OUTSIDE: before.outside - self.outside}


class _State(NamedTuple):
    # Shares that senior and ordinary claims get; what everybody has and owes.
    first: dict[str, float]
    recovery: dict[str, float]
    assets: dict[str, float]
    claims: dict[str, float]
    paid: tuple[float, ...]
    cost: float


@attrs.frozen
class BalanceSheetGraph:
    """Nodes that issue tokens, hold each other's, and lend to each other.

    Lenders get the collateral at what its token is worth, at most the debt; with
    recourse the rest ranks with the token's holders, or before them if ``senior``.
    Seized tokens stay in the supply. What an issuer pledges of its own token is no
    asset of anybody: the lender ranks with the debt, without recourse with as much of
    it as the units are worth at par, and they are taken off the supply.

    >>> graph = BalanceSheetGraph().issuer("A", external=50.0, par=1.0, supply=100.0)
    >>> graph.clear().prices
    {'A': 0.5}
    """

    nodes: Mapping[str, Issuer] = attrs.field(factory=dict)
    holdings: Mapping[tuple[str, str], float] = attrs.field(factory=dict)
    loans: tuple[Loan, ...] = ()

    # -- BUILDING

    def issuer(
        self, name: str, *, external: float, par: float = 0.0, supply: float = 0.0
    ) -> Self:
        """Add a node; ``par`` and ``supply`` are of its token."""
        require(name not in self.nodes, "name", "be new", name)
        require(name not in ("", OUTSIDE), "name", "be no word for others", name)
        for field, value in (("external", external), ("par", par), ("supply", supply)):
            require(value >= 0.0, field, "not be below 0", value)
        node = Issuer(external, par, supply)
        return attrs.evolve(self, nodes={**self.nodes, name: node})

    def hold(self, holder: str, token: str, units: float) -> Self:
        """Give a node units of another node's token."""
        require_known("holder", holder, self.nodes)
        require_known("token", token, self.nodes)
        require(units > 0.0, "units", "be above 0", units)
        require(holder != token, "holder", "be another than the issuer", holder)
        key = holder, token
        held = {**self.holdings, key: self.holdings.get(key, 0.0) + units}
        total = fsum(n for (_, name), n in held.items() if name == token)
        most = self.nodes[token].supply
        require(total <= most, "units", f"be within the supply, {most}", total)
        return attrs.evolve(self, holdings=held)

    def lend(self, loan: Loan) -> Self:
        """Add a loan; the lender may be outside."""
        require_known("borrower", loan.borrower, self.nodes)
        if loan.lender != OUTSIDE:
            require_known("lender", loan.lender, self.nodes)
        right = loan.lender != loan.borrower
        require(right, "lender", "be another than the borrower", loan.lender)
        require(loan.amount > 0.0, "amount", "be above 0", loan.amount)
        if loan.token:
            require_known("token", loan.token, self.nodes)
            require(loan.units > 0.0, "units", "be above 0", loan.units)
            if loan.token != loan.borrower:
                has = self.holdings.get((loan.borrower, loan.token), 0.0)
                pledged = fsum(
                    row.units
                    for row in self.loans
                    if (row.borrower, row.token) == (loan.borrower, loan.token)
                )
                right = loan.units <= has - pledged
                must = f"be at most the {has - pledged:g} not pledged"
                require(right, "units", must, loan.units)
        return attrs.evolve(self, loans=(*self.loans, loan))

    def shock(self, name: str, loss: float) -> Self:
        """Take assets from outside away from a node."""
        require_known("name", name, self.nodes)
        node = self.nodes[name]
        right = 0.0 <= loss <= node.external
        require(right, "loss", f"be from 0 to {node.external}", loss)
        after = node._replace(external=node.external - loss)
        return attrs.evolve(self, nodes={**self.nodes, name: after})

    def exposure(self, borrower: str) -> dict[str, float]:
        """What each lender has lent to a node."""
        found: dict[str, float] = {}
        for loan in self.loans:
            if loan.borrower == borrower:
                found[loan.lender] = found.get(loan.lender, 0.0) + loan.amount
        return found

    # -- CLEARING

    def clear(
        self,
        alpha: float | Mapping[str, float] = 1.0,
        beta: float | Mapping[str, float] = 1.0,
    ) -> Clearing:
        """The greatest values that are consistent with each other.

        ``alpha`` and ``beta`` are the shares of a defaulting node's outside and inside
        assets that are left after the costs of default, for all or by node. Starts from
        everything at par and lowers; starting from nothing could end in a collapse that
        nobody needs.

        Sources: Eisenberg and Noe (2001), Systemic Risk in Financial Systems; Rogers
        and Veraart (2013), Failure and Rescue in an Interbank Network.
        """
        a, b = self._by_node("alpha", alpha), self._by_node("beta", beta)
        par = dict.fromkeys(self.nodes, 1.0)
        state = self._value(par, par, a, b)
        for _ in range(ROUNDS_MAX):
            last = state
            state = self._value(last.first, last.recovery, a, b)
            if _change(last.first, state.first) <= _CLOSE and (
                _change(last.recovery, state.recovery) <= _CLOSE
            ):
                return self._result(state)
        raise Refused(f"'graph' must settle within {ROUNDS_MAX} rounds")

    def _by_node(
        self, field: str, share: float | Mapping[str, float]
    ) -> dict[str, float]:
        if not isinstance(share, Mapping):
            share = dict.fromkeys(self.nodes, share)
        for name, value in share.items():
            require_known(field, name, self.nodes)
            require(0.0 <= value <= 1.0, field, "be from 0 to 1", value)
        return {name: share.get(name, 1.0) for name in self.nodes}

    def _value(
        self,
        first: Mapping[str, float],
        recovery: Mapping[str, float],
        a: Mapping[str, float],
        b: Mapping[str, float],
    ) -> _State:
        # One round: what everybody can pay if everybody else pays such shares.
        nodes = self.nodes
        inside, senior = dict.fromkeys(nodes, 0.0), dict.fromkeys(nodes, 0.0)
        claims = {name: row.par * self._issued(name) for name, row in nodes.items()}
        for (holder, token), units in self.holdings.items():
            free = units - self._pledged(holder, token)
            inside[holder] += free * nodes[token].par * recovery[token]
        paid = []
        for loan in self.loans:
            covered, rest, back = self._split(loan, recovery)
            ranks = senior if loan.senior else claims
            ranks[loan.borrower] += rest
            inside[loan.borrower] += back
            share = first if loan.senior else recovery
            paid.append(covered + rest * share[loan.borrower])
            if loan.lender != OUTSIDE:
                inside[loan.lender] += paid[-1]
        return self._shares(inside, senior, claims, (first, recovery), (a, b), paid)

    def _split(
        self, loan: Loan, recovery: Mapping[str, float]
    ) -> tuple[float, float, float]:
        # What the collateral pays, what ranks with claims, what comes back.
        if not loan.token:
            return 0.0, loan.amount if loan.recourse else 0.0, 0.0
        par = loan.units * self.nodes[loan.token].par
        if loan.token == loan.borrower:
            return 0.0, loan.amount if loan.recourse else min(loan.amount, par), 0.0
        worth = par * recovery[loan.token]
        covered = min(loan.amount, worth)
        rest = loan.amount - covered if loan.recourse else 0.0
        return covered, rest, worth - covered

    def _shares(
        self,
        inside: Mapping[str, float],
        senior: Mapping[str, float],
        claims: Mapping[str, float],
        last: tuple[Mapping[str, float], Mapping[str, float]],
        left: tuple[Mapping[str, float], Mapping[str, float]],
        paid: list[float],
    ) -> _State:
        first, recovery, assets, owed, cost = {}, {}, {}, {}, 0.0
        for name, node in self.nodes.items():
            has = whole = node.external + inside[name]
            owed[name] = senior[name] + claims[name]
            # A rounding error is no default.
            if whole < owed[name] * (1.0 - 1e-12):
                has = left[0][name] * node.external + left[1][name] * inside[name]
                cost += whole - has
            rest, due = max(0.0, has - senior[name]), claims[name]
            share = min(1.0, has / senior[name]) if senior[name] else 1.0
            ordinary = min(1.0, rest / due) if due else float(share == 1.0)
            # Only downwards, so that rounding cannot turn around for ever.
            first[name] = min(share, last[0][name])
            recovery[name] = min(ordinary, last[1][name])
            assets[name] = has
        return _State(first, recovery, assets, owed, tuple(paid), cost)

    def _pledged(self, holder: str, token: str) -> float:
        return fsum(
            loan.units
            for loan in self.loans
            if (loan.borrower, loan.token) == (holder, token)
        )

    def _issued(self, name: str) -> float:
        return self.nodes[name].supply - self._pledged(name, name)

    def _result(self, state: _State) -> Clearing:
        equity = {
            name: max(0.0, state.assets[name] - state.claims[name])
            for name in self.nodes
        }
        prices = {
            name: node.par * state.recovery[name]
            for name, node in self.nodes.items()
            if node.supply
        }
        defaults = tuple(n for n in self.nodes if state.recovery[n] < 1.0)
        return Clearing(
            prices=prices,
            recovery=state.recovery,
            paid=state.paid,
            defaults=defaults,
            equity=equity,
            outside=self._outside(state),
            default_cost=state.cost,
        )

    def _outside(self, state: _State) -> float:
        # What holders and lenders who are no nodes get.
        loans = zip(self.loans, state.paid, strict=True)
        lent = fsum(paid for loan, paid in loans if loan.lender == OUTSIDE)
        held = []
        for name, node in self.nodes.items():
            inside = fsum(n for (_, token), n in self.holdings.items() if token == name)
            held.append((self._issued(name) - inside) * node.par * state.recovery[name])
        return lent + fsum(held)


def _change(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    return max((before[name] - after[name] for name in before), default=0.0)


# -- Networks of debts alone


def clearing_payments(
    external: Sequence[float],
    owed: Sequence[Sequence[float]],
    outside: Sequence[float],
    alpha: float = 1.0,
    beta: float = 1.0,
) -> list[float]:
    """What each node pays in all: the greatest vector that is consistent.

    ``owed[i][j]`` is what i owes j, ``outside[i]`` what it owes others. Without costs
    of default this is Eisenberg and Noe's, with them Rogers and Veraart's.

    >>> clearing_payments([1.0, 0.0], [[0.0, 2.0], [1.0, 0.0]], [0.0, 1.0])
    [2.0, 2.0]
    """
    graph = BalanceSheetGraph()
    n = len(external)
    for i in range(n):
        graph = graph.issuer(str(i), external=external[i])
    for i in range(n):
        for j in range(n):
            if owed[i][j]:
                graph = graph.lend(Loan(str(j), str(i), owed[i][j]))
        if outside[i]:
            graph = graph.lend(Loan(OUTSIDE, str(i), outside[i]))
    recovery = graph.clear(alpha, beta).recovery
    return [fsum((*owed[i], outside[i])) * recovery[str(i)] for i in range(n)]


def debt_rank(
    exposures: Sequence[Sequence[float]],
    equity: Sequence[float],
    shocks: Sequence[float],
) -> list[float]:
    """The share of its equity that each node loses, before anybody defaults.

    ``exposures[i][j]`` is what i has lent j. A loss of j's equity lowers what i's claim
    is worth in proportion: ``h_i += Σ_j (A_ij / E_i)·Δh_j``, up to 1.

    Source: Bardoscia, Battiston, Caccioli and Caldarelli (2015), DebtRank: A
    Microscopic Foundation for Shock Propagation.
    """
    n = len(equity)
    for i in range(n):
        require(equity[i] > 0.0, f"equity[{i}]", "be above 0", equity[i])
        require(0.0 <= shocks[i] <= 1.0, f"shocks[{i}]", "be from 0 to 1", shocks[i])
    h, new = [0.0] * n, list(shocks)
    for _ in range(ROUNDS_MAX):
        change = [new[i] - h[i] for i in range(n)]
        if max(change, default=0.0) <= _CLOSE:
            break
        h = new
        new = [
            min(
                1.0,
                h[i] + fsum(exposures[i][j] * change[j] for j in range(n)) / equity[i],
            )
            for i in range(n)
        ]
    return new


# -- Ratios of circular claims


def multiple_of(share: float) -> float:
    """What one unit becomes if ``share`` of it comes back each round: 1/(1 − q).

    >>> multiple_of(0.75)
    4.0
    """
    require(0.0 <= share < 1.0, "share", "be from 0 to below 1", share)
    return 1.0 / (1.0 - share)


def share_of(multiple: float) -> float:
    """The share that has to come back each round for a multiple: 1 − 1/m."""
    require(multiple >= 1.0, "multiple", "be at least 1", multiple)
    return 1.0 - 1.0 / multiple


class FrozenOracle(NamedTuple):
    """A market whose oracle says one price while a token is worth another."""

    oracle: float
    market: float
    lltv: float

    @property
    def debt_per_token(self) -> float:
        """The most that can be borrowed on a token."""
        return self.oracle * self.lltv

    @property
    def shortfall(self) -> float:
        """What a token lacks to pay that: what walking away is worth, a free put."""
        return max(0.0, self.debt_per_token - self.market)

    @property
    def loss_given_default(self) -> float:
        """The share of the debt that is lost."""
        return self.shortfall / self.debt_per_token

    @property
    def true_ltv(self) -> float:
        """The debt over what the token is worth."""
        return self.debt_per_token / self.market


def net_of_setoff(
    claims: Mapping[str, float], owes: Mapping[str, float]
) -> dict[str, float]:
    """What each creditor claims once what it owes itself is set off.

    Refused for a creditor who owes more than it claims: its debt is an asset then.

    >>> net_of_setoff({"Stream": 75.0, "others": 9.2}, {"Stream": 68.0})
    {'Stream': 7.0, 'others': 9.2}
    """
    found = {}
    for name, claim in claims.items():
        rest = claim - owes.get(name, 0.0)
        require(rest >= 0.0, f"claims.{name}", "be at least what it owes", claim)
        found[name] = rest
    return found
