"""A ledger of the exchange with protocols' assets and some holders in it."""

from flashwick.cython_ext.ledger import Ledger
from flashwick.engine.defi.booking import Booking


def booking(assets: list[str], holders: dict[str, dict[str, int]]) -> Booking:
    """A booking with the assets, and holders with what each has at first."""
    ledger = Ledger()
    numbers = {asset: ledger.add_asset() for asset in assets}
    first = ledger.open_accounts(len(holders))
    accounts = {name: first + i for i, name in enumerate(holders)}
    for name, balances in holders.items():
        for asset, atoms in balances.items():
            ledger.deposit(accounts[name], numbers[asset], atoms)
    return Booking(ledger, numbers, accounts)
