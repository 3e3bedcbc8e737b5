"""Each thing that can be wrong with a flow, a path or a degraded gateway."""

from pathlib import Path

import pytest
from scenario_text import MINI, problems_of

import flashwick as fw

SOLD = MINI.replace(
    '[markets."ATOM/USDT"]\n', '[markets."ATOM/USDT"]\nvolume_usd = 1e6\n'
).replace(
    '[markets."ETH/USDT:PERP"]\n', '[markets."ETH/USDT:PERP"]\nvolume_usd = 1e6\n'
)
FLOW = 'kind = "flow"\nmarkets = ["ATOM/USDT", "ETH/USDT:PERP"]\nusd = 1e5'
PATH = 'kind = "path"\nasset = "ETH"\npoints = [[1, -0.1]]'
GATE = 'kind = "gateway"\nrate = 10'
WRONG = [
    # Flows.
    (FLOW, "usd = 1e5", "", "usd", "must be given for a shock of kind 'flow'"),
    (FLOW, "usd = 1e5", "usd = 1e5\nqty = '3'", "qty", "does not apply to a shock"),
    (FLOW, "usd = 1e5", "usd = 1e5\nmarket = 'ATOM/USDT'", "market", "does not apply"),
    (FLOW, "markets = [", "markets = []\nslices = 1 # [", "", "either markets or weig"),
    (FLOW, "usd", "weights = { 'ATOM/USDT' = 1 }\nusd", "", "or weights (got both)"),
    (FLOW, "ATOM/USDT", "ATM/USDT", "markets.0", "did you mean 'ATOM/USDT'?"),
    (FLOW, "ETH/USDT:PERP", "ATOM/USDT", "markets.1", "is named twice"),
    (FLOW, "ETH/USDT:PERP", "WBETH/USDT", "markets.1", "WBETH/USDT needs a volume_u"),
    (
        FLOW,
        'markets = ["ATOM/USDT", "ETH/USDT:PERP"]',
        'weights = { "ATM/USDT" = 1 }',
        'weights."ATM/USDT"',
        "is not a market of the scenario",
    ),
    (
        FLOW,
        'markets = ["ATOM/USDT", "ETH/USDT:PERP"]',
        'weights = { "ATOM/USDT" = -1 }',
        'weights."ATOM/USDT"',
        "must be at least 0 (got -1)",
    ),
    (
        FLOW,
        'markets = ["ATOM/USDT", "ETH/USDT:PERP"]',
        'weights = { "ATOM/USDT" = 0 }',
        "weights",
        "must have at least one above 0",
    ),
    (FLOW, ', "ETH/USDT:PERP"', "", None, None),
    (FLOW, ', "ETH/USDT:PERP"]\nusd = 1e5', "]\nusd = 0.01", "usd", "least a lot in"),
    (FLOW, ', "ETH/USDT:PERP"]\nusd = 1e5', "]\nusd = 1e14", "usd", "atoms in ATOM/US"),
    (
        FLOW,
        "usd",
        "profile = [[0, 1], [9, 1]]\nover = 3\nusd",
        "over",
        "beside profile",
    ),
    (FLOW, "usd", "profile = [[0, 1]]\nusd", "profile", "at least two points in time"),
    (FLOW, "usd", "profile = [[0, 0], [9, 0]]\nusd", "profile", "and a rate above 0"),
    (FLOW, "usd", "profile = [[9, 1], [9, 1]]\nusd", "profile", "two points in time"),
    (
        FLOW,
        "usd",
        "profile = [[0, 1], [9, -1]]\nusd",
        "profile.1",
        "of at least 0 (got",
    ),
    (
        FLOW,
        "usd",
        "profile = [[0, 1], [9, 1], [3, 1]]\nusd",
        "profile.2",
        "at 9 s or later",
    ),
    (FLOW, "usd", "profile = [[-1, 1], [3, 1]]\nusd", "profile.0", "at 0 s or later"),
    (FLOW, "usd", "profile = [[0, 1], [2e9, 1]]\nusd", "profile.1", "or earlier (got"),
    (FLOW, "usd", "profile = [[0]]\nusd", "profile.0", "must be a list of 2 (got [0])"),
    (FLOW, "usd", "slices = 0\nusd", "slices", "must be above 0"),
    # Paths.
    (PATH, "points = [[1, -0.1]]", "", "points", "must be given for a shock of kind"),
    (PATH, "[[1, -0.1]]", "[]", "points", "at least one point, [seconds, move]"),
    (PATH, '"ETH"', '"ETC"', "asset", "did you mean 'ETH'?"),
    (PATH, "[1, -0.1]", "[1, -1]", "points.0", "a move above -1 and at most 1000"),
    (PATH, "[1, -0.1]", "[1, 1001]", "points.0", "above -1 and at most 1000 (got 1001"),
    (PATH, "[1, -0.1]", "[-1, 0.1]", "points.0", "at 0 s or later, like the point"),
    (PATH, "[1, -0.1]", "[4, 0], [3, 0]", "points.1", "at 4 s or later"),
    (PATH, "asset", "move = 0.1\nasset", "move", "does not apply to a shock of kind"),
    # The gateway.
    (GATE, "rate = 10", "", "", "at least one of rate, latency, reject"),
    (
        GATE,
        "rate",
        "classes = ['traders']\nrate",
        "classes",
        "needs a latency or reject",
    ),
    (GATE, "rate", "classes = ['trader']\nreject = 1\nrate", "classes.0", "'traders'?"),
    (
        GATE,
        "rate",
        "classes = ['population']\nreject = 1\nrate",
        "classes.0",
        "sends or",
    ),
    (
        GATE,
        "rate",
        "classes = ['traders', 'traders']\nreject = 1\nrate",
        "classes.1",
        "'traders' is named twice",
    ),
    (
        GATE,
        "rate",
        "classes = ['traders']\nlatency = 20\nrate",
        "classes.0",
        "'traders' has no latency that a factor could change; give it one in gateway",
    ),
    (GATE, "rate", "latency = 0\nrate", "latency", "must be above 0 (got 0)"),
    (GATE, "rate", "latency = 1e9\nrate = 1 #", None, None),
    (GATE, "rate", "reject = 1.1\nrate", "reject", "must be at most 1 (got 1.1)"),
]


@pytest.mark.parametrize(("shock", "right", "wrong", "place", "said"), WRONG)
def test_fault_of_a_shock_is_found_where_it_is(
    shock: str,
    right: str,
    wrong: str,
    place: str | None,
    said: str | None,
    tmp_path: Path,
) -> None:
    """The place is the key's, and the message says what should be there."""
    assert right in shock
    body = shock.replace(right, wrong, 1)
    after = "[variations.calm]"
    text = SOLD.replace(after, f"[[shocks]]\nat = 3\n{body}\n\n{after}")
    if place is None or said is None:
        path = tmp_path / "right.toml"
        path.write_text(text)
        assert len(fw.load(path).config.shocks) == 3
        return
    (problem, *others) = problems_of(text, tmp_path)
    assert not others
    assert problem.path == ("shocks.2." + place).rstrip(".")
    assert said in problem.message
