# The sums of large accounts.  Behaviour is in _seats.pyx.
from ._skipping cimport *

cdef enum:
    SEATS = 256                  # accounts whose sums are kept
    MANY = 16                    # rows of an account from which they are
    UPDATES = 1 << 16            # of sums, until rounding makes them anew

ctypedef struct Coin:            # a balance, as it was summed
    double amount                # atoms
    double profit                # of positions settled in it
    double worth                 # USD that it counts for, less a multiple of its margin
    double out                   # atoms that leave if all orders fill
    double into                  # atoms that come
    double least                 # of what is had: the bounds that `cost` and `gain`
    double most                  # hold for, as the two below
    double most_out
    double most_into
    double cost                  # what a dollar that leaves takes of worth, at most
    double gain                  # what one that comes adds, at least

ctypedef struct Held:            # a position
    double profit
    double loss                  # USD: a multiple of its margin, and its orders' loss

ctypedef struct Placed:          # orders of a market
    Resting orders
    double loss                  # of spot orders

ctypedef struct Seat:            # of an account: all that rests and is held, summed
    int64_t account              # -1: of none
    int64_t epoch                # of the prices
    double slack                 # worth less losses: no more than the judgement finds
    double size                  # the same without signs
    double largest               # that was since all was summed: rounding is of it
    Coin* coins
    Held* held
    Placed* placed
    int n_coins
    int n_held
    int n_placed
    int coins_max
    int held_max
    int placed_max
    int left                     # updates until it is summed anew

cdef class Seats(Skipping):
    cdef public double order_health      # an order must leave at least this health
    cdef public bint following           # keep the sums of large accounts
    cdef Seat* seats
    cdef int64_t epoch                   # of prices
    cdef double multiple                 # that the seats' sums are for
    cdef bint concave                    # curves are such that the sums are a bound

    # -- QUERIES
    cdef bint has(self, int64_t account, int row, double atoms) noexcept nogil
    cdef double value_of(self, double atoms, const Asset* asset) noexcept nogil
    cdef double spot_loss(self, const Seat* seat, const Resting* orders) noexcept nogil
    cdef double held_loss(self, const Seat* seat, int row,
                          const Resting* new) noexcept nogil

    cdef inline double own_loss(self, const Seat* seat,
                                const Resting* order) noexcept nogil
    cdef inline double paid_by(self, const Resting* orders) noexcept nogil

    # -- COMMANDS
    cdef inline void resize(self, Seat* seat, double by) noexcept nogil
    cdef int prepare_seats(self, terms) except -1
    cdef int new_seats(self) except -1
    cdef int visit(self, State state) except -1
    cdef bint passes(self, int64_t account, const Resting* order) noexcept nogil
    cdef void read_changes(self) noexcept nogil
    cdef void sit(self, Seat* seat, int64_t account, const Resting* new) noexcept nogil
    cdef void make_room(self, Seat* seat) noexcept nogil
    cdef void append(self, Seat* seat) noexcept nogil
    cdef bint bear(self, Seat* seat, const Resting* new) noexcept nogil
    cdef bint fit(self, Seat* seat, int row, double out, double into) noexcept nogil
    cdef void widen(self, Coin* coin, const Asset* asset, double out,
                    double into) noexcept nogil
    cdef void set_worth(self, Seat* seat, int row) noexcept nogil
    cdef void set_held(self, Seat* seat, int row) noexcept nogil
    cdef void set_placed(self, Seat* seat, int row) noexcept nogil
    cdef void count(self, Seat* seat, Placed* placed, int sign) noexcept nogil
