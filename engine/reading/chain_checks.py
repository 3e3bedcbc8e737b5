"""What must hold between the protocols of a scenario and those who use them."""

from collections.abc import Iterator

from ..defi.settings import USERS
from .draft import Draft
from .limits import SECONDS_MAX, STEPS_MAX
from .location import Path
from .place_checks import PLACE_CHECKS, fits, known
from .price_checks import circles_of_feeds
from .structure import Fault, amount
from .user_checks import USER_CHECKS


def chain(draft: Draft) -> Iterator[Fault]:
    """Everything that is wrong with protocols and their users."""
    yield from _clock(draft)
    for table, check in (PLACE_CHECKS | USER_CHECKS).items():
        for path, record in draft.records(table):
            yield from check(draft, path, record)
    yield from _wallets(draft)
    yield from circles_of_feeds(draft)


def _clock(draft: Draft) -> Iterator[Fault]:
    clock, duration = draft.parts.get("chain"), draft.parts.get("duration", 0.0)
    if clock is None:
        return
    if not 1e-3 <= clock.interval <= SECONDS_MAX:
        text = f"must be from 0.001 to {amount(SECONDS_MAX)}"
        yield Fault(("chain", "interval"), f"{text} (got {amount(clock.interval)})")
    elif duration / clock.interval > STEPS_MAX:
        text = f"{duration / clock.interval:.3g} blocks, at most {STEPS_MAX:,}"
        yield Fault(("chain", "interval"), f"{text}; make it longer")
    if clock.order and sorted(clock.order) != sorted(USERS):
        text = f"must name each of {', '.join(USERS)} once"
        yield Fault(("chain", "order"), f"{text} (got {', '.join(clock.order)})")


def _wallets(draft: Draft) -> Iterator[Fault]:
    wallets = draft.parts.get("wallets", {})
    for name, holdings in wallets.items():
        for asset, units in holdings.items():
            path: Path = ("wallets", name, asset)
            yield from known(draft, path, "assets", asset)
            yield from fits(draft, path, asset, units)
