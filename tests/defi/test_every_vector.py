"""No vector of the surrounding systems is left without a test."""

import re
from pathlib import Path

import pytest
from defi_vectors import AMM, DEFI

HERE = Path(__file__).parent
# The policies of prices, which serve the exchange as well, are tested with its margin.
READERS = (*sorted(HERE.glob("*.py")), HERE.parent / "margin" / "test_policies.py")
SOURCES = "".join(path.read_text(encoding="utf-8") for path in READERS)


@pytest.mark.skipif(not DEFI, reason="needs FLASHWICK_VECTORS or FLASHWICK_DATA")
def test_every_vector_of_defi_is_read_by_a_test():
    """Each id of defi.json stands in a call of ``vector``."""
    read = re.findall(r'\bvector\("([\w-]+)"\)', SOURCES)
    assert sorted(set(read)) == sorted(DEFI)


@pytest.mark.skipif(not AMM, reason="needs FLASHWICK_VECTORS or FLASHWICK_DATA")
def test_every_kind_of_vector_of_pools_is_read_by_a_test():
    """Each kind of amm.json stands in a call of ``of_kind``."""
    read = re.findall(r'\bof_kind\("(\w+)"\)', SOURCES)
    assert sorted(set(read)) == sorted({row["kind"] for row in AMM.values()})
