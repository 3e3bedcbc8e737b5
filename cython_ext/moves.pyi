import numpy as np
from numpy.typing import NDArray

def take(
    event: NDArray[np.int64],
    time: NDArray[np.int64],
    size: NDArray[np.float64],
    kept: NDArray[np.int64],
    own_moves: NDArray[np.float64],
    rows: NDArray[np.int64],
    moves: NDArray[np.float64],
    events: NDArray[np.int64],
    own: NDArray[np.uint8],
    now: int,
) -> None: ...
def largest(
    event: NDArray[np.int64],
    time: NDArray[np.int64],
    kept: NDArray[np.int64],
    at: int,
    since: int,
) -> int: ...
def last(
    event: NDArray[np.int64],
    time: NDArray[np.int64],
    kept: NDArray[np.int64],
    rows: NDArray[np.int64],
    moves: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def blame(
    event: NDArray[np.int64],
    time: NDArray[np.int64],
    kept: NDArray[np.int64],
    own_moves: NDArray[np.float64],
    rows: NDArray[np.int64],
    moves: NDArray[np.float64],
    own: NDArray[np.float64],
    since: NDArray[np.int64],
) -> NDArray[np.int64]: ...
