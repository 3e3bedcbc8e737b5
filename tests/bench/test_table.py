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


def benchmark(name, median, **extra_info):
    """One benchmark as pytest-benchmark writes it."""
    return {
        "name": name,
        "fullname": f"bench/bench_book.py::{name}",
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
            "test_batches[steady]", 0.005, ns_per_message=25.04, messages=200_000
        ),
        benchmark("test_one_call", 1.5e-7, ratio_to_reference=0.08),
    ],
}


def test_examples_of_the_script_give_what_they_show(table):
    """The script's own docstrings are right."""
    assert doctest.testmod(table).failed == 0


def test_results_replace_those_before_and_leave_the_rest(tmp_path, table):
    """A second run replaces the first one's table; the text around it stays."""
    run, document = tmp_path / "run.json", tmp_path / "performance.md"
    run.write_text(json.dumps(RUN))
    document.write_text(f"# Title\n\n{table.BEGIN}\n\n{table.END}\n\nThe end.\n")
    for _ in range(2):
        subprocess.run([sys.executable, SCRIPT, run, document], check=True)
    assert document.read_text() == (
        f"# Title\n\n{table.BEGIN}\n\n"
        "A CPU, 2 cores; Linux, CPython 3.12.1; 2025-10-10. Medians.\n"
        "\n`bench/bench_book.py`\n\n"
        "| benchmark | median | ns per message | messages | ratio to reference |\n"
        "| --- | --: | --: | --: | --: |\n"
        "| batches (steady) | 5 ms | 25 | 200,000 |  |\n"
        "| one call | 150 ns |  |  | 0.08 |\n"
        f"\n{table.END}\n\nThe end.\n"
    )


def test_document_without_a_place_for_results_is_refused(table):
    """Results are never put just anywhere."""
    with pytest.raises(ValueError, match="the document must have the lines"):
        table.insert("# Title\n", "results")
