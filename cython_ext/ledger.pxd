# Exact double-entry balances and positions of all accounts.
# Behaviour is in ledger.pyx.
from ._holdings cimport *

cdef class Ledger(Holdings):
    pass
