"""The rules of the code base that no linter knows, checked over the sources."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flashwick.orderbook import orders

ROOT = Path(__file__).parents[1]
LAYERS = ["cython_ext", "orderbook", "margin", "engine", "flashwick"]
"""The folders of the package, lowest first."""

DETERMINISTIC = ["cython_ext", "orderbook", "margin", "engine"]
"""Where the same seed must give the same bytes."""

LONG_FILES: dict[str, str] = {}
"""Files over 500 lines, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {}
"""Functions over 70 lines, ``path:name``, each with its reason."""


def sources(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> list[Path]:
    """Files of the folders with one of the suffixes."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
    )


def name(path: Path) -> str:
    """Path below the project's root."""
    return path.relative_to(ROOT).as_posix()


ALL_PYTHON = [
    ROOT / "setup.py",
    *sources(*LAYERS, "tests", "bench"),
]


# -- Imports


IMPORT = re.compile(
    r"^\s*from\s+(\.*)([\w.]*)\s+c?import\s+(\([^)]*\)|.*)|^\s*c?import\s+flashwick",
    re.MULTILINE,
)


def imported_layers(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line and folder of every import or cimport from inside the package."""
    layer, *folders = path.relative_to(ROOT).parts[:-1]
    package = ["flashwick", *([] if layer == "flashwick" else [layer]), *folders]
    for found in IMPORT.finditer(text):
        line = text[: found.end()].count("\n") + 1
        dots, module, names = (group or "" for group in found.groups())
        if not dots:
            if module.split(".")[0] in ("", "flashwick"):
                yield line, "an absolute import"
            continue
        base = package[: len(package) - len(dots) + 1]
        base += module.split(".") if module else []
        # ``from .. import margin`` names the layer after the import.
        for head in [base[1]] if len(base) > 1 else re.findall(r"\w+", names):
            yield line, head if head in LAYERS else "flashwick"


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_downward_only(layer):
    """No folder imports from one above it, and all imports inside are relative."""
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    wrong = [
        f"{name(path)}:{number} imports from {target}"
        for path in sources(layer, suffixes=(".py", ".pyi", ".pyx", ".pxd"))
        for number, target in imported_layers(path, path.read_text())
        if target not in allowed
    ]
    assert wrong == []


def test_upward_import_is_found():
    """The reader of imports knows every form that an upward import can take."""
    text = (
        "from ..engine.clock import Clock\n"
        "from .. import (\n    cython_ext,\n    engine,\n)\n"
        "from ..cython_ext.book cimport Books\n"
        "from flashwick import load\n"
        "import flashwick.engine as simulation\n"
        "from .levels import Level\n"
    )
    found = list(imported_layers(ROOT / "margin" / "ledger.py", text))
    assert [target for _, target in found] == [
        "engine",
        "cython_ext",
        "engine",
        "cython_ext",
        "an absolute import",
        "an absolute import",
        "margin",
    ]


def test_only_the_kernels_are_compiled():
    """Cython and C sources lie in cython_ext/ and nowhere else."""
    compiled = (".pyx", ".pxd", ".pxi", ".c", ".h", ".cpp")
    strays = sources(*LAYERS[1:], "tests", "bench", suffixes=compiled)
    assert [name(path) for path in strays] == []


# -- Determinism

FORBIDDEN = {
    "the wall clock": r"^\s*(import|from) time\b|\btime\.(time|monotonic|perf_counter|"
    r"process_time|sleep)|\b(datetime|date)\.(now|today|utcnow)\b",
    "hash(), which PYTHONHASHSEED changes": r"(?<![\w.])hash\(",
    "a UUID": r"\buuid\d?\b",
    "randomness without a seed": r"^\s*(import|from) (random|secrets)\b|\burandom\b|"
    r"\bdefault_rng\(\)|\bSeedSequence\(\)|\bPCG64(DXSM)?\(\)|"
    r"\brandom\.(seed|rand|randn|randint|random|normal|choice|shuffle|uniform)\(",
    "iteration over a set": r"\bin (set|frozenset)\(",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_simulation_is_free_of(what):
    """Nothing below the face reads what differs from one process to the next."""
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in sources(*DETERMINISTIC, suffixes=(".py", ".pyx", ".pxd"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(FORBIDDEN[what], line.split("#")[0])
    ]
    assert found == []


ORDERED = {"enumerate", "iter", "list", "map", "next", "sum", "tuple", "zip", "join"}
"""Calls whose result depends on the order of what they are given."""


def set_iterations(text: str) -> list[int]:
    """Lines that walk a set, as far as the text itself tells that it is one."""
    tree = ast.parse(text)
    sets: list[str] = []

    def is_set(node: ast.AST | None) -> bool:
        if isinstance(node, (ast.Set, ast.SetComp)):
            return True
        if isinstance(node, ast.BinOp):
            return is_set(node.left) or is_set(node.right)
        if isinstance(node, ast.Call):
            return ast.unparse(node.func) in ("set", "frozenset")
        return isinstance(node, (ast.Name, ast.Attribute)) and (
            ast.unparse(node) in sets
        )

    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value) if is_set(value):
                sets += [ast.unparse(target) for target in targets]
            case (
                ast.AnnAssign(target=target, annotation=annotation)
                | ast.arg(arg=target, annotation=annotation)
            ) if annotation and re.match(
                r"(set|frozenset|AbstractSet)\b", ast.unparse(annotation)
            ):
                sets += [target if isinstance(target, str) else ast.unparse(target)]
                sets += [f"self.{sets[-1]}"]

    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=walked) | ast.comprehension(iter=walked):
                walks = [walked]
            case ast.Starred(value=walked):
                walks = [walked]
            case ast.Call(func=ast.Name(id=call) | ast.Attribute(attr=call)):
                walks = node.args if call in ORDERED else []
            case _:
                continue
        lines += [walked.lineno for walked in walks if is_set(walked)]
    return sorted(lines)


def test_simulation_never_walks_a_set():
    """Sets answer ``in``; what is walked is a list or a dict, which keep an order."""
    found = [
        f"{name(path)}:{line}"
        for path in sources(*DETERMINISTIC)
        for line in set_iterations(path.read_text())
    ]
    assert found == []


def test_walk_over_a_set_is_found():
    """The reader finds walks over literals, names, attributes and parameters."""
    text = (
        "class A:\n"
        "    seen: set[int]\n"
        "    def f(self, these: set[int]):\n"
        "        for x in self.seen: pass\n"
        "        a = [x for x in {1, 2}]\n"
        "        return list(these), sorted(these), 3 in self.seen\n"
        "both = set('a') | set('b')\n"
        "print(*both, len(both))\n"
    )
    assert set_iterations(text) == [4, 5, 6, 8]


# -- Size


def test_files_are_short():
    """No Python file has more than 500 lines."""
    long = {
        name(path): lines
        for path in ALL_PYTHON
        if (lines := len(path.read_text().splitlines())) > 500
    }
    assert {path: n for path, n in long.items() if path not in LONG_FILES} == {}
    assert set(LONG_FILES) <= set(long), "an exception that is none any more"


def test_functions_are_short():
    """No Python function has more than 70 lines."""
    long = {
        f"{name(path)}:{node.name}": lines
        for path in ALL_PYTHON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 70
    }
    assert {key: n for key, n in long.items() if key not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception that is none any more"


# -- Portability


def test_nothing_names_a_path_of_one_machine():
    """No source, test, document or setting holds an absolute path of its author's."""
    path_of_a_machine = re.compile(
        r"(?<![\w.:/])/(home|root|work|Users|mnt|opt)/\w|[.]library/"
    )
    texts = [path for path in ROOT.glob("*") if path.is_file()]
    texts += [ROOT / ".ci" / "run"]
    texts += sources(
        *LAYERS,
        "tests",
        "bench",
        "docs",
        suffixes=(".py", ".pyi", ".pyx", ".pxd", ".md", ".toml", ".json", ".html"),
    )
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path_of_a_machine.search(line)
    ]
    assert found == []


# -- orders.py and _types.pxd

TYPES = (ROOT / "cython_ext" / "_types.pxd").read_text()
DTYPES = {"int64_t": "<i8", "int32_t": "<i4", "uint32_t": "<u4", "uint8_t": "u1"}


def enums_of_c() -> list[dict[str, int]]:
    """Every enum of _types.pxd as names and numbers."""
    blocks = re.findall(r"^cdef enum[^\n]*:\n((?:    .*\n|\n)+)", TYPES, re.M)
    number = re.compile(r"^    (\w+) = (\d+)", re.M)
    return [{key: int(n) for key, n in number.findall(block)} for block in blocks]


def dtype_of_c(struct: str) -> np.dtype:
    """A packed struct of _types.pxd as NumPy's dtype."""
    found = re.search(
        rf"^ctypedef packed struct {struct}:\n((?:    .*\n)+)", TYPES, re.M
    )
    assert found, f"_types.pxd has no struct {struct}"
    fields = re.findall(r"^    (\w+) (\w+)(?:\[(\d+)\])?", found[1], re.M)
    return np.dtype(
        [(field, f"V{n}" if n else DTYPES[kind]) for kind, field, n in fields]
    )


@pytest.mark.parametrize(
    ("enum", "prefix"),
    [
        (orders.Kind, ""),
        (orders.Side, ""),
        (orders.TimeInForce, ""),
        (orders.Flag, ""),
        (orders.SelfTrade, "STP_"),
        (orders.Reason, "R_"),
    ],
)
def test_enum_has_the_same_numbers_in_c(enum, prefix):
    """A word of the order book is the same number in Python and in the kernels."""
    assert {prefix + word.name: word.value for word in enum} in enums_of_c()


@pytest.mark.parametrize("struct", ["Message", "Result", "Fill"])
def test_record_has_the_same_layout_in_c(struct):
    """A row of a batch has the same fields, types and offsets on both sides."""
    assert dtype_of_c(struct) == getattr(orders, struct.upper())


def test_highest_price_is_the_same_in_c():
    """The price range of the ladder is the one that orders.py promises."""
    assert {"PRICE_BITS": (orders.PRICE_MAX + 1).bit_length() - 1} in enums_of_c()
