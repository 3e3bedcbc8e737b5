# What compiler and allocator offer to all kernels: bit scans, hints, growing memory.
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcpy

cdef extern from *:
    """
    #define fw_lowest(x) ((int64_t)__builtin_ctzll(x))
    #define fw_highest(x) ((int64_t)(63 - __builtin_clzll(x)))
    #define fw_bits_set(x) ((int64_t)__builtin_popcountll(x))
    #define fw_prefetch(p) __builtin_prefetch((p), 1, 3)
    #define fw_prefetch_read(p) __builtin_prefetch((p), 0, 3)
    #define fw_likely(x) __builtin_expect(!!(x), 1)
    #define fw_unlikely(x) __builtin_expect(!!(x), 0)

    /* Arrays that grow lie in pages of 2 MB where the system has them: orders, levels
       and ids are read at random, and the processor's table holds few small pages. */
    #define FW_LARGE (1LL << 19)
    #define FW_PAGE (1LL << 21)
    #define FW_SPAN(bytes) (((bytes) + FW_PAGE - 1) & -FW_PAGE)
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    static inline void* fw_arena(void* old, long long old_bytes, long long bytes)
    {
    #if defined(MADV_HUGEPAGE) && defined(MREMAP_FIXED)
        long long span = FW_SPAN(bytes), slack;
        char *at, *start;
        if (bytes < FW_LARGE)
            return realloc(old, bytes);
        if (old_bytes >= FW_LARGE && FW_SPAN(old_bytes) == span)
            return old;
        at = (char*)mmap(NULL, span + FW_PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == (char*)MAP_FAILED)
            return NULL;
        slack = -(long long)at & (FW_PAGE - 1);
        start = at + slack;
        if (slack)
            munmap(at, slack);
        munmap(start + span, FW_PAGE - slack);
        if (old_bytes >= FW_LARGE) {
            if (mremap(old, FW_SPAN(old_bytes), span, MREMAP_MAYMOVE | MREMAP_FIXED,
                       start) == MAP_FAILED)
                return NULL;
        } else {
            madvise(start, span, MADV_HUGEPAGE);
            if (old != NULL)
                memcpy(start, old, old_bytes);
            free(old);
        }
        return start;
    #else
        return realloc(old, bytes);
    #endif
    }
    static inline void fw_free_arena(void* start, long long bytes)
    {
    #if defined(MADV_HUGEPAGE) && defined(MREMAP_FIXED)
        if (bytes >= FW_LARGE) {
            munmap(start, FW_SPAN(bytes));
            return;
        }
    #endif
        free(start);
    }

    /* Arrays of which little is used, anywhere: what nobody wrote to costs no memory,
       and what grows is copied without it.  Small ones would waste the rest of a page.
       Not mremap: the system holds few mappings, and joins only those never moved. */
    #define FW_SPARSE (1LL << 14)
    #define FW_PIECE 4096
    static inline void fw_free_sparse(void* start, long long bytes)
    {
    #if defined(MADV_NOHUGEPAGE)
        if (bytes >= FW_SPARSE) {
            munmap(start, bytes);
            return;
        }
    #endif
        free(start);
    }
    static inline void* fw_sparse(void* old, long long old_bytes, long long bytes)
    {
        static const char zeros[FW_PIECE];
        char *from = (char*)old, *start;
        long long at, n;
    #if defined(MADV_NOHUGEPAGE)
        if (bytes >= FW_SPARSE) {
            start = (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (start == (char*)MAP_FAILED)
                return NULL;
            madvise(start, bytes, MADV_NOHUGEPAGE);
        } else
    #endif
            start = (char*)calloc(1, bytes);
        if (start == NULL)
            return NULL;
        for (at = 0; at < old_bytes; at += n) {
            n = old_bytes - at < FW_PIECE ? old_bytes - at : FW_PIECE;
            if (memcmp(from + at, zeros, n))
                memcpy(start + at, from + at, n);
        }
        fw_free_sparse(old, old_bytes);
        return start;
    }
    """
    int64_t lowest "fw_lowest"(uint64_t bits) noexcept nogil      # bits is not 0
    int64_t highest "fw_highest"(uint64_t bits) noexcept nogil    # bits is not 0
    int64_t bits_set "fw_bits_set"(uint64_t bits) noexcept nogil
    void prefetch "fw_prefetch"(const void* address) noexcept nogil
    void prefetch_read "fw_prefetch_read"(const void* address) noexcept nogil
    bint likely "fw_likely"(bint condition) noexcept nogil
    bint unlikely "fw_unlikely"(bint condition) noexcept nogil
    void* fw_arena(void* old, long long old_bytes, long long bytes) noexcept nogil
    void free_arena "fw_free_arena"(void* start, long long bytes) noexcept nogil
    void* fw_sparse(void* old, long long old_bytes, long long bytes) noexcept nogil
    void free_sparse "fw_free_sparse"(void* start, long long bytes) noexcept nogil


cdef inline uint64_t below(int64_t bit) noexcept nogil:
    return (<uint64_t>1 << bit) - 1


cdef inline uint64_t above(int64_t bit) noexcept nogil:
    return ~<uint64_t>1 << bit


cdef inline void* grown(void* old, int64_t old_bytes, int64_t bytes) noexcept nogil:
    # Memory for arrays that double outside the hot path; what is new holds zeros.
    cdef void* new = held(calloc(1, bytes), bytes)
    if old != NULL:
        memcpy(new, old, old_bytes)
        free(old)
    return new


cdef inline void* arena(void* old, int64_t old_bytes, int64_t bytes) noexcept nogil:
    # The same for arrays that may become large, what is new holds anything; to be
    # freed by `free_arena`.
    return held(fw_arena(old, old_bytes, bytes), bytes)


cdef inline void* sparse(void* old, int64_t old_bytes, int64_t bytes) noexcept nogil:
    # Zeros where nothing was written, which cost nothing: the tree of a market with
    # prices far apart is megabytes of them; to be freed by `free_sparse`.
    return held(fw_sparse(old, old_bytes, bytes), bytes)


cdef inline void* held(void* new, int64_t bytes) noexcept nogil:
    # Running out in the middle of a match leaves nothing to go on with.
    if new == NULL:
        fprintf(stderr, "flashwick: out of memory, growing to %lld bytes\n",
                <long long>bytes)
        abort()
    return new
