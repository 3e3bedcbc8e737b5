"""Pictures of replays in which a price is lent on, in seed 0.

Rings and dashed boxes are what really was; the pages name their sources.
"""

from panels import (
    HOUR,
    MINUTE,
    Bar,
    Panel,
    RunOf,
    bars,
    millions,
    series,
    since,
    strips,
    times,
)

from flashwick.engine.pages.plots import DEPTH, FORCED, INDEX, PRICE


def usde_loop(run_of: RunOf) -> str:
    """The same sale under three oracles."""
    span = (0.0, 60.0)
    price = Panel(
        "price of USDe in the pool, USDC", span, 0.0, 1.05, (0, 0.5, 1), height=150
    )
    sold = Panel(
        "liquidated, millions of USDe", span, 0.0, 25e6, (0, 10e6, 20e6), word=millions
    )
    debt = Panel(
        "bad debt, millions of USDC",
        span,
        0.0,
        3.5e6,
        (0, 1e6, 2e6, 3e6),
        word=millions,
    )
    cases = (
        (None, "oracle: the pool", FORCED),
        ("floor-35", "the pool, at least 0.98", INDEX),
        ("peg-35", "one dollar", PRICE),
    )
    for variation, words, color in cases:
        run = run_of(variation)
        price.line(*series(run, "pools.curve.price"), color, words)
        sold.line(*series(run, "lending.market.liquidated"), color)
        debt.line(*series(run, "lending.market.bad_debt"), color)
    return strips(
        "A sale of 35 million USDe under three oracles",
        (price, sold, debt),
        [(at, f"{at} s") for at in range(0, 61, 10)],
        [(10.0, "35 million USDe are sold into the pool")],
    )


def dai(run_of: RunOf) -> str:
    """Who follows whom, and what it costs those who owe DAI."""
    run = run_of(None)
    span = (0.0, 100 * MINUTE)
    price = Panel(
        "price of a DAI, USD", span, 0.98, 1.34, (1, 1.1, 1.2, 1.3), height=200
    )
    price.line(*series(run, "pools.coinbase.price"), FORCED, "Coinbase")
    price.line(*series(run, "feeds.DAI.price"), INDEX, "Compound's")
    price.line(*series(run, "feeds.anchor.price"), PRICE, "its anchor")
    price.line(*series(run, "pools.curve.price"), DEPTH, "Curve")
    price.level(
        1.0833, "an anchor of 1.0833 lets 1.30 pass", time=66 * MINUTE, side="below"
    )
    price.ring(60 * MINUTE, 1.30, "1.30", FORCED)
    repaid = Panel(
        "repaid by liquidators, millions of DAI",
        span,
        0.0,
        110e6,
        (0, 40e6, 80e6),
        word=millions,
    )
    cases = (
        (None, "as it was", FORCED),
        ("narrow-anchor", "anchor of 10 %", INDEX),
        ("median-of-three", "median of three venues", DEPTH),
    )
    for variation, words, color in cases:
        figures = series(run_of(variation), "lending_pools.compound.DAI.repaid")
        repaid.line(*figures, color, words)
    repaid.ring(80 * MINUTE, 85.2e6, "85.2", side="above")
    return strips(
        "DAI at 1.30 on one exchange, and Compound's loans",
        (price, repaid),
        [(minute * MINUTE, f"{minute} min") for minute in range(0, 101, 20)],
        [(20 * MINUTE, "DAI is bought at Coinbase for 40 minutes")],
    )


def mango(run_of: RunOf) -> str:
    """The coin, the profit on paper, and the cash that it can borrow."""
    run = run_of(None)
    start = run.scenario.config.start
    span = (0.0, HOUR)

    def at(time: str) -> float:
        return since(time, start)

    price = Panel(
        "price of a MNGO, USD, logarithmic",
        span,
        0.01,
        2.0,
        (0.01, 0.1, 1),
        logarithmic=True,
        height=140,
    )
    price.line(*series(run, "feeds.MNGO.price"), PRICE)
    price.ring(at("22:29"), 0.91, "0.91", side="above")
    price.ring(HOUR, 0.53 * 0.0382, "47 % below the start", side="above")
    profit = Panel(
        "profit of 483 million contracts, millions of USD",
        span,
        -20e6,
        500e6,
        (0, 200e6, 400e6),
        word=millions,
    )
    time, values = series(run, "feeds.MNGO.price")
    opened = time >= at("22:24")
    profit.line(time[opened], 483e6 * (values[opened] - 0.0382), INDEX)
    profit.ring(at("22:29"), 421.08e6, "421", side="above")
    cash = Panel("USDC, millions", span, 0.0, 150e6, (0, 50e6, 100e6), word=millions)
    cash.line(*series(run, "lending_pools.mango.USDC.cash"), DEPTH, "there to borrow")
    cash.line(*series(run, "wallets.long.USDC"), FORCED, "in the long side's hands")
    cash.ring(at("22:50"), 116.5e6, "116 to 117", side="above")
    return strips(
        "Mango: what a thin coin's profit can borrow",
        (price, profit, cash),
        list(times(span, 10 * MINUTE, start)),
        [
            (at("22:24"), "483 million contracts traded with oneself"),
            (at("22:26"), "4 million dollars buy the coin"),
            (790.0, "as much as goes is borrowed"),
        ],
    )


def bzx(run_of: RunOf) -> str:
    """What a coin cost and what it was lent on, step by step of each transaction."""
    run = run_of(None)
    spent, owed = 5_637.62, 112.0
    bought = run.measure("lending.margin.pledged.end")
    coins, ether = (
        run.measure(f"pools.uniswap.{coin}.start") for coin in ("WBTC", "ETH")
    )
    left = run.measure("wallets.first.ETH.high", window=("00:00:10", "00:00:25"))
    sold = left + 10_000 - (10_000 - 1_300 - 5_500)
    first = (
        Bar("in the pool before", ether / coins, PRICE, 36.55),
        Bar("paid by the short, on average", spent / bought, FORCED, spent / 51.345),
        Bar(
            "in the pool when the lender looks",
            (ether + spent) / (coins - bought),
            INDEX,
        ),
        Bar("got for 112 borrowed ones", sold / owed, DEPTH, 6_871.41 / owed),
        Bar("paid for 112 in the days after", 4_377.72 / owed, PRICE),
    )
    tokens = run.measure("lending.torque.pledged.end")
    start, high = (run.measure(f"pools.susd.price.{end}") for end in ("start", "high"))
    second = (
        Bar("in the pool before", 1_000 * start, PRICE),
        Bar(
            "paid for all of it, on average", 1e3 * (540 + 360 + 3_518) / tokens, FORCED
        ),
        Bar("in the pool when the lender looks", 1_000 * high, INDEX, 2_000 * start),
        Bar("lent on each", 1e3 * 6_796 / tokens, DEPTH),
    )
    return bars(
        "bZx: two prices made for the occasion",
        (
            ("15 February: ether for a bitcoin", first),
            ("18 February: ether for 1,000 sUSD", second),
        ),
    )


def harvest(run_of: RunOf) -> str:
    """Shares on their stairs down, and what each transaction left."""
    run = run_of(None)
    span = (0.0, 520.0)
    shares = Panel(
        "price of a vault's share, of its coin",
        span,
        0.75,
        1.02,
        (0.8, 0.9, 1),
        height=150,
    )
    cases = (("fUSDC", "USDC", PRICE), ("fUSDT", "USDT", DEPTH))
    for vault, _, color in cases:
        shares.line(*series(run, f"vaults.{vault}.share_price"), color, vault)
    shares.ring(12.0, 0.980007, "0.980", PRICE, side="above")
    shares.ring(300.0, 0.834953, "0.835", PRICE, side="above")
    shares.ring(516.0, 0.844812, "0.845", DEPTH, side="above")
    taken = Panel(
        "the attacker's, millions", span, 0.0, 18e6, (0, 5e6, 10e6, 15e6), word=millions
    )
    for _, coin, color in cases:
        taken.line(*series(run, f"wallets.attacker.{coin}"), color, coin)
    taken.ring(310.0, 14_761_898, "14.8", PRICE, side="above")
    taken.ring(510.0, 11_718_914, "11.7", DEPTH, side="below")
    return strips(
        "Harvest: shares at the price that a pool has at the moment",
        (shares, taken),
        [(at, f"{at} s") for at in range(0, 521, 60)],
        [
            (20.0, "17 transactions at the vault of USDC"),
            (330.0, "13 at the vault of USDT"),
        ],
    )
