"""Contagion: clearing of circular claims, its vectors and its invariants."""

import pytest
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.contagion import (
    OUTSIDE,
    BalanceSheetGraph,
    FrozenOracle,
    Loan,
    clearing_payments,
    debt_rank,
    multiple_of,
    net_of_setoff,
    share_of,
)
from flashwick.engine.defi.protocol import Refused


def stream_and_elixir() -> BalanceSheetGraph:
    """Stream's 160 of deposits and 284.9 of loans, 68 of them Elixir's; its deUSD."""
    graph = BalanceSheetGraph()
    graph = graph.issuer("Stream", external=63.0, par=1.26, supply=160.0 / 1.26)
    graph = graph.issuer("Elixir", external=16.2, par=1.0, supply=84.2)
    graph = graph.hold("Stream", "Elixir", 75.0)
    graph = graph.lend(Loan("Elixir", "Stream", 68.0))
    return graph.lend(Loan(OUTSIDE, "Stream", 284.9 - 68.0))


# -- Vectors


def test_vector_circ_clearing():
    """Both fixed points: xUSD at 0.254, and at 0.233 if default costs a tenth."""
    expected = vector("circ-clearing")["expected"]
    for point in expected["fixed_points"]:
        found = stream_and_elixir().clear(alpha={"Stream": point["alpha"]})
        close = {"abs": 1e-9}
        recovery = point["stream_recovery"]
        assert found.recovery["Stream"] == pytest.approx(recovery, **close)
        assert found.prices["Stream"] == pytest.approx(point["xusd"], **close)
        worth = point["deusd_pari_passu"]
        assert found.prices["Elixir"] == pytest.approx(worth, **close)
        assert found.defaults == ("Stream", "Elixir")


def test_vector_circ_clearing_as_debts_alone():
    """Eisenberg and Noe's vector of payments for the same two nodes."""
    row = vector("circ-clearing")
    given_, expected = row["inputs"], row["expected"]["eisenberg_noe"]
    owed = given_["cross"]
    outside = [given_["claims"] - 68.0, 84.2 - 75.0]
    paid = clearing_payments(given_["external"], owed, outside)
    assert paid == pytest.approx(expected["clearing"], abs=1e-9)
    totals = [given_["claims"], 84.2]
    shares = [a / b for a, b in zip(paid, totals, strict=True)]
    assert shares == pytest.approx(expected["recovery"], abs=1e-9)


def test_vector_circ_clearing_with_setoff():
    """Set off against its loan, Stream claims 7, and everybody is covered."""
    row = vector("circ-clearing")
    expected = row["expected"]["setoff"]
    claims = net_of_setoff({"Stream": 75.0, "others": 9.2}, {"Stream": 68.0})
    assert claims["Stream"] == pytest.approx(expected["stream_net_claim"])
    assert claims["others"] == expected["others"]
    covered = expected["elixir_external"] / sum(claims.values())
    assert covered == pytest.approx(expected["coverage_all"], abs=1e-9)
    ahead = expected["elixir_external"] / claims["others"]
    wanted = expected["coverage_if_stream_residual_subordinated"]
    assert ahead == pytest.approx(wanted, abs=1e-9)
    graph = BalanceSheetGraph().issuer(
        "Elixir", external=16.2, par=1.0, supply=sum(claims.values())
    )
    assert graph.clear().prices["Elixir"] == pytest.approx(1.0)


def test_vector_circ_ratios():
    """The headline multiples, and how much has to come back for them."""
    expected = vector("circ-ratios")["expected"]
    multiple = 14.5 / 1.9
    assert multiple == pytest.approx(expected["expansion"], abs=1e-9)
    limit = share_of(multiple)
    assert limit == pytest.approx(expected["q_limit_for_7_63"], abs=1e-9)
    assert multiple_of(limit) == pytest.approx(multiple)
    assert pytest.approx(expected["cbb_leverage"], abs=1e-9) == (170 + 530) / 170
    assert pytest.approx(expected["debt_to_collateral"], abs=1e-9) == 530 / 170
    assert pytest.approx(expected["elixir_share_if_supply_121"], abs=1e-9) == 68 / 121
    left = 121 - 0.8 * 46
    assert left == pytest.approx(expected["remaining_supply"], abs=1e-9)
    share = 75 / left
    assert share == pytest.approx(expected["stream_share_of_remaining"], abs=1e-9)


def test_vector_circ_exposures():
    """The lenders that are listed, and what is left of the reported total."""
    row = vector("circ-exposures")
    rows = row["inputs"]["rows"]
    graph = BalanceSheetGraph().issuer("Stream", external=0.0)
    for name, amount in rows.items():
        graph = graph.issuer(name, external=0.0).lend(Loan(name, "Stream", amount))
    listed = sum(graph.exposure("Stream").values())
    assert listed == pytest.approx(row["expected"]["listed"], abs=1e-6)
    residual = row["inputs"]["total_reported"] - listed
    assert residual == pytest.approx(row["expected"]["residual"], abs=1e-6)


def test_vector_frozen_oracle():
    """At 1.26 and 91.5 % a token that is worth 0.23 borrows 1.1529."""
    row = vector("frozen-oracle")
    given_, expected = row["inputs"], row["expected"]
    frozen = FrozenOracle(given_["oracle"], given_["market"], given_["lltv"])
    close = {"abs": 1e-9}
    debt = frozen.debt_per_token
    assert debt == pytest.approx(expected["max_debt_per_token"], **close)
    assert frozen.shortfall == pytest.approx(expected["shortfall_per_token"], **close)
    put = expected["free_put_profit_per_token"]
    assert frozen.shortfall == pytest.approx(put, **close)
    lost = frozen.loss_given_default
    assert lost == pytest.approx(expected["lgd"], **close)
    assert frozen.true_ltv == pytest.approx(expected["true_ltv"], **close)
    assert 25.42 * lost == pytest.approx(expected["potential_bad_debt_on_25_42M"])
    assert 0.65 / lost == pytest.approx(expected["debt_implied_by_650k_at_that_lgd"])


def test_vector_usdx_run():
    """Borrowing on a token worth 0.37 at an oracle of 1 beats paying 800 %."""
    row = vector("usdx-run")
    given_, expected = row["inputs"], row["expected"]
    run = FrozenOracle(given_["oracle"], given_["v"], given_["lltv"])
    assert run.shortfall == pytest.approx(expected["profit_per_token"], abs=1e-9)
    # Interest on the debt, compounded without pause, if it were repaid after all.
    growth = 2.718281828459045 ** (given_["r"] * given_["T"] / 365)
    interest = run.debt_per_token * (growth - 1.0)
    assert interest == pytest.approx(expected["interest_if_repaid"], abs=1e-9)
    assert (run.shortfall > 0.0) == expected["walk_away"]


# -- Invariants

amounts = st.floats(0.0, 100.0)


@st.composite
def networks(draw):
    """External assets, debts among up to five nodes, and debts to others."""
    n = draw(st.integers(2, 5))
    external = [draw(amounts) for _ in range(n)]
    owed = [
        [0.0 if i == j else draw(amounts | st.just(0.0)) for j in range(n)]
        for i in range(n)
    ]
    return external, owed, [draw(amounts) for _ in range(n)]


def inflow(paid, owed, outside, j):
    """What the others' payments bring a node."""
    total = 0.0
    for i, row in enumerate(owed):
        due = sum(row) + outside[i]
        total += paid[i] * row[j] / due if due else 0.0
    return total


@given(network=networks())
@settings(max_examples=60)
def test_nobody_pays_more_than_owed_or_than_there_is(network):
    """And whoever pays less than is owed pays all it has."""
    external, owed, outside = network
    paid = clearing_payments(external, owed, outside)
    for i, amount in enumerate(paid):
        due, has = (
            sum(owed[i]) + outside[i],
            external[i] + inflow(paid, owed, outside, i),
        )
        assert amount <= due * (1 + 1e-9)
        assert amount <= has * (1 + 1e-9) + 1e-9
        assert amount == pytest.approx(min(due, has), rel=1e-6, abs=1e-6)


@given(network=networks(), more=amounts, alpha=st.floats(0.5, 1.0))
@settings(max_examples=40)
def test_more_assets_never_pay_less(network, more, alpha):
    """Clearing is monotone in what comes from outside, also with costs of default."""
    external, owed, outside = network
    before = clearing_payments(external, owed, outside, alpha, alpha)
    richer = [external[0] + more, *external[1:]]
    after = clearing_payments(richer, owed, outside, alpha, alpha)
    for low, high in zip(before, after, strict=True):
        assert high >= low - 1e-9 * (1.0 + low)


@given(network=networks(), order=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_clearing_does_not_depend_on_the_order_of_nodes(network, order):
    """Names are no ranks."""
    external, owed, outside = network
    n = len(external)
    turn = list(range(n))
    order.shuffle(turn)
    paid = clearing_payments(external, owed, outside)
    turned = clearing_payments(
        [external[i] for i in turn],
        [[owed[i][j] for j in turn] for i in turn],
        [outside[i] for i in turn],
    )
    assert turned == pytest.approx([paid[i] for i in turn], rel=1e-9, abs=1e-9)


graphs = st.tuples(
    st.lists(amounts, min_size=3, max_size=3),
    st.lists(st.floats(0.0, 0.45), min_size=6, max_size=6),
    st.lists(st.floats(0.1, 60.0), min_size=3, max_size=3),
    st.booleans(),
    st.booleans(),
)


def circle(parts) -> BalanceSheetGraph:
    """Three issuers that hold each other's tokens and borrow against them."""
    external, shares, loans, recourse, senior = parts
    names = ("a", "b", "c")
    graph = BalanceSheetGraph()
    for name, outside in zip(names, external, strict=True):
        graph = graph.issuer(name, external=outside, par=1.0, supply=100.0)
    k = 0
    for holder in names:
        for token in names:
            if holder != token:
                if shares[k]:
                    graph = graph.hold(holder, token, 100.0 * shares[k])
                k += 1
    for i, amount in enumerate(loans):
        borrower, lender = names[i], (*names, OUTSIDE)[(i + 1) % 4]
        token = names[(i + 2) % 3]
        has = graph.holdings.get((borrower, token), 0.0)
        pledge = {"token": token, "units": has / 2} if has else {}
        loan = Loan(
            lender, borrower, amount, recourse=recourse, senior=senior, **pledge
        )
        graph = graph.lend(loan)
    return graph


@given(parts=graphs, loss=st.floats(0.0, 1.0), cost=st.floats(0.0, 0.5))
@settings(max_examples=80)
def test_losses_are_the_shock_and_the_costs_of_default(parts, loss, cost):
    """Nothing is lost twice: what comes in from outside goes out, or to equity."""
    graph = circle(parts)
    before = graph.clear()
    whole = sum(node.external for node in graph.nodes.values())
    assert before.outside + sum(before.equity.values()) == pytest.approx(
        whole, abs=1e-6
    )
    taken = graph.nodes["a"].external * loss
    after = graph.shock("a", taken).clear(1.0 - cost, 1.0 - cost)
    lost = sum(after.losses_since(before).values())
    assert lost == pytest.approx(taken + after.default_cost, abs=1e-6)
    for name in graph.nodes:
        assert after.recovery[name] <= before.recovery[name] + 1e-9


def test_greatest_fixed_point_is_par_where_par_is_consistent():
    """Two issuers that hold nothing but each other: nobody needs to collapse."""
    graph = BalanceSheetGraph()
    for name in "ab":
        graph = graph.issuer(name, external=0.0, par=1.0, supply=10.0)
    graph = graph.hold("a", "b", 10.0).hold("b", "a", 10.0)
    assert graph.clear().prices == {"a": 1.0, "b": 1.0}


def test_pledging_one_s_own_token_adds_a_claim_and_no_asset():
    """A loan against self-issued tokens ranks with their holders, and dilutes them."""
    graph = BalanceSheetGraph().issuer("a", external=50.0, par=1.0, supply=150.0)
    loan = Loan(OUTSIDE, "a", 50.0, token="a", units=50.0)
    found = graph.lend(loan).clear()
    assert found.prices["a"] == pytest.approx(50 / (100 + 50))
    assert found.paid == (pytest.approx(50 / 3),)
    assert found.outside == pytest.approx(50.0)
    twice = Loan(OUTSIDE, "a", 80.0, token="a", units=50.0, recourse=False)
    assert graph.lend(twice).clear().prices == found.prices


def test_senior_lenders_are_paid_whole_before_holders_get_anything():
    """Of 50, a senior loan of 40 leaves 10 to a hundred tokens; one of 60 nothing."""
    graph = BalanceSheetGraph().issuer("a", external=50.0, par=1.0, supply=100.0)
    found = graph.lend(Loan(OUTSIDE, "a", 40.0, senior=True)).clear()
    assert found.prices["a"] == pytest.approx(0.1)
    assert found.paid == (40.0,)
    found = graph.lend(Loan(OUTSIDE, "a", 60.0, senior=True)).clear()
    assert found.prices["a"] == 0.0
    assert found.paid == (pytest.approx(50.0),)


def test_secured_lender_gets_the_token_and_ranks_with_the_rest():
    """Half covered by a token worth half: the rest recovers what all others do."""
    graph = BalanceSheetGraph().issuer("t", external=50.0, par=1.0, supply=100.0)
    graph = graph.issuer("b", external=30.0).hold("b", "t", 60.0)
    secured = Loan(OUTSIDE, "b", 60.0, token="t", units=60.0)
    found = graph.lend(secured).lend(Loan(OUTSIDE, "b", 60.0)).clear()
    assert found.prices["t"] == pytest.approx(0.5)
    # 30 in cash against 30 not covered and 60 without collateral.
    assert found.paid == pytest.approx((30.0 + 10.0, 20.0))


def test_debt_rank_spreads_before_anybody_defaults():
    """A loss of half of j's equity takes half of what i has lent j."""
    exposures = [[0.0, 10.0], [0.0, 0.0]]
    assert debt_rank(exposures, [20.0, 5.0], [0.0, 0.5]) == [0.25, 0.5]
    ring = [[0.0, 5.0], [5.0, 0.0]]
    assert debt_rank(ring, [10.0, 10.0], [0.4, 0.0]) == pytest.approx([8 / 15, 4 / 15])
    strong = [[0.0, 50.0], [50.0, 0.0]]
    assert debt_rank(strong, [10.0, 10.0], [0.1, 0.0]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda g: g.issuer("Stream", external=1.0), "'name' must be new"),
        (lambda g: g.issuer("x", external=-1.0), "'external' must not be below 0"),
        (lambda g: g.hold("Stream", "Elixer", 1.0), "did you mean 'Elixir'"),
        (lambda g: g.hold("Stream", "Elixir", 50.0), "within the supply"),
        (lambda g: g.hold("Elixir", "Elixir", 5.0), "another than the issuer"),
        (lambda g: g.lend(Loan("Stream", "Stream", 5.0)), "another than the borrower"),
        (lambda g: g.lend(Loan(OUTSIDE, "Stream", 5.0, "Elixir", 76.0)), "not pledged"),
        (lambda g: g.shock("Stream", 64.0), "'loss' must be from 0 to 63"),
        (lambda g: g.clear(alpha=1.5), "'alpha' must be from 0 to 1"),
        (lambda g: net_of_setoff({"a": 1.0}, {"a": 2.0}), "at least what it owes"),
        (lambda g: share_of(0.5), "'multiple' must be at least 1"),
        (lambda g: multiple_of(1.0), "'share' must be from 0 to below 1"),
        (lambda g: debt_rank([[0.0]], [0.0], [0.0]), "equity"),
    ],
)
def test_wrong_balance_sheet_is_refused(make, said):
    """The field, what it must be and the nearest right word are named."""
    with pytest.raises(Refused, match=said):
        make(stream_and_elixir())
