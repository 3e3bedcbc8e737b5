"""What can be wrong with the clock of a scenario and with its circuit breakers."""

from pathlib import Path

import pytest
from scenario_text import MINI, faults, problems_of

WRONG = [
    ("duration = 10", "duration = 10\nstart = -1", "start", "at least 0 (got -1)"),
    ("duration = 10", "duration = 10\nstart = 1e5", "start", "at most 86,400"),
    (
        "duration = 10",
        "duration = 10\nstart = nan",
        "start",
        "a finite number (got nan",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 1.5 }",
        'markets."WBETH/USDT".circuit_breaker.share',
        "must be at most 1 (got 1.5)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0 }",
        'markets."WBETH/USDT".circuit_breaker.share',
        "must be above 0 (got 0)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = nan }",
        'markets."WBETH/USDT".circuit_breaker.share',
        "a finite number (got nan)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = '5 %' }",
        'markets."WBETH/USDT".circuit_breaker.share',
        "a number (got '5 %')",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = {}",
        'markets."WBETH/USDT".circuit_breaker.share',
        "is missing",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = 0.1",
        'markets."WBETH/USDT".circuit_breaker',
        "must be a table of share, window, phase, pause (got 0.1)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0.1, window = -1 }",
        'markets."WBETH/USDT".circuit_breaker.window',
        "must be above 0 (got -1)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0.1, window = 1e10 }",
        'markets."WBETH/USDT".circuit_breaker.window',
        "at most 1,000,000,000",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0.1, pause = 0 }",
        'markets."WBETH/USDT".circuit_breaker.pause',
        "must be above 0 (got 0)",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0.1, phase = 'open' }",
        'markets."WBETH/USDT".circuit_breaker.phase',
        "one of halted, call (got 'open')",
    ),
    (
        'last = "4300.00"',
        "circuit_breaker = { share = 0.1, widnow = 1 }",
        'markets."WBETH/USDT".circuit_breaker.widnow',
        "did you mean 'window'?",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_fault_of_a_clock_or_breaker_names_place_value_and_remedy(
    old: str, new: str, place: str, message: str, tmp_path: Path
) -> None:
    """Wrong, missing, huge, negative, not a number: one error with the place."""
    faults(problems_of(MINI.replace(old, new, 1), tmp_path), message, place)
