"""Every vector of amm.json, through the pools' public methods."""

import pytest
from defi_vectors import of_kind

from flashwick.engine.defi import ticks
from flashwick.engine.defi.concentrated import ConcentratedLiquidity
from flashwick.engine.defi.constant_product import ConstantProduct
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.stableswap import StableSwap

# -- Constant product


def pool_of(reserve_in, reserve_out) -> ConstantProduct:
    """A pool with these reserves, 0.3 % fee."""
    return ConstantProduct(
        account="pool",
        assets=("in", "out"),
        reserves=(int(reserve_in), int(reserve_out)),
        shares=10**9,
    )


@pytest.mark.parametrize("row", of_kind("cpmm_amount_out"))
def test_constant_product_pays_what_the_contract_pays(row):
    """The output is the highest that Uniswap v2's check lets pass."""
    given = row["inputs"]
    pool = pool_of(given["reserve_in"], given["reserve_out"])
    expected = int(row["expected"]["amount_out"])
    after, trade = pool.swap("ann", "in", "out", int(given["amount_in"]))
    assert pool.quote("in", "out", int(given["amount_in"])) == expected
    assert trade.amount_out == expected
    x, y = pool.reserves
    after_x, after_y = after.reserves

    def passes(paid):
        scaled = 1000 * after_x - 3 * int(given["amount_in"])
        return scaled * 1000 * (y - paid) >= x * y * 10**6

    assert after_y == y - expected
    assert passes(expected)
    assert not passes(expected + 1)


@pytest.mark.parametrize("row", of_kind("cpmm_amount_in"))
def test_constant_product_asks_what_the_contract_asks(row):
    """The input for an output is that of the router's formula."""
    given = row["inputs"]
    pool = pool_of(given["reserve_in"], given["reserve_out"])
    wanted = int(given["amount_out"])
    asked = pool.quote_in("in", "out", wanted)
    assert asked == int(row["expected"]["amount_in"])
    assert pool.quote("in", "out", asked) >= wanted


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("row", of_kind("cpmm_history"))
def test_constant_product_repeats_the_swaps_of_bzx(row, exact):
    """Two swaps of February 2020 come out as they were, in both modes."""
    given, expected, unit = row["inputs"], row["expected"], 10**10
    eth, wbtc = (round(given[f"reserve_{name}"] * unit) for name in ("eth", "wbtc"))
    pool = ConstantProduct(
        account="pool",
        assets=("ETH", "WBTC"),
        reserves=(eth, wbtc),
        shares=10**9,
        exact=exact,
    )
    close = {"rel": 1e-6}
    assert pool.price("WBTC", "ETH") == pytest.approx(expected["spot_before"], **close)
    buy = round(given["buy_eth"] * unit)
    pool, bought = pool.swap("ann", "ETH", "WBTC", buy)
    wbtc_out = bought.amount_out / unit
    assert wbtc_out == pytest.approx(expected["wbtc_out"], **close)
    assert given["buy_eth"] / wbtc_out == pytest.approx(expected["exec_buy"], **close)
    mid = pool.price("WBTC", "ETH")
    assert mid == pytest.approx(expected["mid_after_buy"], **close)
    pool, sold = pool.swap("ann", "WBTC", "ETH", given["sell_wbtc"] * unit)
    eth_out = sold.amount_out / unit
    assert eth_out == pytest.approx(expected["eth_out"], **close)
    paid = eth_out / given["sell_wbtc"]
    assert paid == pytest.approx(expected["exec_sell"], **close)


# -- Stableswap


@pytest.mark.parametrize("row", of_kind("stableswap_sequence"))
def test_stableswap_follows_the_contract(row):
    """Swaps, deposits and withdrawals leave the contract's balances, to the atom."""
    given = row["inputs"]
    assets = tuple("ABC"[: len(given["decimals"])])
    pool = StableSwap.empty(
        "pool",
        assets,
        amplification=given["A"],
        a_precision=given["a_precision"],
        fee=given["fee"],
        admin_fee=given["admin_fee"],
        rates=tuple(10 ** (36 - digits) for digits in given["decimals"]),
    )
    for step in row["expected"]["steps"]:
        pool = take(pool, step)
        assert pool.reserves == tuple(map(int, step["balances"]))
        assert pool.shares == int(step["supply"])
        assert pool.virtual_price == int(step["virtual_price"])


def take(pool: StableSwap, step: dict) -> StableSwap:
    """The pool after a step of a vector, which must come out as it says."""
    assets = pool.assets
    if step["op"] in ("init", "add_liquidity"):
        amounts = zip(assets, map(int, step["amounts"]), strict=True)
        put = {asset: atoms for asset, atoms in amounts if atoms}
        after, added = pool.add("ann", put)
        assert added.shares == int(step.get("minted", added.shares))
        return after
    if step["op"] == "remove_one":
        get = assets[step["i"]]
        after, removed = pool.remove_one("ann", int(step["lp"]), get)
        assert sum(removed.amounts) == int(step["dy"])
        return after
    give, get, amount = assets[step["i"]], assets[step["j"]], int(step["dx"])
    if "get_dy" in step:
        assert pool.quote_of_view(give, get, amount) == int(step["get_dy"])
    after, trade = pool.swap("ann", give, get, amount)
    assert trade.amount_out == int(step["dy"])
    return after


# -- Concentrated liquidity


@pytest.mark.parametrize("row", of_kind("v3_compute_swap_step"))
def test_step_inside_a_range_is_the_contract_s(row):
    """The price, the amounts and the fee of a step are those of SwapMath."""
    given, expected = row["inputs"], row["expected"]
    names = ("sqrt_price", "sqrt_target", "liquidity", "amount_remaining", "fee_pips")
    step = ticks.swap_step(*(int(given[name]) for name in names))
    wanted = ("sqrt_next", "amount_in", "amount_out", "fee_amount")
    assert step == tuple(int(expected[name]) for name in wanted)


def arguments(row: dict) -> list:
    """Numbers of a vector that may be written as texts."""
    given = row["inputs"]["args"]
    return [value if isinstance(value, bool) else int(value) for value in given]


@pytest.mark.parametrize("row", of_kind("v3_getNextSqrtPriceFromInput"))
def test_price_after_an_input_is_the_contract_s(row):
    """Also where 256 bits overflow and the contract computes otherwise."""
    after = ticks.sqrt_after_input(*arguments(row))
    assert after == int(row["expected"]["result"])


@pytest.mark.parametrize("row", of_kind("v3_getNextSqrtPriceFromOutput"))
def test_price_after_an_output_is_the_contract_s(row):
    """An output that the liquidity does not hold is refused."""
    if row["expected"].get("revert"):
        with pytest.raises(Refused):
            ticks.sqrt_after_output(*arguments(row))
    else:
        after = ticks.sqrt_after_output(*arguments(row))
        assert after == int(row["expected"]["result"])


@pytest.mark.parametrize("row", of_kind("v3_getAmount1Delta"))
def test_amount_between_prices_is_the_contract_s(row):
    """What the second asset takes for a move of the price."""
    assert ticks.amount1_delta(*arguments(row)) == int(row["expected"]["result"])


@pytest.mark.parametrize("row", of_kind("v3_pool_swap"))
def test_swap_over_ranges_is_the_contract_s(row):
    """The official snapshot's balances, fees, tick and price after a swap."""
    given, expected = row["inputs"], row["expected"]
    pool = ConcentratedLiquidity.at(
        "pool",
        ("0", "1"),
        int(given["sqrt_price"]),
        fee_ppm=given["fee_pips"],
        spacing=given["tick_spacing"],
    )
    for lower, upper, liquidity in given["positions"]:
        pool, _ = pool.add("lp", lower, upper, int(liquidity))
    whole = given["amount_specified"] == "max"
    swap = {
        "zero_for_one": given["zero_for_one"],
        "amount": 2**255 - 1 if whole else int(given["amount_specified"]),
        "sqrt_limit": given["sqrt_price_limit"] and int(given["sqrt_price_limit"]),
    }
    if expected.get("revert"):
        with pytest.raises(Refused, match="sqrt_limit"):
            pool.swap_to("ann", **swap)
        return
    after, _ = pool.swap_to("ann", **swap)
    after._check()
    deltas = [b - a for a, b in zip(pool.reserves, after.reserves, strict=True)]
    for k in (0, 1):
        assert pool.reserves[k] == int(expected[f"amount{k}Before"])
        assert deltas[k] == int(expected[f"amount{k}Delta"])
        growth = f"feeGrowthGlobal{k}X128Delta"
        assert after.growth[k] == int(expected[growth])
    assert (pool.tick, after.tick) == (expected["tickBefore"], expected["tickAfter"])
    for state, at in ((pool, "Before"), (after, "After")):
        price = float(expected[f"poolPrice{at}"])
        assert state.price("0", "1") == pytest.approx(price, rel=1e-4)
    if deltas[0]:
        paid = pytest.approx(float(expected["executionPrice"]), rel=1e-4)
        assert -deltas[1] / deltas[0] == paid
