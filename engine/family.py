"""Which accounts belong together: sub-accounts, and markets in isolated margin."""

import numpy as np
from numpy.typing import NDArray


class Family:
    """Parents of sub-accounts, and the sub-account of each isolated market."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._isolated: dict[tuple[int, int], int] = {}  # parent, market: sub-account

    # -- QUERIES

    def owner(self, account: int) -> int:
        """Return the account that an account belongs to: itself, or its parent's."""
        while account in self._parent:
            account = self._parent[account]
        return account

    def owners(self, accounts: int) -> NDArray[np.int64]:
        """Return the owner of every one of so many accounts.  O(accounts)."""
        owners = np.arange(accounts)
        for account in self._parent:
            owners[account] = self.owner(account)
        return owners

    def margined_in(self, account: int, market: int) -> int:
        """Return the account that trades a market for an account: its own, or a sub."""
        return self._isolated.get((account, market), account)

    def isolated(self, account: int) -> dict[int, int]:
        """Return the sub-account of each market that an account has isolated."""
        return {
            market: sub
            for (parent, market), sub in self._isolated.items()
            if parent == account
        }

    def isolates(self, account: int) -> bool:
        """Return whether an account is the isolated margin of a market."""
        return account in self._isolated.values()

    # -- COMMANDS

    def add(self, account: int, parent: int) -> None:
        """Make an account a sub-account."""
        self._parent[account] = parent

    def isolate(self, account: int, market: int, sub: int) -> None:
        """Let a sub-account trade a market for an account."""
        self._isolated[account, market] = sub

    def merge(self, account: int, market: int) -> None:
        """Let an account trade a market by itself again."""
        del self._isolated[account, market]

    def _check(self) -> None:
        """Assert every invariant."""
        for (parent, _), sub in self._isolated.items():
            assert self._parent[sub] == parent
        # A parent is older than its sub-accounts, so no walk goes round.
        assert all(parent < account for account, parent in self._parent.items())
