"""The face of the package: the names it offers, and how quickly it is there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flashwick as fw

SOURCE = Path(__file__).parents[2] / "flashwick" / "__init__.py"


def typed_names() -> dict[str, tuple[str, str]]:
    """Name of each import that type checkers see: its module, its name there."""
    found = {}
    for node in ast.walk(ast.parse(SOURCE.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for alias in node.names:
                found[alias.asname or alias.name] = (str(node.module), alias.name)
    return found


def test_names_for_python_are_those_for_type_checkers() -> None:
    """What an editor shows can be imported, and the other way round."""
    assert typed_names() == fw._FOUND
    assert sorted(fw.__all__) == sorted(fw._FOUND)
    assert set(fw.__all__) < set(dir(fw))


@pytest.mark.parametrize("name", fw.__all__)
def test_name_is_there(name: str) -> None:
    """Each is found at its place and kept for the next time."""
    value = getattr(fw, name)
    assert value is getattr(fw, name)
    assert value.__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    """As of any module, so that hasattr works."""
    assert not hasattr(fw, "sumary")
    text = "'flashwick' has no attribute 'sumary'"
    with pytest.raises(AttributeError, match=text) as told:
        fw.sumary  # noqa: B018
    # What Python's traceback makes "Did you mean" of.
    assert (told.value.name, told.value.obj) == ("sumary", fw)


def test_import_is_quick() -> None:
    """The import takes less than 0.3 s, and loads neither NumPy nor the engine."""
    code = (
        "from time import perf_counter; begin = perf_counter(); import flashwick, sys; "
        "print(perf_counter() - begin, 'numpy' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    seconds, numpy = run.stdout.split()
    assert float(seconds) < 0.3
    assert numpy == "False"
