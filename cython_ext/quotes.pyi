from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

@final
class Quotes:
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __setstate__(self, told: Any) -> None: ...
    def __init__(
        self,
        first: int,
        maker: ArrayLike,
        column: ArrayLike,
        markets: ArrayLike,
        distance: ArrayLike,
        size_usd: ArrayLike,
        scale: ArrayLike,
        limit_usd: float,
        skew: float,
        tick: ArrayLike,
        lot: ArrayLike,
        spot: ArrayLike,
    ) -> None: ...
    @property
    def target(self) -> NDArray[np.float64]: ...
    def judge(
        self,
        fair: ArrayLike,
        usd: ArrayLike,
        held: ArrayLike,
        size: ArrayLike,
        bidding: ArrayLike,
        live: ArrayLike,
    ) -> NDArray[np.int64]: ...
    def requote(
        self, now: int, usd: ArrayLike, orders: NDArray[np.void]
    ) -> NDArray[np.void]: ...
