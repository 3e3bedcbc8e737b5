"""What a run records of its market makers, beside a crowd it does not record."""

from pathlib import Path

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.record import BANDS
from flashwick.engine.simulation import World
from flashwick.engine.store import (
    RunFileError,
    event_fingerprint,
    fingerprint,
    load_run,
)
from flashwick.engine.tape import replay_run
from flashwick.orderbook.orders import Kind, Side, messages

SMALL = fw.load(Path(__file__).parents[1] / "scenarios" / "small-crash.toml")


class Enough(Exception):
    """What stops a run."""


@pytest.fixture(scope="module")
def crashed() -> World:
    """A world in the middle of its crash, of which a sample was taken."""
    world = World(SMALL, seed=0)

    def stop(share: float, seconds: float) -> None:
        if seconds >= 9.0:
            raise Enough

    with pytest.raises(Enough):
        world.run(stop)
    world.recorder.sample(world.now)
    return world


def test_recorded_figures_of_makers_are_those_of_a_full_valuation(
    crashed: World,
) -> None:
    """To the last bit; valuing them alone leaves nothing out."""
    series, makers = crashed.recorder.series(), crashed.maker_accounts
    value = crashed.exchange.risk.revalue()
    for name in ("equity", "adjusted", "maintenance", "health"):
        found = getattr(series, f"maker_{name}")[-1]
        assert found.tobytes() == value[name][makers].tobytes()


def test_recorded_loss_of_collateral_is_what_repricing_took(crashed: World) -> None:
    """Of each maker: its coins now, at the first index less at the last."""
    exchange, series = crashed.exchange, crashed.recorder.series()
    assert crashed.collateral_lost().sum() > 1e4
    for maker in crashed.makers:
        first = dict(zip(exchange.assets, maker.first_index.tolist(), strict=True))
        for account in maker.accounts.tolist():
            k = crashed.maker_accounts.tolist().index(account)
            held = exchange.account(account).balances
            lost = [
                held.get(asset, 0.0) * (first[asset] - exchange.index[number])
                for asset, number in exchange.asset_number.items()
                if asset in maker.settings.collateral
            ]
            equity = series.maker_equity[-1, k] + np.sum(lost)
            exposure = series.maker_leverage[-1, k] * series.maker_equity[-1, k]
            expected = exposure / equity
            assert series.maker_leverage_unrepriced[-1, k] == pytest.approx(expected)


# -- WATCHED MARKETS, AND MESSAGES THAT DID NOT TRADE

WATCH = ("WBETH/USDT", "ETH/USDT:PERP")
TRADED = {"record.messages": "traded", "record.markets": list(WATCH)}


@pytest.fixture(scope="module")
def runs() -> tuple[fw.Run, fw.Run]:
    """One run that keeps everything, and the same that keeps what traded."""
    every = SMALL.vary({"record.markets": list(WATCH)})
    return every.run(seed=0), SMALL.vary(TRADED).run(seed=0)


def test_run_does_not_depend_on_what_is_kept_of_it(
    runs: tuple[fw.Run, fw.Run],
) -> None:
    """Trades, events, causes and measures are the same; messages are fewer."""
    every, traded = runs
    assert fingerprint(every) == fingerprint(traded)
    assert event_fingerprint(every) == event_fingerprint(traded)
    assert str(every.why()) == str(traded.why())
    assert every.causes().equals(traded.causes())
    assert str(every.measures()) == str(traded.measures())
    assert every.trades().equals(traded.trades())
    assert len(traded.log.messages()[0]) < 0.5 * len(every.log.messages()[0])
    assert traded.log.sent == every.log.sent == len(every.log.messages()[0])


def test_counts_of_a_run_are_those_of_its_messages(
    runs: tuple[fw.Run, fw.Run],
) -> None:
    """By class and by maker, though most messages were not kept."""
    every, traded = runs
    _, rows, _ = every.log.messages()
    watched = traded.series.watched
    classes = every.names.account_class[rows["account"]]
    takes = (fw.Kind.CANCEL, fw.Kind.CANCEL_ALL)
    sells = (rows["side"] == fw.Side.SELL) & ~np.isin(rows["kind"], takes)
    for k, market in enumerate(watched.markets):
        own = sells & (rows["market"] == market) & (rows["time"] > 0)
        expected = np.bincount(classes[own], minlength=watched.sent.shape[2])
        assert watched.sent[:, k, :, 1].sum(axis=0).tolist() == expected.tolist()
        for maker, account in enumerate(every.series.maker_accounts.tolist()):
            sent = int((own & (rows["account"] == account)).sum())
            assert watched.makers[:, k, maker, 1].sum() == sent
    assert watched.makers.sum() > 0


def test_run_without_its_messages_is_not_replayed(
    runs: tuple[fw.Run, fw.Run], tmp_path: Path
) -> None:
    """The error says which key to change; the rest of what was saved is there."""
    folder = runs[1].save(tmp_path / "run")
    assert not (folder / "tape.parquet").exists()
    with pytest.raises(RunFileError, match=r"record\.messages is 'traded'; with 'all'"):
        replay_run(folder)
    assert load_run(folder).trades().equals(runs[0].trades())


def test_run_without_a_market_samples_none() -> None:
    """Prices, depths and watched markets are of no market, at every moment."""
    series = fw.load("stream-xusd-2025").run(seed=0).series
    assert len(series.time) > 0
    assert series.bid_depth.shape == series.last.shape == (len(series.time), 0)
    assert series.watched.depth.shape[:2] == (0, 0)


def test_depth_of_watched_markets_is_that_around_the_middle() -> None:
    """In US dollars, as the books count it."""
    world = World(SMALL.vary(TRADED), seed=0)
    with pytest.raises(Enough):
        world.run(lambda share, seconds: _enough(seconds))
    recorder, exchange = world.recorder, world.exchange
    recorder.sample_watched(world.now)
    watched = recorder.series().watched
    numbers = [exchange.market_number[name] for name in WATCH]
    assert list(watched.markets) == numbers
    for band, share in enumerate(BANDS):
        around = exchange.books.depth_within(round(share * 1e6))[numbers, :, 1]
        unit = exchange.tick[numbers] * exchange.lot[numbers]
        usd = exchange.index[exchange.quote[numbers]]
        expected = around * (unit * usd)[:, None]
        assert watched.depth[-1, :, :, band] == pytest.approx(expected)
    assert (watched.depth[-1, :, :, 2] >= watched.depth[-1, :, :, 0]).all()


def test_what_rests_on_one_side_is_counted_while_the_other_is_empty() -> None:
    """All asks are cancelled: bids are within half of what was paid last."""
    world = World(SMALL.vary(TRADED), seed=0)
    with pytest.raises(Enough):
        world.run(lambda share, seconds: _enough(seconds))
    recorder, exchange = world.recorder, world.exchange
    market = exchange.market_number[WATCH[0]]
    orders = exchange.books.all_orders()
    orders = orders[(orders["market"] == market) & (orders["side"] == Side.SELL)]
    gone = messages(len(orders))
    gone["kind"], gone["market"], gone["side"] = Kind.CANCEL_ALL, market, Side.SELL
    gone["account"] = orders["account"]
    exchange.process(gone)
    recorder.sample_watched(world.now)
    watched = recorder.series().watched
    assert np.isnan(watched.ask[-1, 0])
    bids, asks = watched.depth[-1, 0, :, BANDS.index(0.5)]
    assert bids > 1e4
    assert asks == 0.0


@pytest.mark.parametrize("interval", [1.0, 0.7])
def test_no_moment_is_sampled_twice(interval: float) -> None:
    """The end is sampled, once, whether the interval divides the duration or not."""
    changes = {**TRADED, "duration": 6.0, "record.interval": interval, "shocks": []}
    series = SMALL.vary(changes).run().series
    for time in (series.time, series.maker_time, series.watched.time):
        assert (np.diff(time) > 0).all()
        assert time[-1] == 6_000_000_000
    assert len(series.forced_usd) == len(series.time)
    assert len(series.watched.depth) == len(series.watched.time)


def test_rare_samples_leave_makers_and_watched_markets_often() -> None:
    """Every 2 s and every second, however rarely all books are sampled."""
    run = SMALL.vary(TRADED | {"record.interval": 4.0}).run(seed=0)
    for time, step in (
        (run.series.time, 4.0),
        (run.series.maker_time, 2.0),
        (run.series.watched.time, 1.0),
    ):
        assert np.diff(time[:3]).tolist() == [step * 1e9] * 2
    assert len(run.series.maker_health) == len(run.series.maker_time)
    assert len(run.series.bid) == len(run.series.time)
    assert run.samples().num_rows > 0


def _enough(seconds: float) -> None:
    if seconds >= 9.0:
        raise Enough
