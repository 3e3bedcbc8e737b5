from collections.abc import Callable, Collection
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .risk import Risk

CANDIDATE: np.dtype[np.void]
PRICE: np.dtype[np.void]
RANKINGS: tuple[str, ...]

@final
class Ranks:
    def __init__(
        self,
        risk: Risk,
        prices: NDArray[np.void],
        ranking: str | Callable[[NDArray[np.void], int, float], ArrayLike],
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @property
    def measured(self) -> int: ...
    def changed(self, accounts: ArrayLike) -> None: ...
    def queue(
        self,
        market: int,
        side: int,
        required: int,
        losers: Collection[int],
        cost: float,
        most: float,
    ) -> list[tuple[int, int, bool]]: ...
    def first(self, market: int, side: int, n: int) -> NDArray[np.void]: ...
