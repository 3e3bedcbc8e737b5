# What callers from Python pass: whole numbers, or an error that names the place.
# Behaviour is in _arguments.pyx, but for what single calls ask eleven times each.
from ._machine cimport likely
from ._types cimport *

cdef extern from *:
    """
    /* The value of a Python int of one digit that is no bool, else LLONG_MIN. */
    static inline long long fw_small(PyObject* value)
    {
        if (!PyLong_Check(value) || PyBool_Check(value))
            return LLONG_MIN;
    #if PY_VERSION_HEX >= 0x030C0000
        if (PyUnstable_Long_IsCompact((PyLongObject*)value))
            return PyUnstable_Long_CompactValue((PyLongObject*)value);
    #else
        if (Py_SIZE(value) <= 1 && Py_SIZE(value) >= -1)
            return Py_SIZE(value) * (long long)((PyLongObject*)value)->ob_digit[0];
    #endif
        return LLONG_MIN;
    }
    """
    int64_t small "fw_small"(object value) noexcept
    int64_t INT64_MIN
    int64_t INT64_MAX
    int64_t INT32_MIN
    int64_t INT32_MAX
    int64_t UINT8_MAX

cdef int64_t judged(str name, object value, int64_t low, int64_t high) except? -1


cdef inline int64_t bounded(str name, object value, int64_t low,
                            int64_t high) except? -1:
    # Cython itself would cut 99.9 to 99, and name no argument.
    cdef int64_t number = small(value)
    if likely(low <= number <= high and number != INT64_MIN):
        return number
    return judged(name, value, low, high)


cdef inline int64_t whole(str name, object value) except? -1:
    return bounded(name, value, INT64_MIN, INT64_MAX)


cdef inline int32_t whole32(str name, object value) except? -1:
    return <int32_t>bounded(name, value, INT32_MIN, INT32_MAX)


cdef inline uint8_t whole8(str name, object value) except? 255:
    return <uint8_t>bounded(name, value, 0, UINT8_MAX)
