"""Wrong tables of protocols are refused with place, value and remedy, before a run."""

from pathlib import Path

import pytest
from chain_text import written

import flashwick as fw

WHOLE = """
[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
amplification = 200

[feeds.USDE]
quote = "USDC"
sources = { "pools.curve" = 1 }

[lending.market]
loan = "USDC"
collateral = "USDE"
feed = "USDE"
lltv = 0.9
rate = 0.04
supplied = 10_000

[lending_pools.shared.reserves]
USDC = { feed = "USDE", ltv = 0.7, threshold = 0.75, slope_1 = 0.05, slope_2 = 0.4 }

[vaults.vault]
asset = "USDC"
caps = { market = 1_000 }

[issuers.dollar]
token = "USDE"
stable = "USDC"
supply = 1_000

[staking.ether]
kind = "coin"
asset = "ETH"
token = "STETH"
supply = 10

[stables.module]
kind = "peg_module"
coin = "UST"
backing = "USDC"
ceiling = 1_000

[loops.some]
on = "market"
pool = "curve"
collateral = 1_000
ltv = [0.5, 0.8]

[liquidators.bot]
on = "market"
pool = "curve"

[cycles.keeper]
asset = "USDC"
most = 1_000
steps = [{ do = "swap", on = "pools.curve", give = "USDC", get = "USDE" }]

[runners.some]
watch = "pools.curve.price"
below = { kind = "fixed", value = 0.9 }
steps = [{ do = "swap", on = "pools.curve", give = "USDE", get = "USDC" }]

[wallets.ann]
USDE = 10

[[shocks]]
at = 5
kind = "transaction"
who = "ann"
steps = [{ do = "swap", on = "pools.curve", give = "USDE", amount = 5 }]

[[shocks]]
at = 6
kind = "vote"
feed = "USDE"
price = 0.4
"""

WRONG = [
    (
        "USDE = 1_000_000, USDC",
        "USDE = 0, USDC",
        "pools.curve.reserves.USDE",
        "above 0",
    ),
    ("USDE = 1_000_000, USDC", "USDX = 1, USDC", "pools.curve.reserves.USDX", "asset"),
    ("amplification = 200", "price = 1.0", "pools.curve.price", "does not apply"),
    ('"stableswap"', '"stablswap"', "pools.curve.kind", "stableswap"),
    ("lltv = 0.9", "lltv = 1.0", "lending.market.lltv", "below 1"),
    ("rate = 0.04", "rate = 5.0", "lending.market.rate", "at most rate_most"),
    ('feed = "USDE"\nlltv', 'feed = "USDX"\nlltv', "lending.market.feed", "USDE"),
    ('collateral = "USDE"', 'collateral = "USDC"', "lending.market.collateral", "loan"),
    ("slope_2 = 0.4", "slope_2 = 0.01", "USDC.slope_1", "at most slope_2"),
    ("threshold = 0.75", "threshold = 0.5", "USDC.ltv", "at most threshold"),
    ("caps = { market", "caps = { markt", "vaults.vault.caps.markt", "market"),
    ('stable = "USDC"', 'stable = "USDX"', "issuers.dollar.stable", "asset"),
    ("supply = 1_000\n", "supply = 1e14\n", "issuers.dollar.supply", "atoms"),
    ('token = "STETH"', 'token = "STEHT"', "staking.ether.token", "STETH"),
    ('backing = "USDC"\n', "", "stables.module.backing", "must be given"),
    ("ltv = [0.5, 0.8]", "ltv = [0.5, 0.95]", "loops.some.ltv", "below 0.9"),
    ('pool = "curve"\ncollateral', 'pool = "cuve"\ncollateral', "some.pool", "curve"),
    ('on = "market"\npool = "curve"\n\n', 'on = "market"\n\n', "bot", "pool or book"),
    (
        'do = "swap", on = "pools.curve", give = "USDC"',
        'do = "swop", on = "pools.curve", give = "USDC"',
        "cycles.keeper.steps.0.do",
        "swap",
    ),
    ("below = {", "above = {", None, None),
    ("ltv = [0.5, 0.8]", "ltv = [0.5, 0.8]\ncount = 1_000_000", "some.count", "10,000"),
    (
        'watch = "pools.curve.price"',
        'watch = "pool.price"',
        "runners.some.watch",
        "figure",
    ),
    ('who = "ann"', 'who = "anne"', "shocks.0.who", "ann"),
    (
        'on = "pools.curve", give = "USDE", amount',
        'on = "pools.curv", give = "USDE", amount',
        "shocks.0.steps.0.on",
        "pools.curve",
    ),
    ('feed = "USDE"\nprice', 'feed = "USD"\nprice', "shocks.1.feed", "USDE"),
    ("at = 6", "at = -6", "shocks.1.at", "at least 0"),
    ("at = 6", "at = 600", "shocks.1.at", "duration"),
    ("USDE = 10\n", "USDE = -10\n", "wallets.ann.USDE", "at least 0"),
    (
        'sources = { "pools.curve" = 1 }',
        'sources = { "pools.curv" = 1 }',
        "feeds.USDE.sources",
        "curve",
    ),
    (
        'sources = { "pools.curve" = 1 }',
        'sources = { "feeds.USDE" = 1 }',
        "feeds.USDE.sources",
        "itself",
    ),
    (
        'sources = { "pools.curve" = 1 }',
        "sources = {}",
        "feeds.USDE.sources",
        "at least one",
    ),
]


def _load(folder: Path, text: str) -> None:
    fw.load(written(folder, text))


def test_the_whole_is_right(tmp_path: Path) -> None:
    """What is broken below is right as it stands, and runs."""
    run = fw.load(written(tmp_path, WHOLE)).run()
    assert run.measure("conserved") == 1


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG)
def test_what_is_wrong_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, place: str | None, said: str | None
) -> None:
    """One change, one message with where it is and what it has to be."""
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    if place is None:
        _load(tmp_path, text)
        return
    with pytest.raises(fw.ScenarioError) as raised:
        _load(tmp_path, text)
    problems = [p for p in raised.value.problems if place in p.path]
    assert problems, str(raised.value)
    assert any(str(said) in p.message for p in problems), str(raised.value)


def test_an_order_of_a_block_names_everybody_once(tmp_path: Path) -> None:
    """The order in which users act is a list of all their tables."""
    text = WHOLE.replace("[pools.curve]", "", 1)
    file = written(tmp_path, "[pools.curve]" + text)
    whole = file.read_text().replace("interval = 1", 'interval = 1\norder = ["loops"]')
    file.write_text(whole)
    with pytest.raises(fw.ScenarioError, match=r"chain\.order: must name each of"):
        fw.load(file)


def test_loops_that_find_nothing_to_borrow_are_told_so(tmp_path: Path) -> None:
    """The cash of a market is known when the world is built, and said then."""
    scenario = fw.load(written(tmp_path, WHOLE.replace("supplied = 10_000", "", 1)))
    told = r"loops\.some: cannot start: 'assets' must be at most the cash, 0"
    with pytest.raises(fw.ScenarioError, match=told):
        scenario.run()


PARTS = """
[pools.luna]
kind = "constant_product"
reserves = { LUNA = 1_000, USDC = 80_000 }

[feeds.LUNA]
quote = "USDC"
sources = { "pools.luna" = 1 }

[stables.part]
kind = "fractional"
coin = "UST"
share = "LUNA"
backing = "USDC"
feed = "LUNA"
supply = 1_000
held = 800

[stables.bank]
kind = "reserve"
coin = "USDE"
backing = "USDC"
supply = 1_000
held = 1_000

[issuers.dollar]
token = "USDE"
stable = "USDC"
supply = 1_000
"""


@pytest.mark.parametrize(
    ("old", "place", "said"),
    [
        ("LUNA = { price = 80.0", "assets.LUNA.decimals", "as of UST"),
        ("USDE = { price = 1.0", "assets.USDE.decimals", "as of USDC"),
        ("USDC = { price = 1.0", "assets.USDC.decimals", "as of USDE"),
    ],
)
def test_what_is_exchanged_atom_for_atom_has_the_same_decimals(
    tmp_path: Path, old: str, place: str, said: str
) -> None:
    """A share of other decimals than its coin would be minted a hundredfold."""
    path = written(tmp_path, PARTS)
    fw.load(path)
    text = path.read_text()
    assert f"{old}, decimals = 6" in text
    path.write_text(text.replace(f"{old}, decimals = 6", f"{old}, decimals = 4"))
    with pytest.raises(fw.ScenarioError) as raised:
        fw.load(path)
    problems = [p for p in raised.value.problems if p.path == place]
    assert any(said in p.message and "must be" in p.message for p in problems)
