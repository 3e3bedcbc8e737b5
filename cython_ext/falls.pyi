import numpy as np
from numpy.typing import NDArray

def quoted_round(
    venue: NDArray[np.float64],
    markets: NDArray[np.int64],
    outside: NDArray[np.float64],
    middle: NDArray[np.float64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    weight: float,
    share: float,
    reach: float,
) -> NDArray[np.float64]: ...
def remembered(
    fairs: NDArray[np.float64],
    middles: NDArray[np.float64],
    row: int,
    fair: NDArray[np.float64],
    markets: NDArray[np.int64],
    middle: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def judged(
    fairs: NDArray[np.float64],
    middles: NDArray[np.float64],
    wakes: int,
    maker: NDArray[np.int64],
    column: NDArray[np.int64],
    since: NDArray[np.int64],
    calm: NDArray[np.bool_],
    left: NDArray[np.bool_],
    healthy: NDArray[np.bool_],
    alive: NDArray[np.bool_],
    most: NDArray[np.float64],
    leave: float,
) -> tuple[
    NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]
]: ...
def returned(
    calm: NDArray[np.bool_],
    left: NDArray[np.bool_],
    size: NDArray[np.float64],
    since: NDArray[np.int64],
    wild: NDArray[np.bool_],
    goes: NDArray[np.bool_],
    quiet: NDArray[np.bool_],
    draw: NDArray[np.float64],
    hazard: float,
    smaller: float,
    wakes: int,
) -> None: ...
def quoting(
    maker: NDArray[np.int64],
    column: NDArray[np.int64],
    size: NDArray[np.float64],
    factor: NDArray[np.float64],
    calm: NDArray[np.bool_],
    left: NDArray[np.bool_],
    healthy: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    live: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]: ...
def held(
    maker: NDArray[np.int64],
    column: NDArray[np.int64],
    perpetual: NDArray[np.bool_],
    lots: NDArray[np.int64],
    atoms: NDArray[np.int64],
    lot: NDArray[np.float64],
    atom: NDArray[np.float64],
) -> NDArray[np.float64]: ...
