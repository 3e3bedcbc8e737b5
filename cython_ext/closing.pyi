from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .book import Books
from .ranks import Ranks

CLOSED: np.dtype[np.void]
PRICINGS: tuple[str, ...]

@final
class Closing:
    def __init__(
        self,
        ranks: Ranks,
        books: Books | None,
        accounts: ArrayLike,
        late: ArrayLike,
        pricing: str,
        most: float,
    ) -> None: ...
    def waiting(self) -> bool: ...
    def run(self, bearable: ArrayLike) -> tuple[int, int, int, bool] | None: ...
    def taken(self) -> NDArray[np.void]: ...
