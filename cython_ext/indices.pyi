import numpy as np
from numpy.typing import NDArray

ROW: np.dtype[np.void]
TERM: np.dtype[np.void]
DRIVER: np.dtype[np.void]

def update(
    rows: NDArray[np.void],
    terms: NDArray[np.void],
    order: NDArray[np.int64],
    inputs: NDArray[np.float64],
    index: NDArray[np.float64],
) -> None: ...
def drivers(
    rows: NDArray[np.void], terms: NDArray[np.void], markets: int
) -> NDArray[np.void]: ...
