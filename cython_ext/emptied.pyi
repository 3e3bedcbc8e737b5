import numpy as np
from numpy.typing import NDArray

SIDE: np.dtype[np.void]

def take(
    sides: NDArray[np.void],
    own: NDArray[np.uint8],
    batch: NDArray[np.void],
    sent: int,
    fills: NDArray[np.void],
    first: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def follow(
    own: NDArray[np.uint8], causes: NDArray[np.int64], first: int
) -> NDArray[np.bool_]: ...
def followed(
    base: NDArray[np.int64],
    outside: NDArray[np.int64],
    outside_at: NDArray[np.int64],
    withdrawn: NDArray[np.int64],
    withdrawn_at: NDArray[np.int64],
) -> NDArray[np.int64]: ...
def quote(batch: NDArray[np.void], followed: NDArray[np.int64]) -> None: ...
def withdraw(sides: NDArray[np.void], orders: NDArray[np.void], event: int) -> None: ...
