"""What is declared about the package agrees with what is in it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSIDE = ["defi", "lab", "pages", "reading"]
FOLDERS = ["flashwick", "engine", "margin", "orderbook", "cython_ext"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources(suffix: str) -> list[Path]:
    """Files of the package's folders with the suffix."""
    return sorted(
        path for folder in FOLDERS for path in (ROOT / folder).rglob(f"*{suffix}")
    )


def test_every_folder_with_modules_is_a_package():
    """A new folder of modules must be named in setup.py to be installed."""
    packages = [*FOLDERS, *(f"engine/{name}" for name in INSIDE)]
    assert {path.parent for path in sources(".py")} == {
        ROOT / name for name in packages
    }


def test_every_file_that_is_no_module_is_package_data():
    """A file that a module reads must match a pattern, or no wheel will have it."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    missing = []
    for path in sources(""):
        above = path.relative_to(ROOT).parents
        home = next(
            folder for folder in above if (ROOT / folder / "__init__.py").exists()
        )
        inside = path.relative_to(ROOT / home).as_posix()
        package = ".".join(("flashwick", *home.parts)).replace(
            "flashwick.flashwick", "flashwick"
        )
        wanted = patterns["*"] + patterns.get(package, [])
        if (
            path.is_file()
            and path.suffix not in (".py", ".pyc", ".pyx", ".so", ".pyd")
            and not any(fnmatch(inside, pattern) for pattern in wanted)
        ):
            missing.append(path.relative_to(ROOT).as_posix())
    assert missing == []


def test_every_public_kernel_has_a_stub():
    """A type checker reads the .pyi beside each .pyx that is not private."""
    for pyx in (ROOT / "cython_ext").glob("[!_]*.pyx"):
        assert pyx.with_suffix(".pyi").exists(), pyx.name


def test_package_says_that_it_is_typed():
    """The marker of PEP 561 is installed; it covers the packages inside as well."""
    assert (files("flashwick") / "py.typed").is_file()


def test_no_folder_of_tests_hides_the_package():
    """tests/ is on the path, so tests/flashwick would be imported as flashwick.

    The tests of the face lie in tests/face.
    """
    assert not (ROOT / "tests" / "flashwick").exists()


def imported(paths: list[Path]) -> set[str]:
    """Distributions that the modules import, at their head or inside a function."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).split(".")[0])
    return {"attrs" if name == "attr" else name for name in names} - set(
        sys.stdlib_module_names
    )


def test_dependencies_are_those_imported():
    """Nothing is imported that is not declared, and nothing declared for nothing."""
    extras = PROJECT["project"]["optional-dependencies"]
    declared = list(PROJECT["project"]["dependencies"])
    declared += extras["dask"] + extras["gym"] + extras["lab"]
    assert imported(sources(".py")) == {
        re.split(r"[<>=~;]", line)[0] for line in declared
    }


def test_import_leaves_the_heavy_libraries_alone():
    """Tables, plots and terminals are imported when used: the import stays quick."""
    heavy = ("pyarrow", "plotly", "rich", "pandas")
    code = f"import sys, flashwick; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_version_is_that_of_the_installed_package():
    """The version is written once, in pyproject.toml."""
    assert metadata.version("flashwick") == PROJECT["project"]["version"]


def test_command_is_installed():
    """``flashwick`` is the command line of the package."""
    (script,) = metadata.entry_points(group="console_scripts", name="flashwick")
    assert callable(script.load())


# -- The Makefile on a machine that lacks something


def make_test(folder: Path, python: str, **env: str) -> subprocess.CompletedProcess:
    """Run ``make test`` with this interpreter, in a folder that has no .venv."""
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        ["make", "test", f"PYTHON={python}"],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def python_without(folder: Path, word: str) -> str:
    """An interpreter that fails on every command naming the word."""
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *{word}*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return str(python)


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("lack", "said"),
    [
        ("python", "Python 3.11 or newer; 'no-such-python' is none"),
        ("version_info", "Python 3.11 or newer"),
        ("ensurepip", "the venv module"),
        ("compiler", "a C compiler; 'no-such-compiler' is none"),
        ("Python.h", "the headers of"),
    ],
)
def test_make_says_what_the_machine_lacks(tmp_path, lack, said):
    """Each prerequisite that is missing is named, and nothing is set up."""
    if lack == "python":
        run = make_test(tmp_path, "no-such-python")
    elif lack == "compiler":
        run = make_test(tmp_path, sys.executable, CC="no-such-compiler")
    else:
        run = make_test(tmp_path, python_without(tmp_path, lack))
    assert run.returncode != 0
    assert f"flashwick needs {said}" in run.stderr
    assert not (tmp_path / ".venv").exists()
