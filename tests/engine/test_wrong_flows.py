"""Each thing that can be wrong with arbitrage, whales, bots and groups of holders."""

from pathlib import Path

import pytest
from scenario_text import MINI, faults, problems_of

import flashwick as fw

BOOKS = MINI.replace(
    "[oracles.WBETH]",
    '[markets."ATOM/USDC"]\ntick = "0.001"\nlot = "0.01"\nvolume_usd = 1e5\n'
    "depth_usd = 1e4\n\n[oracles.WBETH]",
).replace("USDT = { price = 1 }", "USDT = { price = 1 }\nUSDC = { price = 1 }")
CROSS = '[cross_arbitrage.x]\nmarkets = ["ATOM/USDT", "ATOM/USDC"]'
DESK = '[arbitrage.x]\nmarkets = ["ATOM/USDC", "WBETH/USDT"]'
WHALES = """[whales.x]
assets = { ATOM = 1e5 }
fall = { kind = "fixed", value = 0.1 }
delay = { kind = "uniform", least = 60, most = 300 }"""
BOTS = "[liquidation_bots.x]\nassets = { ATOM = 1e5 }"
HOLDERS = '[holders.x]\nmarkets = ["ATOM/USDC"]\nheld_usd = 1e5'
WRONG = [
    (CROSS, "ATOM/USDC", "ATOM/USDD", "markets.1", "is not a market of the scen"),
    (CROSS, "ATOM/USDC", "WBETH/USDT", "markets", "two markets of one coin or more"),
    (CROSS, "[cross", "[cros", "cros_arbitrage", "did you mean 'cross_arbitrage'?"),
    (CROSS, "\nmark", "\nshare = 0.1\nmark", "markets.0", "needs the depth_usd of ATO"),
    (CROSS, "\nmark", "\nshare = 0\nmark", "share", "must be above 0 (got 0)"),
    (
        CROSS,
        "\nmark",
        "\ncoins = { ETH = 1 }\nmark",
        "coins.ETH",
        "no coin of its mark",
    ),
    (
        CROSS,
        "\nmark",
        "\ncoins = { ATOM = -1 }\nmark",
        "coins.ATOM",
        "least 0 (got -1)",
    ),
    (CROSS, "\nmark", "\ncoins = { ATOM = 1e15 }\nmark", "coins", "atoms of ATOM, at "),
    (CROSS, "\nmark", "\nredeem = { ATOM = 1 }\nmark", "redeem", "is not a key"),
    (DESK, "\nmark", "\nredeem = { WBETH = 60 }\nmark", None, None),
    (
        DESK,
        "\nmark",
        "\nredeem = { ATOM = 60 }\nmark",
        "redeem.ATOM",
        "needs ratio and",
    ),
    (
        DESK,
        "\nmark",
        "\nredeem = { ETH = 60 }\nmark",
        "redeem.ETH",
        "is not the base of",
    ),
    (
        DESK,
        "\nmark",
        "\nredeem = { WBETH = -1 }\nmark",
        "redeem.WBETH",
        "from 0 to 1,0",
    ),
    (WHALES, "ATOM", "ETH", "assets.ETH", "needs the market ETH/USDT to sell in"),
    (WHALES, "ATOM", "ATM", "assets.ATM", "did you mean 'ATOM'?"),
    (WHALES, "assets = { ATOM = 1e5 }", "", "markets", "at least one market"),
    (WHALES, "\nfall", "\nwatch = 'ETC'\nfall", "watch", "did you mean 'ETH'?"),
    (WHALES, "value = 0.1", "value = 1.0", "fall.value", "must be below 1, all of the"),
    (
        WHALES,
        '"fixed", value',
        '"fixed", least',
        "fall.value",
        "must be given for a fix",
    ),
    (WHALES, "most = 300", "most = 30", "delay.most", "must be at least least, 60"),
    (
        WHALES,
        "most = 300",
        "most = 1e10",
        "delay.most",
        "must be at most 1,000,000,000",
    ),
    (WHALES, "\nfall", "\nclips = 0\nfall", "clips", "must be above 0 (got 0)"),
    (WHALES, "delay = {", "deay = {", "deay", "did you mean 'delay'?"),
    (BOTS, "\nassets", "\nthreshold = 0.6\nassets", "full", "above threshold, 0.6"),
    (BOTS, "1e5", "-1", "assets.ATOM", "must be at least 0 (got -1)"),
    (BOTS, "1e5 }", "1e5 }\nheld_usd = 1", "markets", "must be given with held_usd"),
    (HOLDERS, "held_usd = 1e5", "", "held_usd", "must be given with markets, of which"),
    (
        HOLDERS,
        "held_usd = 1e5",
        "held_usd = 1e14",
        "held_usd",
        "atoms of ATOM, at most",
    ),
    (
        HOLDERS,
        '"ATOM/USDC"',
        '"ATOM/USDC", "ETH/USDT:PERP"',
        "markets.1",
        "is a perpetual; coins are sold in spot",
    ),
    (
        HOLDERS,
        '"ATOM/USDC"',
        '"ATOM/USDC", "WBETH/USDT"',
        "markets.1",
        "needs the volume_usd of WBETH/USDT to share out by",
    ),
    (
        HOLDERS,
        "held_usd",
        "assets = { ATOM = 1 }\nheld_usd",
        "markets.0",
        "ATOM is among its assets already",
    ),
]


@pytest.mark.parametrize(("table", "right", "wrong", "place", "said"), WRONG)
def test_fault_of_a_table_is_found_where_it_is(
    table: str,
    right: str,
    wrong: str,
    place: str | None,
    said: str | None,
    tmp_path: Path,
) -> None:
    """The place is the key's, and the message says what should be there."""
    assert right in table
    text = BOOKS.replace(
        "[[ladders]]", f"{table.replace(right, wrong, 1)}\n\n[[ladders]]", 1
    )
    if place is None or said is None:
        path = tmp_path / "right.toml"
        path.write_text(text)
        fw.load(path)
        return
    name = table[1 : table.index("]")]
    faults(problems_of(text, tmp_path), said, place, f"{name}.{place}")


@pytest.mark.parametrize("table", [CROSS, DESK, WHALES, BOTS, HOLDERS])
def test_table_as_it_should_be_is_taken(table: str, tmp_path: Path) -> None:
    """None of the faults above is in what they are made from; it runs."""
    path = tmp_path / "right.toml"
    path.write_text(BOOKS.replace("[[ladders]]", f"{table}\n\n[[ladders]]", 1))
    assert fw.load(path).run().outcome["conserved"] == 1.0
