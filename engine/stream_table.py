"""A stream as a table in units of people, and back from an edited one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import SYSTEM_ACCOUNTS
from ..margin.presets import shown
from ..orderbook.orders import ALL_MARKETS, PRICE_MAX, QTY_MAX, Flag, Side, TimeInForce
from .arguments import suggest
from .events import SINGLE
from .reading.limits import SECONDS_MAX
from .stream_rows import (
    CANCEL,
    CANCEL_ALL,
    KINDS,
    LIMIT,
    MARKET,
    NO_MARKET,
    NOTE,
    OUTSIDE,
    REPLACE,
    ROW,
    TRANSFER,
    Bools,
    Grounds,
    Integers,
    Rows,
    StreamError,
    in_units,
)

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = [side.name.lower() for side in Side]
LIVES = [life.name for life in TimeInForce]
FLAGS = int(~(Flag.LIQUIDATION | Flag.AUCTION)) & 127
"""Flags that a participant may set."""

FAULTS_MAX = 8
"""Most faults of a table that are told."""

MOVE_MAX = 1_000.0
"""Farthest that one trade elsewhere moves the price outside, times what it was."""

NUMBERS = ("row", "account", "order", "flags", "cause")
FLOATS = ("time", "price", "qty", "display", "trigger", "usd")
COLUMNS = (
    *("row", "time", "sender", "kind", "market", "account", "side", "price", "qty"),
    *("order", "tif", "flags", "display", "trigger", "asset", "usd", "text", "cause"),
)


# -- TO A TABLE


def table_of(grounds: Grounds, rows: Rows) -> "pa.Table":
    """Rows as an Arrow table, in units of people."""
    import pyarrow as pa

    columns: dict[str, Any] = dict(in_units(grounds, rows))
    for name in NUMBERS:
        columns[name] = rows[name].astype(np.int64)
    markets = ["", "all", *grounds.markets]
    columns["market"] = _words(rows["market"] - NO_MARKET, markets)
    columns["sender"] = _words(rows["sender"], list(grounds.senders))
    columns["kind"] = _words(rows["kind"], list(KINDS))
    columns["asset"] = _words(rows["asset"] + 1, ["", *grounds.assets])
    ordered = rows["kind"] <= REPLACE
    columns["side"] = _words(np.where(ordered, rows["side"] + 1, 0), ["", *SIDES])
    rests = rows["kind"] == LIMIT
    columns["tif"] = _words(np.where(rests, rows["tif"] + 1, 0), ["", *LIVES])
    columns["text"] = _words(rows["note"] + 1, ["", *_told(grounds)])
    return pa.table({name: columns[name] for name in COLUMNS})


def _told(grounds: Grounds) -> list[str]:
    kinds, texts = grounds.notes["kind"].tolist(), grounds.notes["text"].tolist()
    return [
        f"{SINGLE[kind]}: {grounds.words[text]}"
        for kind, text in zip(kinds, texts, strict=True)
    ]


def _words(codes: NDArray[Any], words: list[str]) -> Any:
    import pyarrow as pa

    plain = pa.array(np.asarray(codes, np.int32))
    column = pa.DictionaryArray.from_arrays(plain, pa.array(words, pa.string()))
    return column.cast(pa.string())


# -- FROM A TABLE


def rows_of(grounds: Grounds, given: object) -> Rows:
    """Read an edited table; StreamError with everything that is wrong with it.

    What a row of the run has kept is what the books had, to the tick and the lot; what
    was changed or inserted is rounded as agents round: prices to the passive side,
    quantities down.
    """
    reader = _Reader(grounds, _columns(given))
    rows = reader.rows()
    if reader.faults:
        raise StreamError("\n".join(reader.faults[:FAULTS_MAX]))
    return rows


def _columns(given: object) -> dict[str, Any]:
    # The columns of a table, each as an Arrow array.
    import pyarrow as pa

    names = getattr(getattr(given, "dtype", None), "names", None)
    try:
        if isinstance(given, pa.Table):
            table = given
        elif names:
            table = pa.table({name: np.asarray(given[name]) for name in names})  # type: ignore[index]
        elif isinstance(given, Mapping):
            table = pa.table({name: _listed(column) for name, column in given.items()})
        elif hasattr(given, "iloc"):  # pandas, whose index is no column
            table = pa.Table.from_pandas(given, preserve_index=False)
        elif hasattr(given, "__arrow_c_stream__"):
            table = pa.table(given)
        else:
            table = None
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise StreamError(f"the table cannot be read: {error}") from error
    if table is None:
        raise TypeError(
            "'table' must be an Arrow table, a data frame, a NumPy array with fields "
            f"or columns by name (got {shown(given)})"
        )
    wrong = [name for name in table.column_names if name not in COLUMNS]
    if wrong:
        near = suggest(wrong[0], COLUMNS)
        raise StreamError(f"{wrong[0]!r} is not a column of a stream{near}")
    lacks = [name for name in ("row", "time", "kind") if name not in table.column_names]
    if lacks:
        raise StreamError(
            f"the table lacks {', '.join(map(repr, lacks))}; take stream.table, change "
            "it and give it back"
        )
    return {n: table.column(n).combine_chunks() for n in table.column_names}


def _listed(column: Any) -> Any:
    return column if hasattr(column, "__array__") else list(column)


class _Reader:
    """Turns columns into rows, and notes what is wrong with them."""

    def __init__(self, grounds: Grounds, columns: Mapping[str, Any]) -> None:
        self.grounds, self.columns = grounds, columns
        self.n = len(next(iter(columns.values())))
        self.faults: list[str] = []
        self.found = np.zeros(self.n, ROW)

    def rows(self) -> Rows:
        """Read all columns, then judge them."""
        found, grounds = self.found, self.grounds
        found["row"] = self._number("row", -1)
        last = len(grounds.recorded) - 1
        self._wrong(
            (found["row"] < -1) | (found["row"] > last),
            "row",
            found["row"],
            f"from 0 to {last} as in the run, or null for what is inserted",
        )
        if self.faults:
            return found
        self._unique("row", found["row"], found["row"] >= 0)
        recorded = found["row"] >= 0
        kept = grounds.recorded[np.maximum(found["row"], 0)] if last >= 0 else found
        fresh = found.copy()
        self._words(fresh)
        self._amounts(fresh, kept, recorded)
        silent = recorded & (self._word("tif", _lives(), "") < 0)
        fresh["tif"] = np.where(silent, kept["tif"], fresh["tif"])
        for name in ("event", "note"):
            fresh[name] = np.where(recorded, kept[name], 0 if name == "event" else -1)
        self._judge(fresh, kept, recorded)
        return fresh

    # -- COLUMNS

    def _number(self, name: str, default: int) -> Integers:
        import pyarrow as pa

        column = self.columns.get(name)
        if column is None:
            return np.full(self.n, default)
        try:
            whole = (
                column.cast(pa.int64())
                if not pa.types.is_null(column.type)
                else (pa.nulls(self.n, pa.int64()))
            )
        except pa.ArrowException:
            self.faults.append(f"column {name!r} must be of whole numbers")
            return np.full(self.n, default)
        return np.asarray(whole.fill_null(default), np.int64)

    def _float(self, name: str) -> NDArray[np.float64]:
        import pyarrow as pa

        column = self.columns.get(name)
        if column is None or pa.types.is_null(column.type):
            return np.zeros(self.n)
        try:
            values = np.asarray(column.cast(pa.float64()).fill_null(0.0), np.float64)
        except pa.ArrowException:
            self.faults.append(f"column {name!r} must be of numbers")
            return np.zeros(self.n)
        self._wrong(~np.isfinite(values), name, values, "a finite number")
        return np.where(np.isfinite(values), values, 0.0)

    def _word(self, name: str, known: Mapping[str, int], default: str) -> Integers:
        # Numbers of words; of one that is not known, a fault and that of the default.
        import pyarrow as pa

        column = self.columns.get(name)
        if column is None or pa.types.is_null(column.type):
            return np.full(self.n, known[default])
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ):
            self.faults.append(f"column {name!r} must be of words")
            return np.full(self.n, known[default])
        codes = column.fill_null(default).dictionary_encode()
        words = codes.dictionary.to_pylist()
        where = np.asarray(codes.indices, np.int64)
        for i, word in enumerate(words):
            if word not in known:
                row = int(np.flatnonzero(where == i)[0])
                near = suggest(word, known)
                self.faults.append(f"row {row}: {word!r} is not a {name} here{near}")
        numbers = np.array([known.get(w, known[default]) for w in words], np.int64)
        return numbers[where] if len(words) else np.empty(0, np.int64)

    def _words(self, fresh: Rows) -> None:
        grounds = self.grounds
        fresh["kind"] = self._word("kind", _numbered(KINDS), KINDS[0])
        markets = {"": NO_MARKET, "all": ALL_MARKETS, **_numbered(grounds.markets)}
        fresh["market"] = self._word("market", markets, "")
        side = self._word("side", {"": -1, **_numbered(SIDES)}, "")
        ordered = fresh["kind"] <= REPLACE
        told = "buy or sell, of cancel_all also both"
        orders = (fresh["kind"] <= MARKET) & ((side < 0) | (side == Side.BOTH))
        self._wrong(orders, "side", side, told)
        fresh["side"] = np.where(ordered & (side >= 0), side, 0)
        fresh["side"][(fresh["kind"] == CANCEL_ALL) & (side < 0)] = Side.BOTH
        tif = self._word("tif", _lives(), "")
        ioc = np.where(fresh["kind"] == MARKET, TimeInForce.IOC, TimeInForce.GTC)
        fresh["tif"] = np.where(tif >= 0, tif, ioc)
        assets = {"": -1, **_numbered(grounds.assets)}
        fresh["asset"] = self._word("asset", assets, "")
        fresh["account"] = np.clip(self._number("account", -1), -1, 2**31 - 1)
        senders = {"": -1, **_numbered(grounds.senders)}
        fresh["sender"] = self._word("sender", senders, "")
        for name in ("order", "cause"):
            fresh[name] = self._number(name, 0)
        flags = self._number("flags", 0)
        self._wrong((flags & ~FLAGS) != 0, "flags", flags, "flags an order may have")
        fresh["flags"] = flags & FLAGS

    def _amounts(self, fresh: Rows, kept: Rows, recorded: Bools) -> None:
        grounds = self.grounds
        given = {name: self._float(name) for name in FLOATS}
        row = np.maximum(fresh["row"], 0)
        same = {
            name: recorded & (given[name] == grounds.units[name][row])
            if len(kept) and len(grounds.recorded)
            else recorded
            for name in FLOATS
        }
        # Another market has other steps.
        moved = recorded & (fresh["market"] == kept["market"])
        late = (given["time"] < 0) | (given["time"] > SECONDS_MAX)
        self._wrong(late, "time", given["time"], f"seconds from 0 to {SECONDS_MAX:g}")
        time = np.where(late, 0.0, given["time"])
        fresh["time"] = np.where(same["time"], kept["time"], np.rint(time * 1e9))
        priced = fresh["market"] >= 0
        tick, lot = np.ones(self.n), np.ones(self.n)
        tick[priced] = grounds.tick[fresh["market"][priced]]
        lot[priced] = grounds.lot[fresh["market"][priced]]
        atom = grounds.atom[np.maximum(fresh["asset"], 0)]
        transfer, buys = fresh["kind"] == TRANSFER, fresh["side"] == Side.BUY
        ticks = given["price"] / tick
        passive = np.where(buys, np.floor(ticks + 1e-6), np.ceil(ticks - 1e-6))
        passive = np.where(ticks > 0, np.maximum(passive, 1), ticks)
        lots = down(given["qty"] / lot)
        lots = np.where(transfer, np.rint(given["qty"] / atom), lots)
        steps = {
            "price": passive,
            "qty": lots,
            "display": down(given["display"] / lot),
            "trigger": np.rint(given["trigger"] / tick),
        }
        for name, count in steps.items():
            most = QTY_MAX if name in ("qty", "display") else PRICE_MAX
            exact = same[name] & moved
            beyond = ~exact & (np.abs(count) > most)
            beyond |= ~exact & (count < 0) & ~(transfer & (name == "qty"))
            self._wrong(beyond, name, given[name], "0 or more, and not too large")
            safe = np.where(beyond, 1.0, count).astype(np.int64)
            fresh[name] = np.where(exact, kept[name], safe)
        fresh["usd"] = given["usd"]

    # -- FAULTS

    def _judge(self, fresh: Rows, kept: Rows, recorded: Bools) -> None:
        kind, market = fresh["kind"], fresh["market"]
        changed = ~recorded | (fresh != kept)
        order, message = kind <= MARKET, kind <= REPLACE
        sized = order | (kind == REPLACE)
        check = self._checker(changed)
        named = (market >= 0) | ((kind == CANCEL_ALL) & (market == ALL_MARKETS))
        check(message & ~named, "market", market, "one of the venue's, by name")
        check(sized & (fresh["qty"] <= 0), "qty", fresh["qty"], "at least one lot")
        priced = (kind == LIMIT) | (kind == REPLACE)
        check(priced & (fresh["price"] <= 0), "price", fresh["price"], "above 0")
        opened = len(self.grounds.sender_of)
        account = fresh["account"]
        known = (account >= SYSTEM_ACCOUNTS) & (account < opened)
        check(
            (message | (kind == TRANSFER)) & ~known,
            "account",
            account,
            f"one of the run, {SYSTEM_ACCOUNTS} to {opened - 1}",
        )
        owner = self.grounds.sender_of[np.clip(account, 0, opened - 1)]
        anyone = fresh["sender"] < 0
        fresh["sender"] = np.where(anyone & known, owner, fresh["sender"])
        strange = message & known & (fresh["sender"] != owner)
        check(strange, "sender", account, "that of the account, or left out")
        lost = (kind >= TRANSFER) & (fresh["sender"] < 0)
        check(lost, "sender", account, "told for what is no message")
        coins = (kind == TRANSFER) | (kind == OUTSIDE)
        check(coins & (fresh["asset"] < 0), "asset", fresh["asset"], "one of the run's")
        # A trade of more would leave an outside price of 0 or none at all.
        grounds = self.grounds
        table = grounds.scenario.config.assets
        impact = np.array([table[name].impact for name in grounds.assets])
        moved = impact[np.maximum(fresh["asset"], 0)] * fresh["usd"] * 1e-6
        wild = (kind == OUTSIDE) & ((moved <= -1.0) | (moved > MOVE_MAX))
        told = "a trade that leaves a price outside, "
        told += f"at most {MOVE_MAX:g} times farther up"
        check(wild, "usd", fresh["usd"], told)
        named_order = (kind == CANCEL) | (kind == REPLACE)
        told = "the number of the order that is meant"
        check(named_order & (fresh["order"] == 0), "order", fresh["order"], told)
        self._unique("order", fresh["order"], order & (fresh["order"] != 0))
        check(
            (kind == NOTE) & (~recorded | (kept["kind"] != NOTE)),
            "kind",
            kind,
            "anything but 'note', which can only be kept or dropped",
        )
        turned = recorded & (kind != kept["kind"])
        turned &= (kind > REPLACE) | (kept["kind"] > REPLACE)
        check(turned, "kind", kind, "what it was: a message is nothing else")
        tell = recorded & (kind == NOTE)
        for name in ("account", "market", "asset", "sender", "cause", "side", "tif"):
            fresh[name][tell] = kept[name][tell]

    def _checker(self, changed: Bools) -> Callable[..., None]:
        def check(wrong: Bools, name: str, values: Any, told: str) -> None:
            self._wrong(wrong & changed, name, values, told)

        return check

    def _wrong(self, wrong: Bools, name: str, values: Any, told: str) -> None:
        rows = np.flatnonzero(wrong)
        if len(rows):
            i = int(rows[0])
            column = self.columns.get(name)
            got = values[i].item() if column is None else column[i].as_py()
            more = f"; so are {len(rows) - 1:,} rows more" if len(rows) > 1 else ""
            text = f"row {i}: {name!r} must be {told} (got {shown(got)}){more}"
            self.faults.append(text)

    def _unique(self, name: str, values: Integers, which: Bools) -> None:
        found, counts = np.unique(values[which], return_counts=True)
        twice = found[counts > 1]
        if len(twice):
            first = np.flatnonzero(which & (values == twice[0]))
            remedy = (
                "a copy has none" if name == "row" else "give each order its own number"
            )
            what = f"row {first[1]}: {name!r} {twice[0]} is that of row {first[0]}"
            self.faults.append(f"{what}; {remedy}")


def _numbered(words: Any) -> dict[str, int]:
    return {word: i for i, word in enumerate(words)}


def _lives() -> dict[str, int]:
    return {"": -1, **_numbered(LIVES)}


def down(lots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole lots, rounded down; what is whole but for a division's error stays."""
    near = np.rint(lots)
    whole = np.abs(lots - near) <= 1e-6 + 4e-16 * np.abs(lots)
    return np.where(whole, near, np.floor(lots))
