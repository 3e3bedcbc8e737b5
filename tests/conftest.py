"""What every test has: the data that the project does not ship, and no clock."""

from pathlib import Path

import pytest
from hypothesis import settings
from reference_data import data_folder

# Time decides no test: a busy machine is not a fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The calibration data, or a skip."""
    folder = data_folder()
    if folder is None:
        pytest.skip("FLASHWICK_DATA names no folder")
    return folder
