"""Where the calibration data and test vectors are, which the project does not ship."""

import os
from pathlib import Path


def data_folder() -> Path | None:
    """The folder that FLASHWICK_DATA names, None without one."""
    return _folder(os.environ.get("FLASHWICK_DATA"))


def vectors_folder() -> Path | None:
    """The folder that FLASHWICK_VECTORS names, else ``vectors`` beside the data."""
    data = data_folder()
    beside = str(data.parent / "vectors") if data else None
    return _folder(os.environ.get("FLASHWICK_VECTORS", beside))


def _folder(name: str | None) -> Path | None:
    folder = Path(name) if name else None
    return folder if folder and folder.is_dir() else None
