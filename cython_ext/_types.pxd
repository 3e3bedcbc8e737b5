# The C types and numbers shared by the compiled kernels.  Mirrors orderbook/orders.py.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef __int128 fw_int128;
    #define FW_QTY_MAX ((int64_t)1 << 62)
    #define FW_ID_MAX (((int64_t)1 << 32) - 1)
    """
    ctypedef long long int128_t "fw_int128"   # wide enough for price * quantity
    int64_t QTY_MAX "FW_QTY_MAX"              # lots of an order, and of a side
    int64_t ID_MAX "FW_ID_MAX"                # of an order

ctypedef packed struct Message:
    int64_t time
    int64_t order_id
    int64_t price
    int64_t qty
    int64_t cause
    int64_t display              # lots an iceberg shows; 0 = all
    int32_t market
    int32_t account
    int32_t trigger              # price that wakes a dormant order; 0 = enters at once
    uint8_t kind
    uint8_t side
    uint8_t tif
    uint8_t flags

ctypedef packed struct Result:
    int64_t order_id
    int64_t filled
    int64_t open
    int64_t cancelled
    uint8_t accepted
    uint8_t reason
    uint8_t pad[6]

ctypedef packed struct Fill:
    int64_t time
    int64_t cause
    int64_t price
    int64_t qty
    int64_t maker_order
    int64_t taker_order
    int32_t maker
    int32_t taker
    int32_t market
    int32_t message
    uint8_t taker_side
    uint8_t flags                # of the taker
    uint8_t maker_flags
    uint8_t pad[5]

ctypedef packed struct Event:    # what happened to an order not named by a message
    int64_t time
    int64_t cause
    int64_t order_id
    int64_t qty
    int32_t market
    int32_t account
    int32_t message
    uint8_t kind
    uint8_t reason
    uint8_t pad[2]

ctypedef packed struct Delta:    # new total of a level
    int64_t price
    int64_t qty
    int32_t market
    int32_t message
    uint8_t side
    uint8_t pad[7]

cdef enum:
    LIMIT = 0
    MARKET = 1
    CANCEL = 2
    CANCEL_ALL = 3
    REPLACE = 4

cdef enum:
    BUY = 0
    SELL = 1
    BOTH = 2

cdef enum:
    GTC = 0
    IOC = 1
    FOK = 2

cdef enum:
    POST_ONLY = 1
    REDUCE_ONLY = 2
    LIQUIDATION = 4
    SLIDE = 8
    TAKE_PROFIT = 16
    TRIGGER_MARK = 32
    TRIGGER_INDEX = 64
    AUCTION = 128                # of a fill only

cdef enum:
    OPEN = 0
    HALTED = 1
    CALL = 2

cdef enum:
    E_TRIGGERED = 0
    E_REFUSED = 1
    E_CANCELLED = 2

cdef enum:
    STP_NONE = 0
    STP_CANCEL_NEWEST = 1
    STP_CANCEL_OLDEST = 2
    STP_CANCEL_BOTH = 3
    STP_DECREMENT = 4

cdef enum:
    R_OK = 0
    R_UNKNOWN_KIND = 1
    R_UNKNOWN_MARKET = 2
    R_UNKNOWN_ACCOUNT = 3
    R_UNKNOWN_ORDER = 4
    R_DUPLICATE_ID = 5
    R_INVALID_QTY = 6
    R_INVALID_PRICE = 7
    R_INVALID_OPTION = 8
    R_POST_ONLY_WOULD_CROSS = 9
    R_FOK_UNFILLABLE = 10
    R_UNFILLED = 11
    R_PROTECTION_PRICE = 12
    R_PRICE_BAND = 13
    R_SELF_TRADE = 14
    R_REDUCE_ONLY = 15
    R_MARKET_HALTED = 16
    R_OVERFLOW = 17
    R_INSUFFICIENT_MARGIN = 18
    R_ACCOUNT_REDUCE_ONLY = 19
    R_CALL_PHASE = 20
    R_CIRCUIT_BREAKER = 21

cdef enum:
    PRICE_BITS = 30
