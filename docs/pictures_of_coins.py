"""Pictures of replays in which a coin leaves its dollar, in seed 0.

Rings and dashed boxes are what really was; the pages name their sources.
"""

from panels import (
    DAY,
    HOUR,
    Panel,
    RunOf,
    billions,
    millions,
    power,
    series,
    since,
    strips,
    times,
)

from flashwick.engine.pages.plots import DEPTH, FORCED, INDEX, INK, PRICE, SHOCK


def usdx(run_of: RunOf) -> str:
    """The oracle and the pool, the rate, and what is owed."""
    run = run_of(None)
    start = run.scenario.config.start
    span = (0.0, 8 * HOUR)

    def at(time: str) -> float:
        return since(time, start)

    price = Panel("price of a USDX, USD", span, 0.0, 1.05, (0, 0.5, 1), height=150)
    price.line(*series(run, "feeds.USDX.price"), INDEX, "the lender's oracle")
    price.line(*series(run, "pools.pancake.price"), PRICE, "the pool")
    price.ring(at("09:20"), 0.8572, "0.8572, got by the founder's wallet", side="below")
    price.range(
        (at("14:30"), 8 * HOUR), (0.37, 0.39), "0.37 to 0.39 on the day", side="below"
    )
    owed = Panel(
        "owed to the market, millions of USDT",
        span,
        0.0,
        5.5e6,
        (0, 2e6, 4e6),
        word=millions,
    )
    owed.line(*series(run, "lending.lista.lent"), FORCED, "lent out")
    owed.line(*series(run, "lending.lista.cash"), DEPTH, "cash for lenders who leave")
    owed.ring(at("15:30"), 2_090_459, "2.09 left", side="above")
    rate = Panel(
        "rate of the loan, a year", span, 0.0, 9.0, (0, 4, 8), word="{:.0%}".format
    )
    rate.line(*series(run, "lending.lista.rate"), SHOCK)
    rate.ring(at("09:00"), 8.0, "about 800 %", side="below")
    return strips(
        "USDX: everything is borrowed, a vote, a forced sale",
        (price, owed, rate),
        list(times(span, HOUR, start)),
        [
            (60.0, "all that there is is borrowed at an oracle of 1.00"),
            (at("11:15"), "LIP-022: a vote of an hour"),
            (at("12:15"), "the vote counts: 0.8517"),
        ],
    )


def stream(run_of: RunOf) -> str:
    """The pool far below the oracle; cash leaves; the other coin goes as well."""
    run = run_of(None)
    span = (0.0, 2 * DAY)
    price = Panel("price of an xUSD, USD", span, 0.0, 1.35, (0, 0.5, 1), height=170)
    price.line(*series(run, "feeds.XUSD.price"), INDEX, "the lenders' oracle")
    price.line(*series(run, "pools.xusd.price"), PRICE, "the pool")
    price.range(
        (4 * HOUR, 14 * HOUR),
        (0.23, 0.43),
        "0.43, 0.27, 0.23 within hours",
        side="below",
    )
    price.range((36 * HOUR, 2 * DAY), (0.07, 0.14))
    price.note(36 * HOUR, 0.25, "0.07 to 0.14 in the days after")
    cash = Panel(
        "a market of xUSD, millions of USDC",
        span,
        0.0,
        3.3e6,
        (0, 1e6, 2e6, 3e6),
        word=millions,
    )
    cash.line(*series(run, "lending.other.cash"), DEPTH, "cash")
    cash.line(
        *series(run, "lending.other.shortfall"), FORCED, "what its collateral lacks"
    )
    deusd = Panel("price of a deUSD, USD", span, 0.0, 1.1, (0, 0.5, 1))
    deusd.line(*series(run, "pools.deusd.price"), PRICE)
    deusd.ring(2 * DAY, 0.015, "0.015", side="above")
    return strips(
        "xUSD and deUSD: a price that the lenders' oracle never sees",
        (price, cash, deusd),
        [(hour * HOUR, f"{hour} h") for hour in range(0, 49, 8)],
        [
            (2 * HOUR, "4 November: a loss of 93 million, withdrawals closed"),
            (3 * HOUR, "Stream begins to sell 75 million deUSD"),
        ],
    )


def iron(run_of: RunOf) -> str:
    """TITAN twice, on both scales, how much of it there is, and IRON."""
    run = run_of(None)
    start = run.scenario.config.start
    span = (0.0, 12 * HOUR)

    def at(time: str) -> float:
        return since(time, start)

    titan = Panel("price of a TITAN, USD", span, 0.0, 75.0, (0, 25, 50), height=140)
    titan.line(*series(run, "pools.titan.price"), PRICE, "the pool")
    titan.line(*series(run, "feeds.TITAN.price"), INDEX, "the contract's average")
    titan.ring(at("12:00"), 30, "30", side="below")
    titan.ring(at("13:00"), 52, "52", side="above")
    small = Panel(
        "the same, logarithmic",
        span,
        1e-10,
        1e3,
        (1e-9, 1e-6, 1e-3, 1),
        logarithmic=True,
        word=power,
    )
    small.line(*series(run, "pools.titan.price"), PRICE)
    small.line(*series(run, "feeds.TITAN.price"), INDEX)
    small.level(1e-6, "below a millionth the contract's price is 0: redeeming ends")
    small.range((at("19:30"), 12 * HOUR), (3e-8, 6e-8), "")
    many = Panel(
        "supply of TITAN, logarithmic",
        span,
        1e6,
        1e14,
        (1e7, 1e10, 1e13),
        logarithmic=True,
        word=power,
    )
    many.line(*series(run, "stables.iron.TITAN.supply"), FORCED)
    many.range(
        (at("19:30"), 12 * HOUR), (28e12, 35e12), "28 to 35 trillion", side="below"
    )
    coin = Panel("price of an IRON, USD", span, 0.4, 1.1, (0.5, 0.75, 1), height=140)
    coin.line(*series(run, "pools.iron.price"), DEPTH)
    coin.range((at("19:30"), 12 * HOUR), (0.69, 0.75), "0.69 to 0.75", side="below")
    return strips(
        "Iron: redeeming mints TITAN until it is worth nothing",
        (titan, small, many, coin),
        list(times(span, 2 * HOUR, start)),
        [
            (at("10:00"), "large holders sell TITAN"),
            (at("15:00"), "and again; holders of IRON redeem"),
        ],
    )


def usdc(run_of: RunOf) -> str:
    """Both coins against the worst that one of them can be worth."""
    run = run_of(None)
    span = (0.0, since("23:30", day=1))
    price = Panel("price, USD", span, 0.85, 1.01, (0.85, 0.9, 0.95, 1), height=200)
    price.line(*series(run, "feeds.USDC.price"), PRICE, "USDC")
    price.line(*series(run, "feeds.DAI.price"), INDEX, "DAI")
    price.level(0.9175, "0.9175: all of 3.3 billion lost", time=since("00:00", day=1))
    rings = (
        (0, "03:30", 0.8948, "0.895", "left"),
        (0, "06:30", 0.8774, "0.877", "left"),
        (0, "07:30", 0.8740, "0.874", "below"),
        (0, "14:00", 0.882, "0.882 at Binance", "right"),
        (1, "21:30", 0.97, "0.97", "left"),
        (1, "22:45", 0.9903, "0.990", "left"),
    )
    for day, time, value, words, side in rings:
        price.ring(since(time, day=day), value, words, PRICE, side=side)
    price.ring(since("08:01"), 0.885938, "0.886", INDEX)
    held = Panel(
        "USDC in Maker's module, billions",
        span,
        0.0,
        2.9e9,
        (0, 1e9, 2e9),
        word=billions,
    )
    held.line(*series(run, "stables.maker.held"), DEPTH)
    held.level(2.2e9, "2.2 came in")
    stock = Panel(
        "in the pool, billions",
        span,
        0.0,
        11e9,
        (0, 5e9, 10e9),
        word=billions,
    )
    for coin, color in (("USD", INK), ("USDC", PRICE), ("DAI", INDEX)):
        stock.line(*series(run, f"pools.market.{coin}"), color, coin)
    return strips(
        "USDC below the worst that it can be worth, and DAI with it",
        (price, held, stock),
        [
            (day * DAY + hour * HOUR, f"{('Sat', 'Sun')[day]} {hour:02d}:00")
            for day in (0, 1)
            for hour in range(0, 24, 6)
        ],
        [
            (since("03:11"), "Circle: 3.3 billion are at Silicon Valley Bank"),
            (since("22:15", day=1), "the state pays for all deposits"),
        ],
    )


def terra(run_of: RunOf) -> str:
    """The dollar, its share, and how many of each there are."""
    run = run_of(None)
    start = run.scenario.config.start
    span = (0.0, run.scenario.config.duration)

    def close(day: int) -> float:
        return since("00:00", start, day - 6)

    dollar = Panel("price of a UST, USD", span, 0.0, 1.05, (0, 0.5, 1), height=170)
    dollar.line(*series(run, "feeds.UST.price"), PRICE)
    closes = {8: 0.9964, 9: 0.7934, 10: 0.7999, 11: 0.8011, 12: 0.4086, 13: 0.1540}
    for day, value in closes.items():
        side = "below" if day == 13 else "above"
        dollar.ring(close(day), value, f"{value:.2f}", side=side)
    dollar.ring(since("00:33", start, 3), 0.684, "0.68", side="below")
    dollar.ring(since("07:45", start, 4), 0.2998, "0.30")
    share = Panel(
        "price of a LUNA, USD, logarithmic",
        span,
        1e-5,
        1e3,
        (1e-4, 1e-2, 1, 100),
        logarithmic=True,
        height=140,
    )
    share.line(*series(run, "feeds.LUNA.price"), FORCED)
    prices = {
        7: 68.25,
        8: 64.08,
        9: 32.0,
        10: 17.52,
        11: 1.075,
        12: 0.00417,
        13: 0.000102,
    }
    for day, value in prices.items():
        share.ring(close(day), value)
    many = Panel(
        "supply of LUNA, logarithmic",
        span,
        1e8,
        1e14,
        (1e9, 1e11, 1e13),
        logarithmic=True,
        word=power,
    )
    many.line(*series(run, "stables.market.LUNA.supply"), INDEX)
    supplies = {10: 377.6e6, 11: 1.46e9, 12: 129.85e9, 13: 6.53e12}
    for day, value in supplies.items():
        many.ring(close(day), value)
    left = Panel(
        "supply of UST, billions", span, 0.0, 20e9, (0, 10e9, 20e9), word=billions
    )
    left.line(*series(run, "stables.market.supply"), DEPTH)
    for day, value in {7: 18.77e9, 13: 11.28e9}.items():
        left.ring(close(day), value)
    return strips(
        "Terra: a coin that is redeemed in its own share, to the end",
        (dollar, share, many, left),
        [(close(day), f"{day + 1} May") for day in range(7, 13)],
        [
            (
                6_240.0,
                "7 May, 21:44: 150 million UST leave the pool, 85 million are sold",
            ),
            (
                since("16:13", start, 5),
                "12 May, 16:13: the chain stops, and again at night",
            ),
        ],
    )
