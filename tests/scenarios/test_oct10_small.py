"""oct10-small shows what oct10 is made of, in one run of a few seconds."""

import numpy as np
import pytest

import flashwick as fw
from flashwick.orderbook.orders import Flag


@pytest.fixture(scope="module")
def run() -> fw.Run:
    """Seed 5."""
    return fw.load("oct10-small").run(seed=5)


def kinds(run: fw.Run) -> dict[str, int]:
    """How many events of each kind there are, but for trades and messages."""
    names = [event.kind for event in run.log.single()]
    return {name: names.count(name) for name in set(names)}


def test_its_targets_hold(run: fw.Run) -> None:
    """Those that its file says of every seed, in this one."""
    targets = fw.load("oct10-small").config.targets
    assert len(targets) > 10
    for target in targets:
        assert target.band is not None
        low, high = target.band
        assert low <= run.measure(target.measure) <= high, target.id


def test_every_mechanism_is_in_it(run: fw.Run) -> None:
    """Makers withdraw, accounts fall, the fund takes over, winners are closed out."""
    found = kinds(run)
    for kind in ("withdrawal", "breach", "liquidation", "takeover", "adl", "decision"):
        assert found.get(kind, 0) > 5, kind
    assert run.measure("fund.draw_usd") > 0.0
    assert run.measure("conserved") == 1.0


def test_all_that_is_forced_goes_back_to_a_shock(run: fw.Run) -> None:
    """And so do the deepest prints of the ten markets that fell most."""
    assert run.measure("forced.from_shocks") == 1.0
    trades = run.prints
    fall = trades.price / np.array(run.prices_before)[trades.market]
    names = [run.names.markets[m] for m in dict.fromkeys(trades.market[fall.argsort()])]
    for name in names[:10]:
        assert run.why(name).steps[-1].kind == "shock", name


def test_trio_falls_while_transfers_are_cut(run: fw.Run) -> None:
    """By forced sales, and its low comes before they are open again."""
    ids = [run.market(f"{coin}/USDT") for coin in ("USDE", "WBETH", "BNSOL")]
    fills = run.log.fills()[1]
    forced = fills[(fills["flags"] & Flag.LIQUIDATION) != 0]
    seconds = forced["time"][np.isin(forced["market"], ids)] * 1e-9
    cut = (seconds > 720) & (seconds < 2_700)  # 21:18 to 21:51
    assert cut.mean() > 0.9
