"""Fixtures of every test: the data that the project does not ship."""

from pathlib import Path

import pytest
from reference_data import data_folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The calibration data, or a skip."""
    folder = data_folder()
    if folder is None:
        pytest.skip("FLASHWICK_DATA names no folder")
    return folder
