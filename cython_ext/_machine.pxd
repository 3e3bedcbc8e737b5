# What compiler and allocator offer to all kernels: bit scans, hints, growing memory.
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, realloc
from libc.string cimport memset

cdef extern from *:
    """
    #define fw_lowest(x) ((int64_t)__builtin_ctzll(x))
    #define fw_highest(x) ((int64_t)(63 - __builtin_clzll(x)))
    #define fw_bits_set(x) ((int64_t)__builtin_popcountll(x))
    #define fw_prefetch(p) __builtin_prefetch((p), 1, 3)
    #define fw_unlikely(x) __builtin_expect(!!(x), 0)
    """
    int64_t lowest "fw_lowest"(uint64_t bits) noexcept nogil      # bits is not 0
    int64_t highest "fw_highest"(uint64_t bits) noexcept nogil    # bits is not 0
    int64_t bits_set "fw_bits_set"(uint64_t bits) noexcept nogil
    void prefetch "fw_prefetch"(const void* address) noexcept nogil
    bint unlikely "fw_unlikely"(bint condition) noexcept nogil


cdef inline uint64_t below(int64_t bit) noexcept nogil:
    return (<uint64_t>1 << bit) - 1


cdef inline uint64_t above(int64_t bit) noexcept nogil:
    return ~<uint64_t>1 << bit


cdef inline void* stretched(void* old, int64_t bytes) noexcept nogil:
    # Memory for arrays that double outside the hot path; what is new holds anything.
    # Running out in the middle of a match leaves nothing to go on with.
    cdef void* new = realloc(old, bytes)
    if new == NULL:
        fprintf(stderr, "flashwick: out of memory, growing to %lld bytes\n",
                <long long>bytes)
        abort()
    return new


cdef inline void* grown(void* old, int64_t old_bytes, int64_t bytes) noexcept nogil:
    # The same, what is new filled with zeros.
    cdef char* new = <char*>stretched(old, bytes)
    memset(new + old_bytes, 0, bytes - old_bytes)
    return new
