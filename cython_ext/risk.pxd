# The risk pass and the gate.  Behaviour is in risk.pyx.
from ._gate cimport *

cdef class Risk(Judge):
    cdef Board elsewhere                 # prices of `at`
    cdef list arrays                     # the current prices

    # -- QUERIES
    cdef list checked_prices(self, index, mark, mark_quote)
    cdef int raise_failure(self) except -1

    # -- COMMANDS
    cdef int visit(self, State state) except -1
