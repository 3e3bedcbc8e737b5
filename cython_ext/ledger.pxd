# Exact double-entry balances and positions of all accounts.
# Behaviour is in ledger.pyx.
from ._settlement cimport *

cdef class Ledger(Settlement):
    pass
