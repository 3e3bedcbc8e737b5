import numpy as np
from numpy.typing import NDArray

MOVER: np.dtype[np.void]

def take(movers: NDArray[np.void], fills: NDArray[np.void], first: int) -> None: ...
def settle(movers: NDArray[np.void]) -> None: ...
def blamed(
    movers: NDArray[np.void], lowered: NDArray[np.int64], raised: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def look(
    movers: NDArray[np.void], lowered: NDArray[np.int64], raised: NDArray[np.int64]
) -> None: ...
def best(
    top: NDArray[np.int64], tick: NDArray[np.float64], none: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def limits(
    prices: NDArray[np.float64], tick: NDArray[np.float64], up: bool
) -> NDArray[np.int64]: ...
def worth(
    volume: NDArray[np.int64],
    limit: NDArray[np.int64],
    tick: NDArray[np.float64],
    lot: NDArray[np.float64],
    usd: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def index_moves(
    drivers: NDArray[np.void],
    logged: NDArray[np.float64],
    share: float,
    next_id: int,
    rule_event: int,
    outside_event: NDArray[np.int64],
    market_event: NDArray[np.int64],
    index_event: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...
def mark_moves(
    mark: NDArray[np.float64],
    logged: NDArray[np.float64],
    share: float,
    next_id: int,
    mark_event: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def lost(
    atoms: NDArray[np.int64],
    fall: NDArray[np.float64],
    atom: NDArray[np.float64],
    place: NDArray[np.int64],
    begin: NDArray[np.int64],
) -> NDArray[np.float64]: ...
