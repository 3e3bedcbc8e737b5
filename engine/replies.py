"""What the books answered: messages counted by class, kind and reason."""

from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Flag, Kind, Reason
from .stream_rows import StreamError

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run

VENUE = "liquidation engine"
"""Who sends the orders of the liquidation engine, whosever account they are of."""


def replies(run: "Run") -> "pa.Table":
    """Messages by class, kind and reason, the most frequent first. O(messages).

    The reason is ``ok``, why a message was refused, or why the rest of an accepted
    order was cancelled.
    """
    import pyarrow as pa

    if run.log.traded:
        raise StreamError(
            "the run kept only the messages that traded; run it with record.messages "
            "= 'all' to count the replies to all"
        )
    _, rows, results = run.log.messages()
    classes = [*run.names.classes, VENUE]
    forced = (rows["flags"] & int(Flag.LIQUIDATION)) > 0
    accounts = np.clip(rows["account"], 0, len(run.names.account_class) - 1)
    who = np.where(forced, len(classes) - 1, run.names.account_class[accounts])
    shape = len(classes), len(Kind), 2, len(Reason)
    cells = who, rows["kind"], results["accepted"] > 0, results["reason"]
    numbers = np.ravel_multi_index([np.asarray(c, np.int64) for c in cells], shape)
    found, counts = np.unique(numbers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    group, kind, accepted, reason = np.unravel_index(found[order], shape)
    return pa.table(
        {
            "class": [classes[i] for i in group.tolist()],
            "kind": [Kind(i).name.lower() for i in kind.tolist()],
            "accepted": [bool(i) for i in accepted.tolist()],
            "reason": [Reason(i).name.lower() for i in reason.tolist()],
            "messages": counts[order],
        }
    )
