"""Where forced trades began: in a shock only where it made the better part."""

from pathlib import Path

import numpy as np
import pytest
from venues import has, quote, venue

import flashwick as fw
from flashwick.engine.events import NO_CAUSE, Event
from flashwick.engine.highs import Highs
from flashwick.margin.prices import IndexRule
from flashwick.orderbook.orders import Side, TimeInForce, messages

# -- AT AN EXCHANGE


class Desk:
    """A book with few bids near the price and many below, and somebody in debt."""

    def __init__(self) -> None:
        self.exchange = ex = venue(markets=["ATOM/USDT"])
        rule = IndexRule(policy="own_book", market="ATOM/USDT")
        ex.prices.replace({"ATOM": rule}, ex.now)
        ex.books.set_last_price(0, ex.specs[0].ticks("4"))
        for first, last, qty in ((400, 355, 100), (355, 250, 1_000)):
            bids = ((cents / 100, qty) for cents in range(first, last, -1))
            quote(ex, "ATOM/USDT", "buy", *bids)
        self.cents = 400
        self.crowd = has(ex, {"ATOM": 1_000_000})
        self.debtor = has(ex, {"ATOM": 1_000, "USDT": -1_700})
        ex.liquidate()
        assert ex.account(self.debtor).health > ex.rules.thresholds.warn

    def sell(self, *sales: tuple[int, int]) -> None:
        """Sell so that the price falls by so many cents, each time a second later.

        With each comes its cause. Only then the engine looks.
        """
        ex = self.exchange
        for cents, cause in sales:
            self.cents -= cents
            batch = messages(1)
            batch["account"], batch["time"], batch["cause"] = self.crowd, ex.now, cause
            batch["side"], batch["tif"] = Side.SELL, TimeInForce.IOC
            batch["price"] = ex.specs[0].ticks(str(self.cents / 100))
            batch["qty"] = ex.specs[0].lots(200_000)
            ex.process(batch)
            ex.now += 1_000_000_000
            ex.update_prices()
        ex.liquidate()

    def shock(self) -> int:
        """A shock."""
        return self.exchange.log.add("shock", self.exchange.now, text="news")

    def breach(self) -> list[Event]:
        """The chain of the one breach there was."""
        (breach,) = self.exchange.log.single("breach")
        return self.exchange.log.chain(breach.id)


def test_last_straw_is_not_to_blame_for_what_a_shock_did() -> None:
    """The breach goes back to the largest repricing by shocks, not to the last one."""
    desk = Desk()
    desk.sell((1, NO_CAUSE))
    # Those who sell then do not meet an emptied book, and take more than the shock.
    desk.sell((24, desk.shock()), (20, desk.shock()), (10, NO_CAUSE), (12, NO_CAUSE))
    chain = desk.breach()
    kinds = ["breach", "index", "trade", "order", "shock"]
    assert [event.kind for event in chain] == kinds
    assert chain[1].text == "ATOM 3.99 -> 3.75"


@pytest.mark.parametrize(("shock", "own"), [(26, [60]), (40, [15] * 4)])
def test_shock_does_not_take_the_blame_of_own_decisions(
    shock: int, own: list[int]
) -> None:
    """However small each of those was: together they made the better part."""
    desk = Desk()
    desk.sell((shock, desk.shock()), *((cents, NO_CAUSE) for cents in own))
    chain = desk.breach()
    assert [event.kind for event in chain] == ["breach", "index", "trade", "order"]


def test_falls_are_blamed_on_what_lowered_the_index_since_its_high() -> None:
    """Not on what it did before, nor on a rise since."""
    ex = fw.Exchange(["ATOM/USDT"], oracles={"ATOM": IndexRule(policy="outside")})
    highs, first = Highs(ex, np.array([ex.asset_number["ATOM"]])), np.zeros(1, np.int64)
    told = []
    for price in (4.0, 2.0, 5.0, 4.5, 4.0, 4.1):
        ex.reprice({"ATOM": price})
        fall = highs.look(np.array([price]))
        cause = ex.log[highs.causes(first)[0]] if price != 4.0 or told else None
        told.append([round(float(fall[0]), 3), cause.text if cause else ""])
    assert told[1] == [0.5, "ATOM 4 -> 2"]
    assert told[4] == [0.2, "ATOM 4.5 -> 4"]
    assert told[5] == [0.18, "ATOM 4.5 -> 4"]


# -- IN RUNS

RUN = """
name = "leveraged"
duration = 120
[assets]
USDT = { price = 1 }
ATOM = { price = 4, volatility = VOLATILITY }
[markets]
"ATOM/USDT" = { tick = "0.001", lot = "0.01" }
"ATOM/USDT:PERP" = { tick = "0.001", lot = "0.01" }
[market_makers.two]
count = 2
markets = ["ATOM/USDT", "ATOM/USDT:PERP"]
equity_usd = 1e6
collateral = { USDT = 1.0 }
size_usd = 20_000
withdraw = false
[population.crowd]
count = 300
equity_usd = { kind = "fixed", value = 1_000 }
collateral = { USDT = 1.0 }
markets = ["ATOM/USDT:PERP"]
leverage = { kind = "uniform", least = 8, most = 15 }
[background.retail]
markets = ["ATOM/USDT", "ATOM/USDT:PERP"]
usd = 1e6
size_usd = SIZE
rate = 2
"""
NEWS = """
[[shocks]]
at = 20
kind = "path"
asset = "ATOM"
points = [[30, -0.3]]
note = "news"
"""


def run_of(text: str, folder: Path) -> fw.Run:
    """A run of seed 0."""
    path = folder / "leveraged.toml"
    path.write_text(text)
    return fw.load(path).run(seed=0)


@pytest.mark.parametrize(
    ("volatility", "size", "news", "share"),
    [(40, 50, "", 0.0), (0.5, 500, "", 0.0), (0.5, 20, NEWS, 1.0)],
    ids=["a wild price", "large orders", "news"],
)
def test_forced_trades_go_back_to_shocks_only_where_there_are_any(
    tmp_path: Path, volatility: float, size: int, news: str, share: float
) -> None:
    """All of them to the one there is; none without, whatever moved the price."""
    text = RUN.replace("VOLATILITY", str(volatility)).replace("SIZE", str(size))
    run = run_of(text + news, tmp_path)
    assert run.prints.usd[run.prints.forced].sum() > 100_000
    assert run.measure("forced.from_shocks") == share
    assert set(run.causes()["root"].to_pylist()) <= {
        "news" if news else "outside price",
        "background, own decision",
        "market makers, own decision",
    }
