import numpy as np
from numpy.typing import NDArray

def walked(
    cause: NDArray[np.int64], wanted: NDArray[np.uint8], marks: NDArray[np.int64]
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]
]: ...
