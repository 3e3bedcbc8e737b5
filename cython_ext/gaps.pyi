from typing import Any, final

import numpy as np
from numpy.typing import NDArray

@final
class Gaps:
    def __init__(
        self,
        markets: NDArray[np.int64],
        base: NDArray[np.int64],
        quote: NDArray[np.int64],
        perpetual: NDArray[np.bool_],
        clip: NDArray[np.float64],
        capacity: NDArray[np.float64],
        first: NDArray[np.int64],
        home: NDArray[np.int64],
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def outside(
        self,
        held: NDArray[np.float64],
        positions: NDArray[np.float64],
        fair: NDArray[np.float64],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        usd: NDArray[np.float64],
        threshold: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...
    def at_home(
        self, best: NDArray[np.float64], outside: NDArray[np.float64]
    ) -> NDArray[np.float64]: ...
    def between(
        self,
        held: NDArray[np.float64],
        positions: NDArray[np.float64],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        usd: NDArray[np.float64],
        costs: NDArray[np.float64],
        brings: NDArray[np.float64],
        threshold: float,
    ) -> tuple[
        NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]
    ]: ...
    def rests(
        self,
        sells: bool,
        held: NDArray[np.float64],
        target: NDArray[np.float64],
        best: NDArray[np.float64],
        outside: NDArray[np.float64],
        own: NDArray[np.float64],
        other: NDArray[np.float64],
        resting: NDArray[np.int64],
        tick: NDArray[np.float64],
        threshold: float,
    ) -> tuple[
        tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
        tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    ]: ...
    def back(
        self,
        held: NDArray[np.float64],
        target: NDArray[np.float64],
        bid: NDArray[np.float64],
        ask: NDArray[np.float64],
        outside: NDArray[np.float64],
        dollar: int,
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.bool_],
    ]: ...

def noticed(
    markets: NDArray[np.int64],
    last: NDArray[np.float64],
    fair: NDArray[np.float64],
    share: float,
    left: NDArray[np.float64],
    clip: float,
    due: NDArray[np.int64],
    never: int,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]: ...
