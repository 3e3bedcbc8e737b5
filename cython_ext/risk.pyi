from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .book import Books
from .ledger import Ledger

VALUATION: tuple[str, ...]

@final
class Risk:
    order_health: float
    skipping: bool
    following: bool
    books: Books | None
    position_margin: (
        Callable[[list[tuple[int, float]], list[tuple[int, float]]], float] | None
    )
    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]: ...
    def __setstate__(self, told: Any) -> None: ...
    def __init__(
        self,
        ledger: Ledger,
        terms: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
        margin_factor: ArrayLike,
        unit: ArrayLike,
        lot: ArrayLike,
        order_health: float = 1.0,
        open_loss: bool = True,
        lends: bool = True,
    ) -> None: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def refused(self) -> int: ...
    @property
    def judged(self) -> int: ...
    @property
    def looked(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def set_prices(
        self, index: ArrayLike, mark: ArrayLike, mark_quote: ArrayLike
    ) -> None: ...
    def reraise(self) -> None: ...
    def freeze(self, account: int, frozen: bool) -> None: ...
    def revalue(self) -> dict[str, NDArray[np.float64]]: ...
    def at(
        self,
        index: ArrayLike | None = None,
        mark: ArrayLike | None = None,
        mark_quote: ArrayLike | None = None,
        accounts: ArrayLike | None = None,
    ) -> dict[str, NDArray[np.float64]]: ...
    def below(
        self, threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
    def holders(self, asset: int) -> NDArray[np.int64]: ...
    def account(self, account: int) -> dict[str, float]: ...
    def worst_case(
        self, account: int, multiple: float, initial: bool
    ) -> tuple[float, float]: ...
    def _check(self) -> None: ...
