"""The records of a run as Arrow tables, in units of people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import ALL_MARKETS, Kind, Reason, Side
from .events import SINGLE
from .prints import NANO, distinct, scaled
from .run import MEMBERS

if TYPE_CHECKING:
    import pyarrow as pa

    from .record import Series
    from .run import Run

Codes = NDArray[Any]


def trades(run: "Run", market: int | None = None) -> "pa.Table":
    """Trades of one market, or of all."""
    import pyarrow as pa

    prints = run.prints
    rows = slice(None) if market is None else prints.of(market)
    both = np.concatenate([prints.taker[rows], prints.maker[rows]])
    names, where = _accounts(run, both)
    taker, maker = np.split(where, 2)
    return pa.table(
        {
            "event": prints.event[rows],
            "time": np.round(prints.time[rows], 9),
            "market": _words(prints.market[rows], run.names.markets),
            "side": _words(prints.side[rows], [side.name.lower() for side in Side]),
            "price": prints.price[rows],
            "qty": prints.qty[rows],
            "quote": prints.price[rows] * prints.qty[rows],
            "usd": prints.usd[rows],
            "taker": _words(taker, names),
            "maker": _words(maker, names),
            "taker_account": prints.taker[rows],
            "maker_account": prints.maker[rows],
            "liquidation": prints.forced[rows],
            "order": prints.order[rows],
            "cause": run.order_causes[rows],
            "maker_order": prints.maker_order[rows],
        }
    )


def events(run: "Run") -> "pa.Table":
    """Events other than orders and trades: shocks, repricings, breaches, steps.

    ``old`` is what the value was before, of those that changed one.
    """
    return _events(run, *run.log.rare())


def event_tables(run: "Run") -> "Iterator[pa.Table]":
    """The same in pieces, of a run that has very many; one at least."""
    pieces = run.log.rare_pieces()
    yield _events(run, *next(pieces, run.log.rare("shock")))
    for ids, rows in pieces:
        yield _events(run, ids, rows)


def _events(run: "Run", ids: NDArray[np.int64], rows: NDArray[np.void]) -> "pa.Table":
    import pyarrow as pa

    names = run.names
    market = rows["market"]
    tick, lot = (
        np.where(market >= 0, unit[np.maximum(market, 0)], 0.0)
        # A run without a market has no unit either.
        for unit in (np.append(names.tick, 0.0), np.append(names.lot, 0.0))
    )
    accounts, account = _accounts(run, rows["account"])
    return pa.table(
        {
            "event": ids,
            "time": np.round(rows["time"] * NANO, 9),
            "kind": _words(rows["kind"], SINGLE),
            "cause": rows["cause"],
            "account": _words(account, accounts),
            "market": _words(market + 1, ["", *names.markets]),
            "asset": _words(rows["asset"] + 1, ["", *names.assets]),
            "price": rows["price"] * tick,
            "qty": rows["qty"] * lot,
            "value": rows["value"],
            "old": rows["old"],
            "text": _words(rows["text"], run.log.words),
        }
    )


def messages(run: "Run") -> "pa.Table":
    """Messages to the books, each with its result."""
    import pyarrow as pa

    ids, rows, results = run.log.messages()
    market = rows["market"]
    real = np.maximum(market, 0)
    tick, lot = np.append(run.names.tick, 0.0), np.append(run.names.lot, 0.0)
    every = len(run.names.markets)
    return pa.table(
        {
            "event": ids,
            "time": np.round(rows["time"] * NANO, 9),
            "kind": _words(rows["kind"], [kind.name.lower() for kind in Kind]),
            "market": _words(
                np.where(market == ALL_MARKETS, every, market),
                [*run.names.markets, "all"],
            ),
            "account": rows["account"],
            "side": _words(rows["side"], [side.name.lower() for side in Side]),
            "price": scaled(rows["price"], tick[real]),
            "qty": scaled(rows["qty"], lot[real]),
            "cause": rows["cause"],
            "order": results["order_id"],
            "accepted": results["accepted"] > 0,
            "reason": _words(results["reason"], [why.name.lower() for why in Reason]),
            "filled": scaled(results["filled"], lot[real]),
        }
    )


def samples(run: "Run") -> "pa.Table":
    """The series in long form: time, subject, measure, value; NaN is left out."""
    import pyarrow as pa

    series, names = run.series, run.names
    makers = [run.account(number) for number in series.maker_accounts.tolist()]
    of_markets = ("bid", "ask", "last", "mark", "bid_depth", "ask_depth")
    times = np.round(series.time * NANO, 9)
    maker_times = np.round(series.maker_time * NANO, 9)
    of_makers = ("equity", "adjusted", "maintenance", "health", "leverage", "quoting")
    of_venue = (
        "fund_usd",
        "forced_usd",
        "liquidated",
        "gateway_delay",
        "exogenous_usd",
        "transfers_open",
    )
    blocks = [
        *((names.markets, name, getattr(series, name), times) for name in of_markets),
        *((names.assets, n, getattr(series, n), times) for n in ("index", "outside")),
        *((makers, n, getattr(series, f"maker_{n}"), maker_times) for n in of_makers),
        *((("venue",), n, getattr(series, n)[:, None], times) for n in of_venue),
        *_chained(series),
    ]
    subjects = list(dict.fromkeys(name for block in blocks for name in block[0]))
    number = {name: i for i, name in enumerate(subjects)}
    who, what, when, value = [], [], [], []
    for code, (block, _, values, sampled) in enumerate(blocks):
        flat = np.ascontiguousarray(values.T).ravel()
        keep = ~np.isnan(flat)
        length = len(sampled)
        own = np.array([number[name] for name in block], np.int32)
        who.append(np.repeat(own, length)[keep])
        what.append(np.full(int(keep.sum()), code, np.int32))
        when.append(np.tile(sampled, len(block))[keep])
        value.append(flat[keep])
    return pa.table(
        {
            "time": np.concatenate(when),
            "subject": _words(np.concatenate(who), subjects),
            "measure": _words(np.concatenate(what), [block[1] for block in blocks]),
            "value": np.concatenate(value),
        }
    )


def _chained(series: "Series") -> Iterator[tuple[tuple[str, ...], str, Any, Any]]:
    # Figures of protocols: the subject is all of the name but its last word.
    times = np.round(series.chain.time * NANO, 9)
    for name, values in series.chain.figures.items():
        subject, _, figure = name.rpartition(".")
        yield (subject,), figure, values[:, None], times


def _accounts(run: "Run", numbers: NDArray[np.int32]) -> tuple[list[str], Codes]:
    # The names of accounts, nobody's first, and which of them each row has.
    found, where = distinct(numbers + 1, int(numbers.max(initial=0)) + 2)
    return _names(run, found - 1), where


def _names(run: "Run", accounts: Codes) -> list[str]:
    # What `Run.account` says of ascending ones: it takes a microsecond for each.
    own, known = run.names.accounts, run.names.account_class
    told = [MEMBERS.get(word, word) for word in run.names.classes]
    first, end = np.searchsorted(accounts, [0, len(known)])
    inside = accounts[first:end]
    return [
        *map(run.account, accounts[:first].tolist()),
        *(
            own.get(number) or f"{told[group]} {number}"
            for number, group in zip(
                inside.tolist(), known[inside].tolist(), strict=True
            )
        ),
        *map(run.account, accounts[end:].tolist()),
    ]


def _words(codes: Codes, words: Any) -> Any:
    import pyarrow as pa

    plain = pa.array(np.asarray(codes, np.int32))
    return pa.DictionaryArray.from_arrays(plain, pa.array(list(words), pa.string()))
