# Curves from a size to US dollars: haircuts, debts, margins.  Python's are in
# margin/schedule.py and margin/curves.py.
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:                       # kinds, and what their rows say
    TIERS_USD = 0                # floor, rate, cum; marginal, in US dollars
    TIERS_QTY = 1                # the same in coins
    SQRT_WEIGHT = 2              # weight, numerator, imf
    SQRT_RATE = 3                # least, base, imf
    LINEAR_RATE = 4              # base, slope
    KINDS = 5

cdef enum:
    SLOTS = 16                   # tiers of a curve that can be remembered

ctypedef struct Row:
    double a
    double b
    double c

ctypedef struct Band:            # a row whose sizes are told by one comparison
    uint64_t least               # bits of the least size in the tier
    uint64_t span                # from there to those of the largest
    double rate
    double cum

ctypedef struct Curve:
    double cap                   # US dollars up to which `rate` is all; -1: never
    double rate
    int64_t first                # its rows; after the last tier one with floor +inf
    uint8_t kind
    uint8_t tiers                # in US dollars, of the first SLOTS; 0: of no such
    bint jumps                   # at floors: all of a size has the last tier's rate


cdef inline double amount(const Curve* curve, const Row* rows, double usd,
                          double atoms, double coin) noexcept nogil:
    # What ``usd``, which are so many atoms of so many coins each, count for.
    cdef const Row* row
    cdef double qty
    if usd <= curve.cap:
        return usd * curve.rate
    row = &rows[curve.first]
    if curve.kind == TIERS_USD:
        while usd > row[1].a:
            row += 1
        return usd * row.b - row.c
    qty = atoms * coin
    if curve.kind == TIERS_QTY:
        if qty == 0:
            return 0
        while qty > row[1].a:
            row += 1
        return usd * row.b - usd / qty * row.c
    if curve.kind == SQRT_WEIGHT:
        return usd * smaller(row.a, row.b / (1 + row.c * sqrt(qty)))
    if curve.kind == SQRT_RATE:
        return usd * larger(row.a, row.b + row.c * sqrt(qty))
    return usd * (row.a + row.b * qty)


cdef inline uint8_t tier_of(const Curve* curve, const Row* rows,
                            double usd) noexcept nogil:
    # Which one it is in; that is remembered with what is valued, since which one it is
    # no processor guesses, and sizes seldom leave theirs.
    cdef int64_t tier = 0
    while tier + 1 < curve.tiers and usd > rows[curve.first + tier + 1].a:
        tier += 1
    return <uint8_t>tier


cdef inline double steepest(const Curve* curve, const Row* rows, double usd,
                            double qty) noexcept nogil:
    # A bound of how much more the curve gives for a dollar more, at sizes up to these.
    # With price p and q coins, every kind but tiers in dollars is p * h(q), h(0) = 0,
    # and this bounds h'(q), therefore h(q) / q too.
    cdef const Row* row = &rows[curve.first]
    cdef double most
    if usd <= curve.cap:
        return curve.rate
    if curve.kind == SQRT_WEIGHT:
        # Where the root decides, h' = n (1 + imf/2 root) / (1 + imf root)^2 is less
        # than n / (1 + imf root), which is less than the weight there.
        return row.a
    if curve.kind == SQRT_RATE:
        return larger(row.a, row.b + 1.5 * row.c * sqrt(qty))
    if curve.kind == LINEAR_RATE:
        return row.a + 2 * row.b * qty
    if curve.kind == TIERS_QTY:
        usd = qty
    most = row.b
    while usd > row[1].a:
        row += 1
        most = INFINITY if curve.jumps else larger(most, row.b)
    return most


cdef inline uint64_t bits(double size) noexcept nogil:
    # Sizes from 0 up are in the order of their bits; those of debts come after all.
    cdef uint64_t out
    memcpy(&out, &size, sizeof(out))
    return out


cdef inline bint inside(const Band* band, double usd) noexcept nogil:
    # Whether a size is in a tier; a debt is in none.
    return bits(usd) - band.least <= band.span


cdef inline Band band_of(const Row* row) noexcept nogil:
    # Above the row's floor, up to the next one.
    cdef uint64_t least = bits(row[0].a) + 1 if row[0].a >= 0 else 0
    return Band(least, bits(row[1].a) - least, row[0].b, row[0].c)


cdef inline double smaller(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b
