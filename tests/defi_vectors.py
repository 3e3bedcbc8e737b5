"""The test vectors of the surrounding systems, each by its id."""

import json
from typing import Any

import pytest
from reference_data import vectors_folder


def read(name: str) -> dict[str, Any]:
    """A file of vectors by id; empty without it."""
    folder = vectors_folder()
    if folder is None or not (folder / name).exists():
        return {}
    rows = json.loads((folder / name).read_text(encoding="utf-8"))
    return {row["id"]: row for row in rows}


AMM = read("amm.json")
DEFI = read("defi.json")


def vector(name: str) -> dict[str, Any]:
    """A vector of defi.json; skips the test without the file."""
    if not DEFI:
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    return DEFI[name]


def of_kind(kind: str) -> list[Any]:
    """Vectors of a kind of amm.json as parameters, one that is skipped without it."""
    if not AMM:
        return [pytest.param(None, marks=pytest.mark.skip("needs FLASHWICK_VECTORS"))]
    found = [row for row in AMM.values() if row["kind"] == kind]
    return [pytest.param(row, id=row["id"]) for row in found]
