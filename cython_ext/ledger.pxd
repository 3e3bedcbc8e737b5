# Exact double-entry balances and positions of all accounts.
# Behaviour is in ledger.pyx.
from ._settlement cimport *

cdef class Ledger(Settlement):
    # -- QUERIES
    cdef int known_account(self, int64_t account) except -1
    cdef int known_asset(self, int asset) except -1
    cdef int known_market(self, int market) except -1
    cdef int known_perpetual(self, int market) except -1
    cdef int known_notional(self, int market, int64_t lots, int64_t price) except -1
