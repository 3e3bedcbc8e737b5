from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ledger import Gate, Ledger

VALUATION: tuple[str, ...]

@final
class Risk(Gate):
    order_health: float
    def __init__(
        self,
        ledger: Ledger,
        collateral: tuple[ArrayLike, ArrayLike],
        borrow: tuple[ArrayLike, ArrayLike],
        brackets: tuple[ArrayLike, ArrayLike],
        negative: float = 1.0,
        order_health: float = 1.0,
    ) -> None: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def refused(self) -> int: ...
    @property
    def negative(self) -> float: ...
    def set_prices(
        self, index: ArrayLike, mark: ArrayLike, mark_quote: ArrayLike
    ) -> None: ...
    def freeze(self, account: int, frozen: bool) -> None: ...
    def revalue(self) -> dict[str, NDArray[np.float64]]: ...
    def below(
        self, threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
    def account(self, account: int) -> dict[str, float]: ...
