"""Where protocols hold their assets: accounts of the exchange's ledger."""

from collections.abc import Iterable, Mapping

from ...cython_ext.ledger import EXTERNAL, Ledger
from .protocol import ISSUED, Refused, Transfer, require, require_known


class Booking:
    """Books what protocols move in the ledger that the exchange's accounts are in.

    Holders and assets are named here and numbered there. ``tokens`` are those that the
    exchange does not list, such as a pool's shares: they lie in a ledger beside it.
    What a protocol issues comes out of the ledger's outside account, whose balance is
    minus what there is of it. ``accounts`` are the numbers of holders, ``numbers``
    those of the assets that the exchange lists.

    >>> ledger = Ledger()
    >>> usd, ann = ledger.add_asset(), ledger.open_accounts(2)
    >>> ledger.deposit(ann, usd, 100)
    >>> booking = Booking(ledger, {"USD": usd}, {"ann": ann, "pool": ann + 1})
    >>> booking.book([Transfer("USD", "ann", "pool", 60)])
    >>> booking.balance("pool", "USD")
    60
    """

    def __init__(
        self,
        ledger: Ledger,
        assets: Mapping[str, int],
        accounts: Mapping[str, int],
        tokens: Iterable[str] = (),
    ) -> None:
        here = {ISSUED: EXTERNAL, **accounts}
        self.beside, own = Ledger(), dict(here)
        if accounts:
            first = self.beside.open_accounts(len(accounts))
            own |= {name: first + i for i, name in enumerate(accounts)}
        self._places = {name: (ledger, number, here) for name, number in assets.items()}
        for token in tokens:
            require(token not in assets, "tokens", "not be assets as well", token)
            self._places[token] = self.beside, self.beside.add_asset(), own
        self.accounts = here
        self.numbers = dict(assets)

    def balance(self, holder: str, asset: str) -> int:
        """Atoms of an asset that a holder has."""
        require_known("holder", holder, self.accounts)
        require_known("asset", asset, self._places)
        ledger, number, accounts = self._places[asset]
        return ledger.balance(accounts[holder], number)

    def book(self, moves: Iterable[Transfer]) -> None:
        """Book all the transfers of an action or, if somebody lacks the atoms, none.

        Only what everyone has at the end counts, so that a loan may be repaid within
        the action that it pays for. O(transfers).
        """
        moves = list(moves)
        change: dict[tuple[str, str], int] = {}
        for asset, source, target, atoms in moves:
            require(atoms >= 0, "atoms", "not be below 0", atoms)
            for holder, signed in ((source, -atoms), (target, atoms)):
                key = holder, asset
                change[key] = change.get(key, 0) + signed
        for (holder, asset), atoms in change.items():
            has = self.balance(holder, asset)
            if holder != ISSUED and atoms < 0 and has + atoms < 0:
                raise Refused(
                    f"{holder!r} must have {-atoms} atoms of {asset} (got {has})"
                )
        done: list[Transfer] = []
        try:
            for move in moves:
                self._move(move)
                done.append(move)
        except (ValueError, OverflowError) as error:
            for asset, source, target, atoms in reversed(done):
                self._move(Transfer(asset, target, source, atoms))
            if isinstance(error, OverflowError):
                # A coin that is printed without end comes to the end of the ledger.
                most = max(move.atoms for move in moves)
                text = f"'atoms' must be within the ledger's 2**63 - 1 (got {most})"
                raise Refused(text) from None
            raise

    def _move(self, move: Transfer) -> None:
        ledger, number, accounts = self._places[move.asset]
        source, target = accounts[move.source], accounts[move.target]
        ledger.transfer(number, source, target, move.atoms)
