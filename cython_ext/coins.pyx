"""Coins of accounts that have nothing else, taken for what they owe.

`margin.debts` says it in Python for one account; the tests hold both equal.
"""

from libc.math cimport ceil, floor
from libc.stdint cimport int64_t

import numpy as np

from .ledger cimport *

TAKEN = np.dtype(
    [(name, "<i8") for name in ("owner", "debt", "coin", "atoms", "payer")])

cdef enum:
    CLAIMS_ = 4

cdef double MOST = 2.0**62       # a float beyond is no int64


def take(Ledger ledger not None, accounts, const double[::1] worth,
         const int64_t[::1] lost):
    """Take coins of accounts at index for their debts; return what was taken, in order.

    For each debt the fund pays as far as it can, then the account CLAIMS. ``worth`` is
    US dollars of an atom by asset, ``lost`` what comes off the fund's balances. Rows of
    TAKEN: which of the accounts, the debt, the coin, how much of it, who paid.
    O(balances x debts of an account).
    """
    cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
    cdef int64_t i, j
    cdef int debt
    cdef Account* owner
    cdef list found = []
    assert min(worth.shape[0], lost.shape[0]) >= ledger.n_assets
    for i in range(who.shape[0]):
        ledger.known_account(who[i])
        owner = &ledger.accounts[who[i]]
        for j in range(owner.n_balances):
            if ledger.balances(owner)[j].amount < 0:
                debt = ledger.balances(owner)[j].asset
                pay(ledger, i, who[i], debt, INSURANCE_, worth, lost, found)
                pay(ledger, i, who[i], debt, CLAIMS_, worth, lost, found)
    return np.array(found, TAKEN)


cdef int pay(Ledger ledger, int64_t place, int64_t account, int debt, int64_t payer,
             const double[::1] worth, const int64_t[::1] lost, list found) except -1:
    # No more than is owed, or than the fund can bear.
    cdef int64_t owed = -ledger.balance(account, debt), most = owed, has, paid, atoms, i
    cdef Account* owner = &ledger.accounts[account]
    cdef int coin
    if payer == INSURANCE_:
        most = max(0, ledger.balance(INSURANCE_, debt) + lost[debt])
    for i in range(owner.n_balances):
        if owed <= 0 or most == 0:
            return 0
        # Rows may have moved: the payer may get new ones.
        coin, has = ledger.balances(owner)[i].asset, ledger.balances(owner)[i].amount
        if has <= 0 or coin == debt or not worth[coin] * worth[debt]:
            continue
        paid = min(owed, most, whole(floor(has * worth[coin] / worth[debt])))
        if payer == INSURANCE_:
            most -= paid
        if paid == 0:
            continue
        owed -= paid
        atoms = min(has, whole(ceil(paid * worth[debt] / worth[coin])))
        ledger.transfer(coin, account, payer, atoms)
        ledger.transfer(debt, payer, account, paid)
        found.append((place, debt, coin, atoms, payer))
    return 0


cdef inline int64_t whole(double atoms) noexcept nogil:
    return <int64_t>(atoms if atoms < MOST else MOST)
