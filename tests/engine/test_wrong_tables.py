"""Each thing that can be wrong with a scenario file: where it is, and what is said."""

from pathlib import Path

import pytest
from scenario_text import MINI, faults, problems_of

WRONG = [
    # Keys and types.
    ("duration = 10", "duratoin = 10", "duratoin", "did you mean 'duration'?"),
    ("duration = 10", "duratoin = 10", "duration", "is missing"),
    ("duration = 10", "duration = 'ten'", "duration", "a number (got 'ten')"),
    ("duration = 10", "duration = true", "duration", "a number (got True)"),
    ("duration = 10", "duration = nan", "duration", "a finite number (got nan)"),
    ("duration = 10", "duration = inf", "duration", "a finite number (got inf)"),
    ("duration = 10", "duration = -inf", "duration", "a finite number (got -inf)"),
    ("duration = 10", "duration = 0", "duration", "must be above 0 (got 0)"),
    ("duration = 10", "duration = 1e300", "duration", "must be at most 1e15"),
    (
        "duration = 10",
        "duration = 1e10",
        "duration",
        "1,000,000,000 (got 10,000,000,000)",
    ),
    ("duration = 10", f"duration = 1{400 * '0'}", "duration", "must be at most 1e15"),
    ("duration = 10", "duration = 2025-10-10", "duration", "must be a number"),
    ("seeds = 2", "seeds = 2.0", "seeds", "whole number (got 2.0); write 2"),
    ("seeds = 2", "seeds = 0", "seeds", "must be above 0 (got 0)"),
    ('name = "mini"', "name = 3", "name", 'must be text in quotes (got 3); write "3"'),
    ("decimals = 6", "decimals = 13", "assets.ATOM.decimals", "at most 12 (got 13)"),
    ("decimals = 6", "decimal = 6", "assets.ATOM.decimal", "did you mean 'decimals'?"),
    (
        "[gateway]",
        "[[gateway]]",
        "gateway",
        "table of rate, latency, jitter, queue, cancels_first (got [{",
    ),
    (
        'leverage = { kind = "fixed", value = 3 }',
        "leverage = 8",
        "population.crowd.leverage",
        "table of kind, value, least, most, median, spread, exponent (got 8)",
    ),
    ("[market_makers.alpha]", "[[market_makers]]", "market_makers", "a table (got ["),
    ("[gateway]", "[gatway]", "gatway", "did you mean 'gateway'?"),
    ("count = 2", "count = '2'", "market_makers.alpha.count", "whole number (got '2')"),
    ("over = 1.0", "open = 1", "shocks.1.open", "must be true or false (got 1)"),
    ("band = [1.0, 4.0]", "band = [1.0]", "targets.0.band", "a list of 2 (got [1.0])"),
    ("band = [1.0, 4.0]", "band = 1.0", "targets.0.band", "must be a list (got 1.0)"),
    (
        "collateral = { WBETH = 0.5 }",
        "collateral = { WBETH = '0.5' }",
        "market_makers.alpha.collateral.WBETH",
        "must be a number (got '0.5')",
    ),
    (
        '"market_makers.*.withdraw" = false',
        "calm = 3",
        "variations.calm.calm",
        "'calm' is not a key",
    ),
    (
        "[variations.calm]",
        "[variations]",
        'variations."market_makers.*.withdraw"',
        "must be a table (got False)",
    ),
    # Assets and markets.
    ("[assets.ATOM]", "[assets.atom]", "assets.atom", "write capitals and digits"),
    (
        "price = 4.0",
        "price = 4.0\nfollows = 'ETC'",
        "assets.ATOM.follows",
        "'ETC' is not an asset of the scenario; did you mean 'ETH'?",
    ),
    (
        "ETH = { price = 4000.0",
        "ETH = { follows = 'WBETH', price = 4000.0",
        "assets.ETH.follows",
        "must not lead back to itself (got ETH -> WBETH -> ETH)",
    ),
    (
        '[markets."ATOM/USDT"]',
        '[markets."ATOM-USDT"]',
        "markets.ATOM-USDT",
        "write BASE/QUOTE or BASE/QUOTE:PERP",
    ),
    (
        '[markets."WBETH/USDT:PERP"]',
        '[markets."WBETH/USDC:PERP"]',
        'markets."WBETH/USDC:PERP"',
        "'USDC' is not an asset of the scenario; did you mean 'USDT'?",
    ),
    (
        '[markets."WBETH/USDT:PERP"]',
        '[markets."ETH/ETH"]',
        'markets."ETH/ETH"',
        "base and quote must be two different assets",
    ),
    (
        'tick = "0.001"',
        'tick = "0.0000001"',
        'markets."ATOM/USDT".tick',
        "tick 1e-07 x lot 0.01 is no whole number of atoms of USDT (8 decimals)",
    ),
    (
        'lot = "0.01"',
        'lot = "0.0000001"',
        'markets."ATOM/USDT".lot',
        "a lot of 1e-07 is no whole number of atoms of ATOM (6 decimals)",
    ),
    ('tick = "0.001"', 'tick = "0"', 'markets."ATOM/USDT".tick', "must be above 0"),
    ('tick = "0.001"', 'tick = "-1"', 'markets."ATOM/USDT".tick', "must be above 0"),
    ('tick = "0.001"', "tick = 0.001", 'markets."ATOM/USDT".tick', 'write "0.001"'),
    ('tick = "0.001"', 'tick = "1e99999999"', 'markets."ATOM/USDT".tick', "decimal"),
    ('tick = "0.001"', 'tick = "NaN"', 'markets."ATOM/USDT".tick', "decimal number"),
    (
        'tick = "0.001"',
        'tick = "10"',
        'markets."ATOM/USDT".tick',
        "make the tick finer",
    ),
    (
        "price = 4.0",
        "price = 1e9",
        'markets."ATOM/USDT".tick',
        "is 1e+12 ticks of 0.001, must be 1 to 1,073,741,823; make the tick coarser",
    ),
    (
        'last = "4300.00"',
        'last = "4300.005"',
        'markets."WBETH/USDT".last',
        "must be a multiple of 0.01",
    ),
    (
        'last = "4300.00"',
        "price_band = 0",
        'markets."WBETH/USDT".price_band',
        "must be at least 1e-06 (got 0); leave it out for no band",
    ),
    # Index rules.
    (
        'policy = "redemption"',
        'policy = "redemtion"',
        "oracles.WBETH.policy",
        "'redemtion' is not a policy; did you mean 'redemption'?",
    ),
    ('policy = "redemption"', 'polcy = "fixed"', "oracles.WBETH.sources", "one"),
    (
        "[oracles.WBETH]",
        "[oracles.WBTH]",
        "oracles.WBTH",
        "'WBTH' is not an asset of the scenario; did you mean 'WBETH'?",
    ),
    (
        'underlying = "ETH"',
        'underlying = "ETC"',
        "oracles.WBETH.underlying",
        "did you mean 'ETH'?",
    ),
    (
        'underlying = "ETH"',
        'underlying = "WBETH"',
        "oracles.WBETH",
        "index depends on itself: WBETH -> WBETH",
    ),
    (
        "[oracles.WBETH]",
        "[oracles.ETH]\npolicy='redemption'\nratio=1\nunderlying='WBETH'\n[oracles.WBETH]",
        "oracles.ETH",
        "index depends on itself: ETH -> WBETH -> ETH",
    ),
    ("ratio = 1.075", "ratio = -1", "oracles.WBETH.ratio", "must be a number above 0"),
    # Rules.
    (
        "[gateway]",
        "[rules]\npreset = 'binance-mp'\n[gateway]",
        "rules.preset",
        "did you mean 'binance-pm'?",
    ),
    (
        "[gateway]",
        "[rules.liquidation]\nrate_limt = 5\n[gateway]",
        "rules.liquidation.rate_limt",
        "did you mean 'rate_limit'?",
    ),
    (
        "[gateway]",
        "[rules.collateral]\nWBTH = 0.5\n[gateway]",
        "rules.collateral.WBTH",
        "did you mean 'WBETH'?",
    ),
    (
        "[gateway]",
        "[rules.liquidation]\ncycle_s = 1e-9\n[gateway]",
        "rules.liquidation.cycle_s",
        "must be from 1e-06 to 1,000,000,000 (got 1e-09)",
    ),
    # Participants.
    (
        'markets = ["ATOM/USDT", "WBETH/USDT"]',
        'markets = ["ATOM/USDT", "WBTH/USDT"]',
        "market_makers.alpha.markets.1",
        "'WBTH/USDT' is not a market of the scenario; did you mean 'WBETH/USDT'?",
    ),
    (
        'markets = ["ATOM/USDT", "WBETH/USDT"]',
        'markets = ["ATOM/USDT", "ATOM/USDT"]',
        "market_makers.alpha.markets.1",
        "'ATOM/USDT' is named twice",
    ),
    (
        'markets = ["ETH/USDT:PERP"]',
        'markets = ["ATOM/USDT"]',
        "traders.perps.markets.0",
        "'ATOM/USDT' is not a perpetual",
    ),
    (
        'markets = ["ETH/USDT:PERP"]',
        "markets = []",
        "traders.perps.markets",
        "must name at least one market",
    ),
    (
        "collateral = { WBETH = 0.5 }",
        "collateral = { WBETC = 0.5 }",
        "market_makers.alpha.collateral.WBETC",
        "did you mean 'WBETH'?",
    ),
    (
        "collateral = { WBETH = 0.5 }",
        "collateral = { WBETH = -0.5 }",
        "market_makers.alpha.collateral.WBETH",
        "must be at least 0 (got -0.5)",
    ),
    (
        "inventory = { WBETH = 0.1 }",
        "inventory = { ATOM = 0.1 }",
        "market_makers.alpha.inventory.ATOM",
        "needs the market ATOM/USDT:PERP to hedge in; add it, or set hedge to 0",
    ),
    (
        "assets = { ATOM = 1e6 }",
        "assets = { ETH = 1e6 }",
        "holders.atom.assets.ETH",
        "needs the market ETH/USDT to sell in",
    ),
    (
        "[stale_bids.old]",
        "[stale_bids.old]\nfarthest = 0.1",
        "stale_bids.old.farthest",
        "must be above nearest, 0.15, and below 1 (got 0.1)",
    ),
    (
        "withdraw_at = 1.3",
        "reach = 0.0004",
        "market_makers.beta.reach",
        "must be above half_spread_bp, 0.0005 (got 0.0004)",
    ),
    (
        "latency = { market_makers = 0.002 }",
        "latency = { market_maker = 0.002 }",
        "gateway.latency.market_maker",
        "did you mean 'market_makers'?",
    ),
    (
        "latency = { market_makers = 0.002 }",
        "latency = { market_makers = -1 }",
        "gateway.latency.market_makers",
        "must be from 0 to 1,000,000,000 (got -1)",
    ),
    # Orders.
    (
        '["3.9", "100"]',
        '["3.9005", "100"]',
        "ladders.0.orders.1",
        "'price' must be a multiple of 0.001",
    ),
    (
        '["3.9", "100"]',
        '["3.9", "100.001"]',
        "ladders.0.orders.1",
        "'qty' must be a multiple of 0.01",
    ),
    ('["3.9", "100"]', '["3.9"]', "ladders.0.orders.1", "must be a list of 2"),
    ('side = "buy"', 'side = "bid"', "ladders.0.side", "must be one of buy, sell"),
    (
        '    ["3.998", "10.5"],\n    ["3.9", "100"],\n]',
        '["4","1"]]\n[[ladders]]\nmarket="ATOM/USDT"\nside="sell"\norders=[["3","1"]]',
        "ladders.1.orders",
        "bid 4 is not below ask 3 of ATOM/USDT",
    ),
    ("at = 2.0", "at = 11.0", "shocks.1.at", "at most the duration, 10 (got 11)"),
    (
        "duration = 10",
        "duration = 0.5",
        "shocks.0.at",
        "at most the duration, 0.5 (got 1); so must that of 1 more",
    ),
    ("at = 2.0", "at = -1", "shocks.1.at", "must be at least 0 (got -1)"),
    ("usd = 50_000.0", "", "shocks.1", "must have either qty or usd (got neither)"),
    (
        "usd = 50_000.0",
        "usd = 50_000.0\nqty = '1'",
        "shocks.1",
        "must have either qty or usd (got both)",
    ),
    ("usd = 50_000.0", "qty = '0.00001'", "shocks.1.qty", "a multiple of 0.0001"),
    ("usd = 50_000.0", "usd = 0.1", "shocks.1.usd", "must be at least a lot, 0.43"),
    ("usd = 50_000.0", "usd = 1", "shocks.1.slices", "the 2 lots of the order (got 4)"),
    (
        "withdraw_at = 1.3",
        'scale = { "ATOM/USDT" = 0 }',
        "market_makers.beta.scale.ATOM/USDT",
        "must be above 0 (got 0); take the market out of markets",
    ),
    (
        "withdraw_at = 1.3",
        'scale = { "ATM/USDT" = 2 }',
        "market_makers.beta.scale.ATM/USDT",
        "is not one of these makers' markets; did you mean 'ATOM/USDT'?",
    ),
    (
        "slices = 4",
        "move = -0.1",
        "shocks.1.move",
        "does not apply to a shock of kind 'order'",
    ),
    (
        'kind = "order"\nmarket = "ATOM/USDT"\nusd = 100_000.0',
        'kind = "outside"\nasset = "ATM"\nmove = -0.1',
        "shocks.0.asset",
        "'ATM' is not an asset of the scenario; did you mean 'ATOM'?",
    ),
    (
        'kind = "order"\nmarket = "ATOM/USDT"\nusd = 100_000.0',
        'kind = "transfers"',
        "shocks.0.open",
        "must be given for a shock of kind 'transfers'",
    ),
    (
        'kind = "order"\nmarket = "ATOM/USDT"\nusd = 100_000.0',
        'kind = "ordr"\nmarket = "ATOM/USDT"\nusd = 100_000.0',
        "shocks.0.kind",
        "did you mean 'order'?",
    ),
    # What int64 cannot hold, and what would never end.
    (
        "count = 2\n",
        "count = 2\nequity_usd = 1e13\n",
        "market_makers.alpha.equity_usd",
        "atoms of USDT, at most 2.88e+17; lower it, or the decimals of USDT",
    ),
    (
        "assets = { ATOM = 1e6 }",
        "assets = { ATOM = 1e14 }",
        "holders.atom.assets",
        "US dollars are 2.5e+19 atoms of ATOM",
    ),
    (
        '["3.9", "100"]',
        '["3.9", "1000000000000"]',
        "ladders.0.orders",
        "atoms of the quote asset in all",
    ),
    (
        "usd = 50_000.0",
        "qty = '10000000000'",
        "shocks.1.qty",
        "is 4.3e+21 atoms, at most 2.88e+17; lower it (got '10000000000')",
    ),
    (
        "count = 50",
        "count = 20_000_000",
        "traders.perps.count",
        "accounts in all, at most 16,777,215 (got 20,000,000); lower it",
    ),
    (
        "count = 50",
        "count = 50\ninterval = 1e-9",
        "traders.perps.interval",
        "must be at least a microsecond",
    ),
    (
        "count = 50",
        "count = 50\ninterval = 9e-7",
        "traders.perps.interval",
        "must be at least a microsecond",
    ),
    (
        "duration = 10",
        "duration = 1e8",
        "arbitrage.desk.interval",
        "2e+08 times in 1e+08 s, at most 10,000,000 (got 0.5); make it longer",
    ),
    (
        "[background.flow]",
        "[background.flow]\nrate = 1e9",
        "background.flow.rate",
        "1e+10 orders in 10 s, at most 10,000,000 (got 1e+09); lower it",
    ),
    (
        "[background.flow]",
        "[background.flow]\ninterval = 1e8",
        "background.flow.interval",
        "more than 1,000,000 orders at once (got 1e+08)",
    ),
    (
        "withdraw_at = 1.3",
        "levels = 1000",
        "market_makers.beta.growth",
        "the last of 1000 levels is more than 1e+15 US dollars (got 1.4); lower it",
    ),
    ("withdraw_at = 1.3", "hedge = 1e9", "market_makers.beta.hedge", "be at most 100"),
    ("rate = 100_000", "rate = 1e-9", "gateway.rate", "0.001 messages a second"),
    ("rate = 100_000", "jitter = 50", "gateway.jitter", "must be at most 5 (got 50)"),
    # Targets.
    ("value = 1.0", "", "targets.1", "must have either value or band (got neither)"),
    (
        "value = 1.0",
        "value = 1.0\nband = [0.0, 1.0]",
        "targets.1",
        "must have either value or band (got both)",
    ),
    (
        "band = [1.0, 4.0]",
        "band = [4.0, 1.0]",
        "targets.0.band",
        "must be [least, most] (got [4.0, 1.0])",
    ),
    (
        'variation = "calm"',
        'variation = "clam"',
        "targets.1.variation",
        "'clam' is not a variation of the scenario; did you mean 'calm'?",
    ),
    ('variation = "calm"', "", "targets.1.relative", "needs a variation"),
    ('id = "ratio"', 'id = "low"', "targets.1.id", "'low' is the id of targets.0"),
    ("duration = 10", "seed = 3\nduration = 10", "seed", "a run is given its seed:"),
    # Variations.
    (
        '"market_makers.*.withdraw" = false',
        '"market_maker.*.withdraw" = false',
        "variations.calm.market_maker.*.withdraw",
        "'market_maker' is not a key; did you mean 'market_makers'?",
    ),
    (
        '"market_makers.*.withdraw" = false',
        '"market_makers.*.levels" = 0',
        'variations.calm."market_makers.*.levels"',
        "market_makers.alpha.levels: must be above 0 (got 0)",
    ),
    (
        '"market_makers.*.withdraw" = false',
        '"market_makers.alhpa.withdraw" = false',
        'variations.calm."market_makers.alhpa.withdraw"',
        "'alhpa' is not there; did you mean 'alpha'?",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_problem_names_place_value_and_remedy(
    old: str, new: str, place: str, message: str, tmp_path: Path
) -> None:
    """Every kind of fault is found, where it is, and what would be right is said."""
    assert MINI.count(old) >= 1, "the test replaces nothing"
    text = MINI.replace(old, new, 1)
    problems = problems_of(text, tmp_path)
    for problem in faults(problems, message, place):
        assert problem.line is not None or problem.path in ("duration", "")
