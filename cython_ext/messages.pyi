from typing import Any

import numpy as np
from numpy.typing import NDArray

def orders(
    time: int,
    account: NDArray[np.int64] | int,
    market: NDArray[np.int64] | int,
    side: NDArray[np.int64] | int,
    qty: NDArray[np.float64],
    price: NDArray[np.float64] | None,
    tif: int,
    cause: NDArray[np.int64] | int,
    flags: int,
    tick: NDArray[np.float64],
    lot: NDArray[np.float64],
) -> NDArray[np.void]: ...
def together(batches: list[NDArray[np.void]]) -> NDArray[np.void]: ...
def senders(
    queue: NDArray[np.void],
    coming: list[tuple[int, int, Any]],
    first: int,
    count: int,
) -> NDArray[np.bool_]: ...
def joined(
    queue: NDArray[np.void],
    since: NDArray[np.float64],
    arrived: list[tuple[int, int, Any]],
) -> tuple[NDArray[np.void], NDArray[np.float64]]: ...
def served(
    since: NDArray[np.float64], free_at: float, step: float
) -> tuple[NDArray[np.float64], float, bool]: ...
def stamped(rows: NDArray[np.void], done: NDArray[np.float64], until: float) -> int: ...
def rested(
    batches: list[NDArray[np.void]], results: list[NDArray[np.void]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def traded(
    firsts: list[int],
    batches: list[NDArray[np.void]],
    results: list[NDArray[np.void]],
    fills: list[NDArray[np.void]],
    causes: list[list[int]],
) -> tuple[NDArray[np.int64], NDArray[np.void], NDArray[np.void]]: ...
def counted(
    messages: NDArray[np.void],
    results: NDArray[np.void],
    column: NDArray[np.int64],
    group: NDArray[np.uint8],
    maker: NDArray[np.int64],
    before: int,
    sent: NDArray[np.int64],
    makers: NDArray[np.int64],
) -> None: ...
