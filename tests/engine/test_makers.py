"""Market makers: what they quote, from what, and when they leave and return."""

from typing import Any

import numpy as np
import pytest
from worlds import SMALL, sent, world_of

import flashwick as fw
from flashwick.engine.chance import Stream
from flashwick.engine.makers import MarketMakers
from flashwick.engine.quoting import NEAR, deal
from flashwick.engine.simulation import SECOND, World
from flashwick.orderbook.orders import ALL_MARKETS, Kind, Side

ATOM = ["ATOM/USDT"]
DEPTH = {f'markets."{name}".depth_usd': 1e6 for name in SMALL.config.markets}


@pytest.fixture
def made() -> tuple[World, MarketMakers]:
    """A world with both fleets, after their first quotes; the first of them."""
    world = world_of("market_makers")
    world.exchange.process(sent(world, world.makers[0]))
    return world, world.makers[0]


def pair(maker: MarketMakers, k: int, market: int) -> int:
    """The number of the pair of a maker and a market."""
    column = maker.markets.tolist().index(market)
    (found,) = np.flatnonzero((maker.maker == k) & (maker.column == column))
    return int(found)


def lowest(world: World, maker: MarketMakers) -> float:
    """The lowest health of a fleet."""
    return float(world.exchange.risk.at(accounts=maker.accounts)["health"].min())


def cut(world: World, maker: MarketMakers, to: float) -> None:
    """Reprice the collateral until the fleet's lowest health is below this."""
    fall = 0.0
    while lowest(world, maker) >= to:
        fall += 0.005
        world.exchange.reprice({"WBETH": 4_300 * (1.0 - fall)})
        world.exchange.liquidator.scan(0)


def sold(world: World, name: str, qty: float) -> None:
    """Somebody sells at market."""
    account = world.exchange.open_account({name.split("/")[0]: qty})
    assert world.exchange.submit(fw.market(account, name, "sell", qty)).filled > 0


# -- QUOTES


def test_maker_quotes_both_sides_around_the_fair_price(
    made: tuple[World, MarketMakers],
) -> None:
    """All levels of all its books, and nothing it does not have is offered in spot."""
    world, maker = made
    exchange = world.exchange
    levels = maker.settings.levels
    held = maker._holdings()
    for k, account in enumerate(maker.accounts.tolist()):
        resting = exchange.books.account_orders(account)
        for market in maker.markets.tolist():
            own = resting[resting["market"] == market]
            price = own["price"] * exchange.tick[market]
            bids, asks = price[own["side"] == Side.BUY], price[own["side"] == Side.SELL]
            fair = world.fair[market]
            assert len(bids) == levels
            assert bids.max() < fair
            sells = own["qty"][own["side"] == Side.SELL].sum() * exchange.lot[market]
            if not exchange.perpetual[market]:
                assert sells <= held[pair(maker, k, market)]
            if len(asks):
                assert asks.min() > fair
    assert maker.quoting().tolist() == [1.0] * len(maker.accounts)


def test_calm_maker_sends_next_to_nothing(made: tuple[World, MarketMakers]) -> None:
    """Its orders fit still; only the inner levels follow a small move."""
    world, maker = made
    assert len(sent(world, maker, SECOND)) == 0
    pairs = len(maker.maker)
    move = 0.8 * maker.ladders.distance[0]
    for number in range(len(world.outside.price)):
        world.outside.jump(number, move)
    world.refresh_outside()
    world.exchange.process(sent(world, maker, 2 * SECOND))
    batch = sent(world, maker, 3 * SECOND)
    assert len(batch) <= 2 * pairs


def test_maker_without_an_answer_sends_no_second_quote() -> None:
    """While its messages are on the way; another one of the fleet is not held up."""
    world = world_of("market_makers")
    maker = world.makers[0]
    first = sent(world, maker)
    late = first[first["account"] == maker.accounts[0]]
    world.exchange.process(first[first["account"] != maker.accounts[0]])
    world.gateway.send("market_makers", late, 0)
    for number in range(len(world.outside.price)):
        world.outside.jump(number, 0.01)
    world.refresh_outside()
    second = sent(world, maker, 1)
    assert set(second["account"].tolist()) == set(maker.accounts[1:].tolist())


def test_liquidated_maker_quotes_no_more() -> None:
    """It sends nothing, not even cancels."""
    world = world_of("market_makers")
    maker = world.makers[0]
    fallen = dict.fromkeys(maker.accounts.tolist())
    world.exchange.liquidator.liquidated.update(fallen)
    assert len(sent(world, maker)) == 0
    assert maker.quoting().tolist() == [0.0] * len(maker.accounts)


# -- WITHDRAWAL AND RETURN


def test_maker_withdraws_when_its_collateral_is_cut(
    made: tuple[World, MarketMakers],
) -> None:
    """Bids go everywhere, offers stay; the withdrawal names the repricing."""
    world, maker = made
    exchange = world.exchange
    assert lowest(world, maker) > maker.settings.withdraw_at
    cut(world, maker, maker.settings.withdraw_at)
    assert lowest(world, maker) > 1.05
    health = exchange.risk.at(accounts=maker.accounts)["health"]
    hit = health < maker.settings.withdraw_at
    batch = sent(world, maker, SECOND)
    gone = batch[batch["kind"] == Kind.CANCEL_ALL]
    assert gone["account"].tolist() == maker.accounts[hit].tolist()
    assert (gone["market"] == ALL_MARKETS).all()
    # What one message cancels is not cancelled by others too.
    results, _ = exchange.process(batch)
    assert results["accepted"].all()
    for account, went in zip(maker.accounts.tolist(), hit.tolist(), strict=True):
        side = exchange.books.account_orders(account)["side"]
        assert (side == Side.BUY).any() != went
        assert (side == Side.SELL).any()
    events = list(exchange.log.single("withdrawal"))
    assert [event.account for event in events] == maker.accounts[hit].tolist()
    for event in events:
        assert event.text.startswith("bids withdrawn: own health")
        cause = exchange.log[event.cause]
        assert (cause.kind, exchange.assets[cause.asset]) == ("index", "WBETH")
    assert (maker.quoting() == 0.0).tolist() == hit.tolist()


def test_maker_withdraws_from_one_book_whose_price_falls(
    made: tuple[World, MarketMakers],
) -> None:
    """Somebody sells through its bids; the others keep theirs."""
    world, maker = made
    exchange = world.exchange
    exchange.process(sent(world, maker, SECOND))
    sold(world, "ATOM/USDT", 1e5)
    exchange.process(sent(world, maker, 2 * SECOND))
    market = exchange.market_number["ATOM/USDT"]
    events = list(exchange.log.single("withdrawal"))
    assert {event.market for event in events} == {market}
    assert len(events) == len(maker.accounts)
    assert "price fell" in events[0].text
    here = maker.markets[maker.column] == market
    assert not maker.calm[here].any()
    assert maker.calm[~here].all()


def test_fall_that_withdraws_may_be_measured_by_the_markets_own_volatility() -> None:
    """Ten deviations of ten seconds; a pair that never moves keeps the share."""
    sigmas = {"withdraw_sigmas": 10.0, "withdraw_volatility": 0.03}
    given = {f"market_makers.alpha.{key}": value for key, value in sigmas.items()}
    given |= {"assets.ATOM.volatility": 2.4, "assets.WBETH.volatility": 0.3}
    year = 365.25 * 86_400.0
    window = (10 / year) ** 0.5
    borne = {
        "ETH/USDT": 10 * 0.6 * window,
        "ATOM/USDT:PERP": 10 * 2.4 * window,
        "WBETH/USDT": 10 * (0.6**2 + 0.3**2) ** 0.5 * window,
        "WBETH/ETH": 10 * 0.3 * window,
    }
    world = world_of("market_makers", **given)
    maker, exchange = world.makers[0], world.exchange
    falls = maker._largest_falls()
    for name, fall in borne.items():
        found = falls[pair(maker, 0, exchange.market_number[name])]
        assert found == pytest.approx(fall)
    still = world_of("market_makers", **(given | {"assets.WBETH.volatility": 0.0}))
    there = pair(still.makers[0], 0, exchange.market_number["WBETH/ETH"])
    assert still.makers[0]._largest_falls()[there] == 0.03


def test_one_fall_takes_the_bids_of_a_calm_coin_and_not_those_of_a_wild_one() -> None:
    """The middle of both books falls by as much."""
    given = {
        "market_makers.alpha.markets": ["ETH/USDT:PERP", "ATOM/USDT:PERP"],
        "market_makers.alpha.withdraw_sigmas": 10.0,
        "assets.ETH.volatility": 0.1,
        "assets.ATOM.volatility": 5.0,
        "assets.WBETH.follows": None,
    }
    world = world_of("market_makers", **given)
    maker, exchange = world.makers[0], world.exchange
    exchange.process(sent(world, maker))
    exchange.process(sent(world, maker, SECOND))
    for asset in ("ETH", "ATOM"):
        world.outside.jump(exchange.asset_number[asset], -0.006)
    world.refresh_outside()
    exchange.process(sent(world, maker, 2 * SECOND))
    exchange.process(sent(world, maker, 3 * SECOND))
    left = {exchange.markets[e.market] for e in exchange.log.single("withdrawal")}
    assert left == {"ETH/USDT:PERP"}


@pytest.mark.parametrize("half_life", [1e-3, 1e6])
def test_maker_comes_back_to_an_empty_book(half_life: float) -> None:
    """When it is time, though a lone bid comes and is sold into; and then it stays."""
    changes = {"market_makers.*.half_life": half_life, "market_makers.*.markets": ATOM}
    world = world_of("market_makers", **changes)
    exchange, maker = world.exchange, world.makers[0]
    exchange.process(sent(world, maker))
    market = exchange.market_number[ATOM[0]]
    others = exchange.open_account({"USDT": 1e7})
    exchange.submit(fw.limit(others, ATOM[0], "buy", price="2.000", qty=1e5))
    sold(world, ATOM[0], 1e5)
    assert exchange.books.last_price(market) < 3_000
    exchange.process(sent(world, maker, SECOND))
    assert not maker.calm.any()
    away = []
    for second in range(2, 20):
        if second % 2:
            sold(world, ATOM[0], 10.0)
        else:
            exchange.submit(fw.limit(others, ATOM[0], "buy", price="3.700", qty=10))
        exchange.process(sent(world, maker, second * SECOND))
        away.append(not maker.calm.any())
    assert set(away) == {half_life > 1.0}
    assert len(list(exchange.log.single("withdrawal"))) == len(maker.accounts)


def test_maker_withdraws_when_the_gateway_does_not_answer(
    made: tuple[World, MarketMakers],
) -> None:
    """A queue longer than its patience."""
    world, maker = made
    world.gateway.rate = 1.0
    batch = maker.orders(int(maker.accounts[0]), 0, Side.BUY, np.ones(50), np.ones(50))
    world.gateway.send("shocks", batch, SECOND)
    assert world.gateway.delay(SECOND) > maker.settings.patience
    sent(world, maker, SECOND)
    texts = {event.text for event in world.exchange.log.single("withdrawal")}
    assert texts == {"bids withdrawn: the gateway does not answer"}


def test_maker_leaves_at_a_multiple_of_what_takes_its_bids() -> None:
    """Its asks go after its bids, by the collateral; one event each, with a cause."""
    world = world_of("market_makers", **{"market_makers.alpha.leave": 1.2})
    exchange, maker = world.exchange, world.makers[0]
    exchange.process(sent(world, maker))
    limit = maker.settings.withdraw_at
    lowest = np.full(len(maker.accounts), np.inf)
    for second, below in enumerate((limit, limit / 1.2), start=1):
        cut(world, maker, below)
        health = exchange.risk.at(accounts=maker.accounts)["health"]
        lowest = np.minimum(lowest, health)
        exchange.process(sent(world, maker, second * SECOND))
        for account, low in zip(maker.accounts.tolist(), lowest.tolist(), strict=True):
            sides = exchange.books.account_orders(account)["side"].tolist()
            assert (Side.BUY in sides) == (low >= limit)
            assert (Side.SELL in sides) == (low >= limit / 1.2)
    assert maker.gone.any()
    texts = [event.text for event in exchange.log.single("withdrawal")]
    left = [text for text in texts if text.startswith("bids and asks withdrawn")]
    assert len(left) == maker.gone.sum()
    assert all(text.split(": ")[1].startswith("own health") for text in texts)


@pytest.mark.parametrize("leave", [None, 2.0])
def test_maker_leaves_one_book_and_comes_back_to_both_sides(
    leave: float | None,
) -> None:
    """Its bids go in any case, its asks with the limit; the other books stay."""
    given = {"leave": leave, "half_life": 1e-3}
    changes = {f"market_makers.*.{key}": value for key, value in given.items()}
    world = world_of("market_makers", **changes)
    exchange, maker = world.exchange, world.makers[0]
    market = exchange.market_number[ATOM[0]]
    exchange.process(sent(world, maker))
    exchange.process(sent(world, maker, SECOND))
    sold(world, ATOM[0], 1e5)
    exchange.process(sent(world, maker, 2 * SECOND))
    here = maker.markets[maker.column] == market
    assert not maker.calm[here].any()
    assert maker.calm[~here].all()
    assert maker.left[here].all() == maker.left[here].any() == (leave is not None)
    resting = exchange.books.orders_of(maker.accounts)
    asks = resting[(resting["market"] == market) & (resting["side"] == Side.SELL)]
    assert (len(asks) > 0) == (leave is None)
    for second in range(3, 40):
        exchange.process(sent(world, maker, second * SECOND))
    assert not maker.left.any()
    resting = exchange.books.orders_of(maker.accounts)
    sides = resting["side"][resting["market"] == market].tolist()
    assert {Side.BUY, Side.SELL} <= set(sides)


def test_cautious_makers_leave_one_after_another() -> None:
    """With the same collateral and equity; without caution all at once."""
    alike = {"mix": 0.0, "dispersion": 0.0, "count": 40, "withdraw_at": 5.2}
    changes = {f"market_makers.alpha.{key}": value for key, value in alike.items()}
    staying = {}
    for caution in (0.0, 0.1):
        world = world_of(
            "market_makers", **changes, **{"market_makers.alpha.caution": caution}
        )
        maker = world.makers[0]
        found = []
        for step in range(1, 16):
            world.exchange.reprice({"WBETH": 4_300 * (1.0 - 0.02 * step)})
            world.exchange.process(sent(world, maker, step * SECOND))
            found.append(maker.quoting().mean())
        staying[caution] = found
    assert set(staying[0.0]) == {0.0, 1.0}
    assert len(set(staying[0.1])) > 4
    assert sorted(staying[0.1], reverse=True) == staying[0.1]


# -- HOLDINGS


def test_makers_endowment_is_their_equity(made: tuple[World, MarketMakers]) -> None:
    """Collateral and inventory at outside prices, the rest borrowed; hedged short."""
    world, maker = made
    values = world.exchange.risk.revalue()
    assert values["equity"][maker.accounts] == pytest.approx(maker.equity, rel=1e-3)
    for account, equity in zip(
        maker.accounts.tolist(), maker.equity.tolist(), strict=True
    ):
        view = world.exchange.account(account)
        assert view.balances["ATOM"] * 4.0 == pytest.approx(0.7 * equity, rel=1e-3)
        hedge = view.positions["ATOM/USDT:PERP"] * 4.0
        assert hedge == pytest.approx(-0.7 * equity, rel=1e-2)


def test_stock_is_in_the_coins_a_maker_quotes_and_hedged_where_it_can() -> None:
    """By its sizes there; WBETH has no perpetual, and the equity is what it was."""
    world = world_of(
        "market_makers",
        **{
            "market_makers.alpha.inventory": {},
            "market_makers.alpha.collateral": {},
            "market_makers.alpha.stock": 0.8,
            "market_makers.alpha.scale": {"ATOM/USDT": 2.0},
        },
    )
    maker, exchange = world.makers[0], world.exchange
    values = exchange.risk.revalue()["equity"][maker.accounts]
    assert values == pytest.approx(maker.equity, rel=1e-3)
    parts = {"ETH": 1 / 5, "WBETH": 2 / 5, "ATOM": 2 / 5}
    price = {"ETH": 4_000.0, "WBETH": 4_300.0, "ATOM": 4.0}
    for account, equity in zip(
        maker.accounts.tolist(), maker.equity.tolist(), strict=True
    ):
        view = exchange.account(account)
        usd = {coin: view.balances[coin] * price[coin] for coin in parts}
        assert usd == pytest.approx(
            {coin: 0.8 * share * equity for coin, share in parts.items()}, rel=1e-3
        )
        short = {
            coin: -view.positions[f"{coin}/USDT:PERP"] * price[coin]
            for coin in ("ETH", "ATOM")
        }
        assert short == pytest.approx({c: usd[c] for c in short}, rel=1e-2)


def test_books_are_dealt_out_evenly_and_coin_by_coin() -> None:
    """Each maker has enough, no book twice, and whole coins; none is left out."""
    bases = np.repeat(np.arange(30), [3] * 10 + [1] * 20)
    maker, column = deal(Stream(0, "x"), bases, 16, 12)
    hands = [column[maker == k] for k in range(16)]
    for hand in hands:
        assert 12 <= len(hand) < 12 + 3
        assert len(np.unique(hand)) == len(hand)
        for coin in np.unique(bases[hand]):
            assert np.isin(np.flatnonzero(bases == coin), hand).all()
    makers = np.bincount(column, minlength=len(bases))
    assert makers.max() - makers.min() <= 2
    assert len({tuple(hand) for hand in hands}) == 16


def test_maker_quotes_only_what_was_dealt_to_it() -> None:
    """Orders, stock and the share of books it bids in are of its own books."""
    world = world_of("market_makers", **{"market_makers.alpha.books": 3})
    maker = world.makers[0]
    batch = sent(world, maker)
    for k, account in enumerate(maker.accounts.tolist()):
        own = set(maker.markets[maker.column[maker.maker == k]].tolist())
        assert set(batch["market"][batch["account"] == account].tolist()) == own
        assert 3 <= len(own) < len(maker.markets)
    assert maker.quoting().tolist() == [1.0] * len(maker.accounts)


def test_share_of_depth_rests_within_one_percent() -> None:
    """All makers of the fleet together, whoever is dealt the book, on both sides."""
    world = world_of(
        "market_makers",
        **{
            **DEPTH,
            'markets."ATOM/USDT".depth_usd': 3e5,
            "market_makers.alpha.books": 4,
            "market_makers.alpha.share": 0.4,
            "market_makers.alpha.stock": 0.5,
            "market_makers.alpha.skew_bp": 0.0,
        },
    )
    maker, exchange = world.makers[0], world.exchange
    exchange.process(sent(world, maker))
    for name, depth in (("ATOM/USDT:PERP", 1e6), ("ATOM/USDT", 3e5)):
        market = exchange.market_number[name]
        usd = 0.0
        for side in (Side.BUY, Side.SELL):
            own = exchange.books.orders(market, side)
            away = own["price"] * exchange.tick[market] / world.fair[market] - 1.0
            near = own[np.abs(away) <= NEAR]
            usd += float((near["qty"] * exchange.lot[market]).sum() * world.usd[market])
        assert usd == pytest.approx(0.4 * depth, rel=0.02)


@pytest.mark.parametrize(
    ("depth", "left"), [(1e6, np.exp(-0.15 * 2)), (4e6, np.exp(-0.15 / 2))]
)
def test_forced_sales_weigh_by_the_markets_depth(depth: float, left: float) -> None:
    """Two millions sold by force shrink bids less where more rests."""
    share = {"share": 0.1, "stock": 0.1, "withdraw": False}
    given = {f"market_makers.alpha.{key}": value for key, value in share.items()}
    given |= {**DEPTH, 'markets."ATOM/USDT".depth_usd': depth}
    world = world_of("market_makers", **given)
    maker, exchange = world.makers[0], world.exchange
    exchange.process(sent(world, maker))
    market = exchange.market_number["ATOM/USDT"]
    before = exchange.books.orders(market, Side.BUY)["qty"].sum()
    exchange.sold_usd[market] += 2e6
    exchange.process(sent(world, maker, SECOND))
    after = exchange.books.orders(market, Side.BUY)["qty"].sum()
    # Orders that fit within a fifth are left as they are.
    assert after / before == pytest.approx(left, abs=0.01 if left < 0.8 else 0.08)


# -- WHAT A FILE MAY NOT SAY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.5}, "needs the depth_usd of ETH/USDT to take a share of"),
        (
            {"share": 0.5, "half_spread_bp": 200.0, "reach": 0.5},
            "must be at most 100 with share",
        ),
        (
            {"stock": 1.0, "markets": ["ETH/USDT:PERP"], "inventory": {}},
            "needs a spot market among markets",
        ),
        ({"books": 0}, "must be"),
        ({"caution": 6.0}, "must be at most 5"),
        ({"withdraw_sigmas": 0.0}, "withdraw_sigmas: must be above 0"),
    ],
)
def test_wrong_fleets_are_refused(changes: dict[str, Any], message: str) -> None:
    """With the place, and what to do."""
    keys = {f"market_makers.alpha.{key}": value for key, value in changes.items()}
    with pytest.raises(fw.ScenarioError, match=message):
        SMALL.vary(keys)


def test_deviations_of_coins_that_never_move_are_refused() -> None:
    """Where no asset has a volatility there is nothing to multiply."""
    calm = {f"assets.{name}.volatility": 0.0 for name in SMALL.config.assets}
    with pytest.raises(fw.ScenarioError, match="needs an asset with a volatility"):
        SMALL.vary({**calm, "market_makers.alpha.withdraw_sigmas": 5.0})
