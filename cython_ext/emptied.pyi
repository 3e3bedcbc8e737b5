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
def withdraw(
    sides: NDArray[np.void], orders: NDArray[np.void], number: int, event: int
) -> None: ...
