import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ledger import Ledger

TAKEN: np.dtype[np.void]

def take(
    ledger: Ledger,
    accounts: ArrayLike,
    worth: NDArray[np.float64],
    lost: NDArray[np.int64],
) -> NDArray[np.void]: ...
