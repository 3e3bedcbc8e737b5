"""Random numbers, exponentials and logarithms of arrays, the same on every machine.

Additions, multiplications and divisions in a fixed order, and no library's functions.
``tests/chance_model.py`` says in NumPy what this module does.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport frexp
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from numpy cimport (
    NPY_ARRAY_CARRAY_RO,
    NPY_DOUBLE,
    PyArray_DATA,
    PyArray_DIMS,
    PyArray_EMPTY,
    PyArray_FROM_OTF,
    PyArray_NDIM,
    PyArray_SIZE,
    import_array,
    ndarray,
    npy_intp,
)

import_array()

cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void* state
        uint64_t (*next_uint64)(void* state) noexcept nogil

cdef double LN2 = 0.6931471805599453
cdef double WHOLE = 6755399441055744.0     # 1.5 * 2**52: added, it rounds to an integer
cdef double UNIT = 1.1102230246251565e-16  # 2**-53


# -- FUNCTIONS

cdef inline double power_of_e(double x) noexcept nogil:
    cdef double whole, rest, total = 1.0, scale
    cdef int64_t bits
    cdef int i
    x = -700.0 if x < -700.0 else 700.0 if x > 700.0 else x
    whole = (x / LN2 + WHOLE) - WHOLE
    rest = x - whole * LN2
    for i in range(14, 0, -1):
        total = 1.0 + total * rest / i
    # Two to that power, which is never small enough to lose digits.
    bits = (<int64_t>whole + 1023) << 52
    memcpy(&scale, &bits, sizeof(scale))
    return total * scale


cdef inline double log_of(double x) noexcept nogil:
    cdef int power, i
    cdef double mantissa = frexp(x, &power), z, square, total = 0.0
    if mantissa < 0.7071067811865476:
        mantissa, power = 2.0 * mantissa, power - 1
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square = z * z
    for i in range(25, 0, -2):
        total = total * square + 1.0 / i
    return power * LN2 + 2.0 * z * total


def exp(x):
    """Return e to the power x."""
    cdef ndarray given = PyArray_FROM_OTF(x, NPY_DOUBLE, NPY_ARRAY_CARRAY_RO)
    cdef ndarray found = like(given)
    cdef const double* a = <const double*>PyArray_DATA(given)
    cdef double* b = <double*>PyArray_DATA(found)
    cdef int64_t i, n = PyArray_SIZE(given)
    with nogil:
        for i in range(n):
            b[i] = power_of_e(a[i])
    return found


def log(x):
    """Return the natural logarithm of x, which is above 0."""
    cdef ndarray given = PyArray_FROM_OTF(x, NPY_DOUBLE, NPY_ARRAY_CARRAY_RO)
    cdef ndarray found = like(given)
    cdef const double* a = <const double*>PyArray_DATA(given)
    cdef double* b = <double*>PyArray_DATA(found)
    cdef int64_t i, n = PyArray_SIZE(given)
    with nogil:
        for i in range(n):
            b[i] = log_of(a[i])
    return found


cdef ndarray like(ndarray given):
    return PyArray_EMPTY(PyArray_NDIM(given), PyArray_DIMS(given), NPY_DOUBLE, 0)


# -- DRAWS

cdef bitgen_t* source(bits) except NULL:
    return <bitgen_t*>PyCapsule_GetPointer(bits.capsule, "BitGenerator")


cdef inline double unit(bitgen_t* draw) noexcept nogil:
    return <int64_t>(draw.next_uint64(draw.state) >> 11) * UNIT


def uniform(bits, npy_intp n):
    """Draw n numbers from 0 up to 1 from a bit generator of NumPy, 53 bits each."""
    cdef bitgen_t* draw = source(bits)
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* b = <double*>PyArray_DATA(found)
    cdef npy_intp i
    with nogil:
        for i in range(n):
            b[i] = unit(draw)
    return found


def normal(bits, npy_intp n):
    """Draw n sums of twelve such numbers less six: the first of each, then the next."""
    cdef bitgen_t* draw = source(bits)
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* b = <double*>PyArray_DATA(found)
    cdef double[12] u
    cdef npy_intp i
    cdef int k, _
    if n == 1:
        # Added in the order in which NumPy adds a row: runs stay what they were.
        for k in range(12):
            u[k] = unit(draw)
        b[0] = ((u[0] + u[1]) + (u[2] + u[3])) + ((u[4] + u[5]) + (u[6] + u[7]))
        b[0] = b[0] + u[8] + u[9] + u[10] + u[11] - 6.0
        return found
    with nogil:
        for i in range(n):
            b[i] = unit(draw)
        for _ in range(11):
            for i in range(n):
                b[i] += unit(draw)
        for i in range(n):
            b[i] -= 6.0
    return found
