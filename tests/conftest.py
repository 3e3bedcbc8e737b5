"""Where the calibration data are, which are not part of the project."""

import os
from pathlib import Path

import pytest


def _folder(variable: str, otherwise: Path | None) -> Path:
    named = os.environ.get(variable)
    folder = Path(named) if named else otherwise
    if folder is None or not folder.is_dir():
        pytest.skip(f"{variable} names no folder")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The calibration data: the environment variable FLASHWICK_DATA."""
    return _folder("FLASHWICK_DATA", None)


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The test vectors: FLASHWICK_VECTORS, otherwise ``vectors`` beside the data."""
    data = os.environ.get("FLASHWICK_DATA")
    return _folder("FLASHWICK_VECTORS", Path(data).parent / "vectors" if data else None)
