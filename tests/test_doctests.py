"""The examples in docstrings, compiled modules included, give what they show."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = [
    "",
    ".engine",
    ".engine.defi",
    ".engine.lab",
    ".engine.pages",
    ".engine.reading",
    ".margin",
    ".orderbook",
    ".cython_ext",
]


def modules() -> list[str]:
    """Name of every module of the package."""
    names = []
    for suffix in PACKAGES:
        package = importlib.import_module(f"flashwick{suffix}")
        names += [package.__name__]
        names += [
            f"{package.__name__}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
            if not module.ispkg and module.name != "__main__"
        ]
    return names


@pytest.mark.parametrize("module", modules())
def test_examples_in_docstrings_give_what_they_show(module):
    """Every ``>>>`` of the module's docstrings prints what stands below it."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0
