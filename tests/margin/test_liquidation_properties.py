"""What holds whatever the accounts, the books, the prices and the rules are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import FEES, MARKETS, NO_FEES, has, long, quote, venue

from flashwick.cython_ext.ledger import CLAIMS, INSURANCE, SYSTEM_ACCOUNTS
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.bankruptcy import Bracket, reduction
from flashwick.margin.contradictions import contradictions
from flashwick.margin.parameters import STEPS

PERPS = MARKETS[3:]
SLICES: list[dict[str, Any]] = [{"partial": False, "slice": x} for x in (0.2, 0.6, 1.0)]
TIERS = [[0, 0.01], [1_000, 0.05], [4_000, 0.10]]

holdings = st.fixed_dictionaries(
    {},
    optional={
        "USDT": st.integers(-3000, 3000),
        "ATOM": st.integers(-300, 600),
        "SUI": st.integers(-300, 600),
        "WBETH": st.integers(-1, 1),
    },
)
positions = st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000))
people = st.lists(st.tuples(holdings, positions), min_size=1, max_size=5)
rest = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["buy", "sell"]),
        st.floats(0.3, 1.7),
        st.integers(1, 800),
    ),
    max_size=10,
)
ends = st.sampled_from(["claim", "socialise", "negative_fund"])
shocks = st.lists(
    st.sampled_from(
        [{}, {"ATOM": 1.0}, {"ATOM": 7.0}, {"SUI": 9.0, "WBETH": 10.0}, {"SUI": 0.5}]
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def ways(draw: Callable[..., Any]) -> dict[str, Any]:
    """Rules of a liquidation: any steps that are accepted, in any order."""
    residual, open_loss = draw(ends), draw(st.booleans())
    left_out = draw(st.lists(st.sampled_from(STEPS), unique=True, max_size=6))
    steps = [s for s in draw(st.permutations(STEPS)) if s not in left_out]
    how = {"steps": steps, "residual": residual}
    assume(
        not contradictions({"liquidation": how, "account": {"open_loss": open_loss}})
    )
    return {
        **how,
        "slice": draw(st.sampled_from([0.2, 1.0])),
        "price_cap": draw(st.sampled_from(["bankruptcy", "market"])),
        "target_health": draw(st.sampled_from([1.1, 1.2, 5.0])),
        "book_share": draw(st.sampled_from(["none", 0.5])),
        "partial": draw(st.booleans()),
        "step_down": draw(st.booleans()),
        "cooldown_s": draw(st.sampled_from([0.0, 0.0, 3.0])),
        "cooldown_above_usd": 1_000,
        "repay_order": draw(
            st.sampled_from(["pro_rata", "largest", "best_collateral"])
        ),
        "fund": draw(st.sampled_from(["shared", "per_symbol"])),
        "rules": {
            "account": {"open_loss": open_loss},
            "brackets": {"default": 0.05, "ATOMUSDT": TIERS, "SUIUSDT": 0.05},
            "conversion": {"default": 0.02},
            "thresholds": {"takeover": draw(st.sampled_from(["none", 0.5]))},
            "adl": {
                "trigger": draw(
                    st.sampled_from(
                        ["fund_negative", "fund_drawdown", "equity_negative"]
                    )
                ),
                "drawdown": 0.3,
                "ranking": draw(st.sampled_from(["binance", "hyperliquid", "ftx"])),
                "allocation": draw(
                    st.sampled_from(["queue", "contracts_pro_rata", "random"])
                ),
                "price": draw(
                    st.sampled_from(["bankruptcy", "mark", "zero_price_mix"])
                ),
            },
        },
    }


def populated(
    how: dict[str, Any],
    who: list[tuple[dict[str, float], tuple[int, int]]],
    orders: list[tuple[int, str, float, int]],
    fund: int,
) -> Exchange:
    """A venue with these people, whose orders rest on each other's."""
    exchange = venue(fees=FEES, **how)
    exchange.deposit(INSURANCE, "USDT", fund)
    accounts = [has(exchange, held) for held, _ in who]
    for account, (_, sizes) in zip(accounts, who, strict=True):
        for market, qty in zip(PERPS, sizes, strict=True):
            long(exchange, account, market, qty, {"A": 4.0, "S": 2.0}[market[0]])
    exchange.risk.order_health = -np.inf
    prices = (4.0, 2.0, 4000.0, 4.0, 2.0)
    for i, (market, side, share, qty) in enumerate(orders):
        account = accounts[i % len(accounts)]
        price = round(prices[market] * share, 2)
        exchange.submit(limit(account, MARKETS[market], side, price=price, qty=qty))
    return exchange


def run_out(exchange: Exchange, accounts: int) -> None:
    """Cycles until nobody is in liquidation; as many as accounts can need."""
    engine = exchange.liquidator
    slow = 1 + int(exchange.rules.liquidation.cooldown_s)
    most = accounts * slow * (engine.cycles_max + 2) * 3
    for _ in range(most):
        working = exchange.liquidate()
        exchange._check()
        engine._check()
        exchange.now += 1_000_000_000
        low = exchange.risk.below(exchange.rules.thresholds.liquidate)[0]
        if not working and len(low) == 0:
            return
    raise AssertionError(f"not over after {most} cycles: {[*engine.cases]}")


class Watched:
    """Checks what the engine does while it does it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        engine = exchange.liquidator
        self._deleverage = engine.deleveraging.close
        self._pay, self._unwind = engine.fund.pay, engine.fund.unwind
        engine.deleveraging.close = self.deleverage
        engine.fund.pay, engine.fund.unwind = self.pay, self.unwind

    def deleverage(self, losing: list[Any], now: int) -> list[int]:
        """Nobody gives more than it has against the position, nor more than it owns."""
        exchange = self.exchange
        market, sign = losing[0].held.market, int(np.sign(losing[0].lots))
        before = exchange.ledger.lots(market)
        rich = exchange.risk.revalue()["equity"].copy()
        done = self._deleverage(losing, now)
        after = exchange.ledger.lots(market)
        equity = exchange.risk.revalue()["equity"]
        losers = {one.account: n for one, n in zip(losing, done, strict=True)}
        assert len(losers) == len(losing)
        assert all(
            0 <= n * sign <= abs(one.lots) for one, n in zip(losing, done, strict=True)
        )
        for other in np.flatnonzero(before != after).tolist():
            if other in losers or other == INSURANCE:
                continue
            assert before[other] * sign < 0
            assert 0 <= after[other] / before[other] < 1
            assert equity[other] >= min(0.0, rich[other]) - 1e-6
        for account, n in losers.items():
            assert after[account] == before[account] - n
        return done

    def pay(self, asset: int, account: int, atoms: int, *more: int) -> None:
        """The fund pays for those who have nothing that could be sold."""
        exchange = self.exchange
        assert exchange.account(account).positions == {}
        cases = exchange.liquidator.cases
        (case,) = cases.each(cases.at(account))
        assert case.sold_out or case.cycle >= exchange.liquidator.cycles_max
        for coin, has_atoms, market in exchange.liquidator.forced.coins(account):
            if case.sold_out and market is not None and coin != asset:
                assert has_atoms < exchange.specs[market].base_unit or (
                    "sell_collateral" not in exchange.rules.liquidation.steps
                    or exchange.rules.liquidation.book_share is not None
                    or exchange.rules.liquidation.repay_order != "pro_rata"
                )
        self._pay(asset, account, atoms, *more)

    def unwind(self, now: int) -> None:
        """What the fund sells does not take it below zero."""
        rules, ledger = self.exchange.rules.liquidation, self.exchange.ledger
        before = [
            ledger.balance(INSURANCE, a) for a in range(len(self.exchange.assets))
        ]
        self._unwind(now)
        for asset, had in enumerate(before):
            if rules.residual != "negative_fund":
                assert ledger.balance(INSURANCE, asset) >= min(had, 0)


@given(people, rest, ways(), st.integers(0, 2_000), shocks)
@settings(max_examples=150, phases=UNTRACED)
def test_any_liquidation_ends_and_everyone_pays_before_the_fund(
    who: list[tuple[dict[str, float], tuple[int, int]]],
    orders: list[tuple[int, str, float, int]],
    how: dict[str, Any],
    fund: int,
    moves: list[dict[str, float]],
) -> None:
    """Books, fund, winners and claims sum to zero to the atom after every cycle."""
    exchange = populated(how, who, orders, fund)
    Watched(exchange)
    for i, move in enumerate(moves):
        exchange.reprice(move)
        run_out(exchange, len(who) + 2)
        assert not exchange.liquidator.cases
        # The venue carries debts, and the coins it got for them: at the prices of then
        # it gains nothing by it.
        assert i or exchange.risk.account(CLAIMS)["equity"] < 0.01


@given(people, rest, ways(), st.integers(0, 2_000))
@settings(max_examples=30, phases=UNTRACED)
def test_same_state_gives_the_same_events_in_the_same_order(
    who: list[tuple[dict[str, float], tuple[int, int]]],
    orders: list[tuple[int, str, float, int]],
    how: dict[str, Any],
    fund: int,
) -> None:
    """Breaches of one moment come worst first, ties by account."""
    tapes = []
    for _ in range(2):
        exchange = populated(how, who, orders, fund)
        exchange.reprice({"ATOM": 1.0})
        for _ in range(4):
            exchange.now += 1_000_000_000
            exchange.liquidate()
        tapes.append([str(event) for event in exchange.log.single()])
    assert tapes[0] == tapes[1]
    by_time: dict[int, list[tuple[float, int]]] = {}
    for event in exchange.log.single("breach"):
        assert event.account >= SYSTEM_ACCOUNTS
        by_time.setdefault(event.time, []).append((event.value, event.account))
    assert all(order == sorted(order) for order in by_time.values())


@given(
    st.floats(1e3, 1e7),
    st.floats(0.0, 1.0),
    st.floats(0.001, 0.5),
    st.floats(0.001, 2.0),
    st.floats(0.0, 1e6),
    st.floats(0.0, 0.05),
    st.booleans(),
)
@settings(max_examples=500, phases=UNTRACED)
def test_partial_reduction_never_costs_health(
    notional: float,
    floor: float,
    rate: float,
    health: float,
    others: float,
    cost: float,
    step_down: bool,
) -> None:
    """What it frees is worth more than it costs, or the whole position is closed."""
    bracket = Bracket(floor * notional, rate)
    own = notional * rate * (1.0 - 0.3 * floor)
    margin = own + others
    adjusted = health * margin
    closed = reduction(
        adjusted, margin, notional, bracket, target=1.2, cost=cost, step_down=step_down
    )
    assert 0.0 <= closed <= notional
    left = margin - rate * closed
    if closed < notional and left > 0.0:
        assert (adjusted - cost * closed) / left >= health * (1 - 1e-9)
        if closed < notional - bracket.floor:
            # Not at the floor: the target is reached.
            after = (adjusted - cost * closed) / left
            assert after >= 1.2 * (1 - 1e-6) or health >= 1.2


@given(
    st.integers(200, 900),
    st.integers(500, 3_000),
    st.sampled_from([-1, 1]),
    st.sampled_from(
        [{"partial": True, "step_down": x} for x in (False, True)] + SLICES
    ),
    st.integers(0, 30_000),
)
@settings(max_examples=100, phases=UNTRACED)
def test_each_forced_reduction_leaves_the_account_healthier(
    usd: int, coins: int, side: int, how: dict[str, Any], fee: int
) -> None:
    """In a deep book at mark, order by order, or nothing is left.

    Also with a fee above the margin that closing frees: Binance's is three times that.
    """
    exchange = venue(
        steps=["reduce_positions"],
        **how,
        fees=NO_FEES | {"liquidation_ppm": fee},
        rules={"brackets": {"default": 0.05, "ATOMUSDT": TIERS, "SUIUSDT": 0.05}},
    )
    account = has(exchange, {"USDT": usd})
    long(exchange, account, PERPS[0], side * coins, 4)
    quote(exchange, PERPS[0], "buy" if side > 0 else "sell", (4.0, 10_000))
    forced = exchange.liquidator.forced
    trade, found = forced.trade, []

    def watched(*args: Any) -> np.ndarray:
        before = exchange.account(account)
        filled = trade(*args)
        after = exchange.account(account)
        if filled.any() and after.positions:
            found.append((before.health, after.health))
        return filled

    forced.trade = watched
    exchange.liquidate()
    assert all(after >= before for before, after in found)
    if not how.get("partial"):
        return
    if exchange.account(account).positions and exchange.liquidator.liquidated:
        assert exchange.account(account).health >= 1.2
