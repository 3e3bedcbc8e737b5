# What accounts hold, for Python to read.  Behaviour is in _holdings.pyx.
from ._settlement cimport *

cdef class Holdings(Settlement):
    pass
