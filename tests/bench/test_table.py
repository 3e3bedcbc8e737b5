"""The table that ``make bench`` writes."""

import doctest
import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "table.py"


@pytest.fixture
def table():
    """The script as a module; bench/ is no package."""
    spec = spec_from_file_location("table", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def benchmark(file, name, median, **extra_info):
    """One benchmark as pytest-benchmark writes it."""
    return {
        "name": name,
        "fullname": f"bench/{file}.py::{name}",
        "extra_info": extra_info,
        "stats": {"median": median},
    }


RUN = {
    "datetime": "2025-10-10T21:20:00+00:00",
    "machine_info": {
        "cpu": {"brand_raw": "A CPU", "count": 2},
        "machine": "x86_64",
        "system": "Linux",
        "python_implementation": "CPython",
        "python_version": "3.12.1",
    },
    "benchmarks": [
        benchmark(
            "book",
            "test_batches[steady]",
            0.005,
            ns_per_message=25.04,
            messages=200_000,
        ),
        benchmark("peers", "test_matching[a-b]", 61.4, first_difference="trade 1"),
        benchmark("book", "test_one_call", 1.5e-7, ratio_to_reference=0.08),
    ],
}


def test_examples_of_the_script_give_what_they_show(table):
    """The script's own docstrings are right."""
    assert doctest.testmod(table).failed == 0


def place(table, file, text=""):
    """The lines of a document between which a file's table goes."""
    return f"{table.BEGIN.format(f'bench/{file}.py')}\n{text}\n{table.END}\n"


def test_results_replace_those_before_and_leave_the_rest(tmp_path, table):
    """Each file's table replaces the one before; all else stays, old tables too."""
    run, document = tmp_path / "run.json", tmp_path / "performance.md"
    run.write_text(json.dumps(RUN))
    places = [place(table, file) for file in ("peers", "book")]
    not_run = place(table, "runs", "\nan old table\n")
    document.write_text("# Title\n\n" + "Text.\n".join([*places, not_run]))
    for _ in range(2):
        subprocess.run([sys.executable, SCRIPT, run, document], check=True)
    head = "\nA CPU, 2 cores; Linux, CPython 3.12.1; 2025-10-10. Medians.\n\n"
    peers = (
        "| benchmark | median | first difference |\n"
        "| --- | --: | --: |\n"
        "| matching (a-b) | 61.4 s | trade 1 |\n"
    )
    book = (
        "| benchmark | median | ns per message | messages | ratio to reference |\n"
        "| --- | --: | --: | --: | --: |\n"
        "| batches (steady) | 5 ms | 25 | 200,000 |  |\n"
        "| one call | 150 ns |  |  | 0.08 |\n"
    )
    tables = [place(table, "peers", head + peers), place(table, "book", head + book)]
    assert document.read_text() == "# Title\n\n" + "Text.\n".join([*tables, not_run])


def test_document_without_a_place_for_results_is_refused(table):
    """Results are never put just anywhere, also not where another file's belong."""
    document = place(table, "book")
    with pytest.raises(ValueError, match=r"must have the lines .*bench/peers\.py"):
        table.insert(document, "bench/peers.py", "results")


def test_every_benchmark_has_a_place_in_the_document(table):
    """What `make bench` runs it can also write down."""
    document = (SCRIPT.parents[1] / "docs" / "performance.md").read_text()
    for path in SCRIPT.parent.glob("test_*.py"):
        marked = table.insert(document, f"bench/{path.name}", "results")
        assert marked.count(table.END) == document.count(table.END)
