"""The single values of a venue's rules, in groups, and how each is read from a file."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from math import inf
from typing import Any

import attrs

from .marks import POLICIES as MARK_POLICIES
from .presets import nearest, shown
from .schedule import Schedule, is_number

STEPS = (
    "cancel_risky",
    "cancel_orders",
    "repay",
    "convert",
    "net_hedges",
    "sell_collateral",
    "reduce_positions",
    "takeover",
    "insurance_fund",
    "adl",
    "claim",
    "socialise",
)
"""The steps a liquidation may take; rules name those it does take, in order."""

PRICE_CAPS = ("bankruptcy", "market")
"""Worst price of a forced order: the bankruptcy price, or whatever is bid."""

COLLATERAL_PRICE_CAPS = ("same", *PRICE_CAPS)
"""Worst price of forced orders in coins: that of positions, or one of their own."""

REPAY_ORDERS = ("pro_rata", "largest", "best_collateral")
"""Which coins pay a debt: all alike, the largest holding, or the highest rate first."""

FUNDS = ("shared", "per_symbol")
"""Whether one insurance fund pays for all markets, or each has its own."""

RESIDUALS = ("claim", "socialise", "negative_fund")
"""Who bears what is owed in the end: the user, all users, or the fund."""

RATIOS = ("equity/maintenance", "maintenance/equity", "equity/notional")
"""What a venue shows as the ratio of an account."""

MARGIN_AT = ("index", "ask")
"""What margins are converted to US dollars at: the index, or what a debt weighs."""

INITIALS = ("maintenance", "leverage")
"""Where initial margins come from that no table gives."""

WITHDRAW_ON = ("maintenance", "initial")
"""Which margin has to stay in an account that takes money out."""

ADL_TRIGGERS = ("fund_negative", "fund_drawdown", "equity_negative")
"""What starts auto-deleveraging; see `Adl`."""

RANKINGS = ("binance", "bitmex", "bybit", "okx", "hyperliquid", "ftx", "dydx")
"""Who is deleveraged first."""

ALLOCATIONS = (
    "queue",
    "contracts_pro_rata",
    "pnl_pro_rata",
    "equity_pro_rata",
    "random",
)
"""How much each of them gives up."""

ADL_PRICES = ("bankruptcy", "bankruptcy_near_mark", "mark", "zero_price_mix")
"""What auto-deleveraging trades at."""


# -- READING -----------------------------------------------------------------------

Parse = Callable[[object], Any]


NUMBER_MAX = 1e12
"""Largest number of a rule: with it, sums of money stay what a float can tell."""

SECONDS_MAX = 1e9
"""Longest time of a rule, 31 years: an int64 holds it in nanoseconds."""

COUNT_MAX = 1_000_000
"""Largest count of a rule."""


def _from(least: float, most: float, what: str = "a number") -> Parse:
    """A number between the two, or one of them."""

    def parse(value: object) -> float:
        if not is_number(value) or not least <= value <= most:
            text = f"must be {what} from {least:g} to {most:g}"
            raise ValueError(f"{text} (got {shown(value)})")
        return float(value)

    return parse


def _above(least: float, most: float, what: str = "a number") -> Parse:
    """A number between the two, or the larger of them."""

    def parse(value: object) -> float:
        if not is_number(value) or not least < value <= most:
            text = f"must be {what} above {least:g} and at most {most:g}"
            raise ValueError(f"{text} (got {shown(value)})")
        return float(value)

    return parse


number = _from(0.0, NUMBER_MAX)
positive = _above(0.0, NUMBER_MAX)
share = _above(0.0, 1.0)
_seconds = _above(0.0, SECONDS_MAX, "seconds")
_rest = _from(0.0, SECONDS_MAX, "seconds")


def haircut(value: object) -> float:
    """A share of a value that is lost, less than all of it."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        raise ValueError(f"must be a number from 0 to below 1 (got {shown(value)})")
    return float(value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false (got {shown(value)})")
    return value


def or_none(parse: Parse) -> Parse:
    """What ``parse`` reads, or None, which a file writes as 'none'."""

    def read(value: object) -> Any:
        if value is None or value == "none":
            return None
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(str(error).replace(" (got", ", or 'none' (got")) from None

    return read


def _ppm(value: object) -> int:
    # Negative: a rebate, as makers get on many venues.
    if type(value) is not int or not -1_000_000 < value < 1_000_000:
        raise ValueError(
            f"must be a whole number of parts per million (got {shown(value)})"
        )
    return value


def _fee_ppm(value: object) -> int:
    # The fund gets it, and has no say in what it would pay.
    if type(value) is not int or not 0 <= value < 1_000_000:
        raise ValueError(
            "must be a whole number of parts per million, at least 0, below 1,000,000 "
            f"(got {shown(value)})"
        )
    return value


def _whole(what: str) -> Parse:
    """A whole number from 1 up."""

    def parse(value: object) -> int:
        if type(value) is not int or not 1 <= value <= COUNT_MAX:
            text = f"must be a whole number{what}, from 1 to {COUNT_MAX:,}"
            raise ValueError(f"{text} (got {shown(value)})")
        return value

    return parse


def choice(words: Sequence[str]) -> Parse:
    """One of the words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(
                f"must be one of {', '.join(words)} (got {shown(value)})"
                + nearest(value, words)
            )
        return value

    return parse


def _steps(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"must be a list of steps (got {shown(value)})")
    steps = tuple(map(choice(STEPS), value))
    for i, step in enumerate(steps):
        if step in steps[:i]:
            raise ValueError(f"must name each step once (got {step!r} again)")
    return steps


def _slices(value: object) -> Schedule:
    """A share for all sizes, or rows of a size in US dollars and the share above it."""
    if is_number(value):
        return Schedule((0.0,), (share(value),), marginal=False)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        text = "must be a share or rows of [floor in USD, share]"
        raise ValueError(f"{text} (got {shown(value)})")
    for row in value:
        if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 2:
            raise ValueError(
                f"must have rows of [floor in USD, share] (got {shown(row)})"
            )
        if not is_number(row[0]) or not is_number(row[1]) or not 0.0 < row[1] <= 1.0:
            text = "must have floors that are numbers, and shares above 0 and at most 1"
            raise ValueError(f"{text} (got {shown(row)})")
    return Schedule(*zip(*value, strict=True), marginal=False)


def _param(parse: Parse, **more: Any) -> Any:
    return attrs.field(metadata={"parse": parse}, **more)


# -- GROUPS ------------------------------------------------------------------------


class State(IntEnum):
    """What an account may do, from its health."""

    HEALTHY = 0
    WARN = 1
    REDUCE_ONLY = 2
    LIQUIDATE = 3


@attrs.frozen(kw_only=True)
class Account:
    """How an account is valued and what it may take out."""

    withdraw_multiple: float = _param(number)
    """Multiple of the margin that has to stay in the account."""

    withdraw_on: str = _param(choice(WITHDRAW_ON))

    lends: bool = _param(flag)
    """Whether a spot order may pay with coins that the account does not have."""

    open_loss: bool = _param(flag)
    """Whether what open orders would lose counts as lost."""

    margin_at: str = _param(choice(MARGIN_AT))
    initial: str = _param(choice(INITIALS))
    fee_in_margin: float = _param(haircut)
    """Share of a position's notional that its margin holds for the liquidation fee."""

    def max_withdraw(self, equity: float, margin: float) -> float:
        """Most US dollars an account can take out.

        Adjusted equity and margin are of the set that ``withdraw_on`` names.

        Source: https://www.binance.com/en/support/faq/446ce2c3357a449599c82436078b0e3b
        """
        return max(equity - self.withdraw_multiple * margin, 0.0)


@attrs.frozen(kw_only=True)
class Ratio:
    """How the venue shows the health of an account."""

    kind: str = _param(choice(RATIOS))
    percent: bool = _param(flag)

    def __call__(self, adjusted: float, maintenance: float, notional: float) -> float:
        """The number shown; infinite where nothing is to be divided by.

        A negative equity under a margin is shown as infinite usage.

        >>> Ratio(kind="equity/maintenance", percent=False)(21_616.0, 3_978.4, 0.0)
        5.433340036195455
        """
        over, under = {
            "equity/maintenance": (adjusted, maintenance),
            "maintenance/equity": (maintenance, max(adjusted, 0.0)),
            "equity/notional": (adjusted, notional),
        }[self.kind]
        if under > 0.0:
            return over / under
        if self.kind == "maintenance/equity":
            return inf if over > 0.0 or adjusted < 0.0 else 0.0
        return inf if over >= 0.0 else -inf

    def text(self, value: float) -> str:
        """The number as the venue writes it.

        >>> Ratio(kind="maintenance/equity", percent=True).text(0.4798)
        '47.98%'
        """
        if abs(value) == inf:
            return "∞" if value > 0 else "-∞"
        return f"{100.0 * value:.2f}%" if self.percent else f"{value:.4g}"


@attrs.frozen(kw_only=True)
class Thresholds:
    """Healths (adjusted equity over maintenance margin) that change the state."""

    warn: float = _param(number)
    reduce_only: float = _param(number)
    liquidate: float = _param(positive)
    order: float = _param(number)
    """Health, on the opening set, that an order must leave."""

    takeover: float | None = _param(or_none(number))
    """Health at which the venue takes the account over; None for never."""

    takeover_gap: float | None = _param(or_none(positive))
    """Share of the notional that the margin may lie above the equity before that."""

    def state(self, health: float) -> State:
        """The state of an account of this health.

        >>> from .rules import Rules
        >>> Rules.preset("binance-pm").thresholds.state(1.2).name
        'REDUCE_ONLY'
        """
        if health <= self.liquidate:
            return State.LIQUIDATE
        if health <= self.reduce_only:
            return State.REDUCE_ONLY
        return State.WARN if health <= self.warn else State.HEALTHY

    def takeover_health(self, maintenance: float, notional: float) -> float | None:
        """Health below which an account of this margin is taken over; None for never.

        FTX closed accounts below ``max(MMF / 2, MMF - 6 %)`` of the notional, which is
        a health of ``max(1/2, 1 - 6 % * notional / maintenance)``.

        Source: https://help.ftx.com/hc/en-us/articles/360027668712 (archived)
        """
        if self.takeover is None or self.takeover_gap is None or maintenance <= 0.0:
            return self.takeover
        gap = self.takeover_gap * notional / maintenance
        return max(self.takeover, 1.0 - gap)


@attrs.frozen(kw_only=True)
class Fees:
    """Parts per million of a trade's notional; negative pays the account."""

    spot_maker_ppm: int = _param(_ppm)
    spot_taker_ppm: int = _param(_ppm)
    perpetual_maker_ppm: int = _param(_ppm)
    perpetual_taker_ppm: int = _param(_ppm)
    liquidation_ppm: int = _param(_fee_ppm)
    """On forced trades, to the insurance fund, beside the taker fee."""


@attrs.frozen(kw_only=True)
class Interest:
    """What a negative balance costs."""

    daily_rate: float = _param(number)
    threshold_usd: float = _param(number)

    def due(self, balance_usd: float) -> float:
        """US dollars a balance is charged at 00:00 UTC.

        Source: https://www.binance.com/en/support/faq/c1df531bb7c44ea2a10919a74fd84f5e
        """
        return abs(min(balance_usd + self.threshold_usd, 0.0)) * self.daily_rate


@attrs.frozen(kw_only=True)
class Funding:
    """When and what longs and shorts of a perpetual pay each other.

    The rate of an interval is ``premium + clamp(interest - premium, -damper, damper)``.
    """

    interval_s: float = _param(_seconds)
    interest: float = _param(number)
    """Rate of an interval that the premium is drawn to."""

    damper: float = _param(number)
    """How far the rate follows the interest away from the premium."""

    cap: float | None = _param(or_none(positive))
    """Largest rate of an interval, either way; None for any."""


@attrs.frozen(kw_only=True)
class Mark:
    """How mark prices are made; see `margin.marks`."""

    policy: str = _param(choice(MARK_POLICIES))
    samples: int = _param(_whole(""))
    """Of mid less index, whose mean is the basis."""

    sample_s: float = _param(_seconds)
    """Seconds between two of them."""

    basis_s: float = _param(_seconds)
    """Time constant of an exponential mean of the basis, seconds."""


@attrs.frozen(kw_only=True)
class Liquidation:
    """How an account is liquidated."""

    steps: tuple[str, ...] = _param(_steps)
    rate_limit: int | None = _param(or_none(_whole(" of orders a second")))
    """Most liquidation orders a second over all accounts; None for no limit."""

    slice: Schedule = _param(_slices)  # noqa: RUF009 (a Schedule is frozen)
    """Share of each holding sold in one cycle, by its size in US dollars."""

    cycle_s: float = _param(_seconds)
    """Seconds between two scans."""

    target_health: float = _param(number)
    """Health at which a liquidation stops."""

    price_cap: str = _param(choice(PRICE_CAPS))
    """Worst price at which a position is closed."""

    collateral_price_cap: str = _param(choice(COLLATERAL_PRICE_CAPS))
    """Worst price at which a coin is sold, or one that is owed bought."""

    book_share: float | None = _param(or_none(share))
    """Largest share of the depth within 1 % of the best that an order takes."""

    cooldown_s: float = _param(_rest)
    """Seconds an account is left alone after a first part of a large liquidation."""

    cooldown_above_usd: float = _param(number)
    step_down: bool = _param(flag)
    """Whether a position is reduced to its next lower bracket, not by a slice."""

    partial: bool = _param(flag)
    """Whether a position is reduced only by what restores the target health."""

    repay_order: str = _param(choice(REPAY_ORDERS))
    fund: str = _param(choice(FUNDS))
    residual: str = _param(choice(RESIDUALS))

    def capped(self, perpetual: bool) -> bool:
        """Whether orders in such markets go no further than the bankruptcy price."""
        own = self.price_cap if perpetual else self.collateral_price_cap
        return (self.price_cap if own == "same" else own) == "bankruptcy"

    def share_of(self, usd: float) -> float:
        """The share of a holding of this size that goes in a cycle."""
        return self.slice.rates[self.slice.tier_at(usd)]


@attrs.frozen(kw_only=True)
class Adl:
    """How winners are deleveraged where nobody else takes a loser's position.

    ``fund_negative`` starts it when the fund cannot pay, ``fund_drawdown`` when the
    fund fell by the share ``drawdown`` from its highest of the last ``window_s``
    seconds, ``equity_negative`` as soon as an account owes more than it has.
    """

    trigger: str = _param(choice(ADL_TRIGGERS))
    drawdown: float = _param(share)
    window_s: float = _param(_seconds)
    ranking: str = _param(choice(RANKINGS))
    allocation: str = _param(choice(ALLOCATIONS))
    price: str = _param(choice(ADL_PRICES))
    cancels_orders: bool = _param(flag)
    """Whether the orders of who is deleveraged in a market are cancelled."""


GROUPS: Mapping[str, type] = {
    "account": Account,
    "ratio": Ratio,
    "thresholds": Thresholds,
    "fees": Fees,
    "interest": Interest,
    "funding": Funding,
    "mark": Mark,
    "liquidation": Liquidation,
    "adl": Adl,
}
