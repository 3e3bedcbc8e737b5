"""The test vectors of the margin engine, read from where they are."""

import json
from typing import Any

import attrs
import pytest
from reference_data import vectors_folder


def read(name: str) -> Any:
    """A file of vectors; skips the test without it."""
    folder = vectors_folder()
    if folder is None or not (folder / name).exists():
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    return json.loads((folder / name).read_text(encoding="utf-8"))


@attrs.frozen
class Vector:
    """One vector: what goes in, what must come out and how closely."""

    given: dict[str, Any]
    expected: dict[str, Any]
    tolerance: dict[str, float]

    def about(self, name: str) -> Any:
        """An expected number, within the tolerance of the vector."""
        rel, within = self.tolerance.get("rel"), self.tolerance.get("abs")
        return pytest.approx(self.expected[name], rel=rel, abs=within)


def vector(name: str) -> Vector:
    """A vector of margin.json by its id."""
    for entry in read("margin.json")["vectors"]:
        if entry["id"] == name:
            return Vector(entry["inputs"], entry["expected"], entry["tolerance"])
    raise LookupError(name)
