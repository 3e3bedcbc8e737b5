"""Write the results of a benchmark run into a document, as Markdown tables.

    python bench/table.py build/bench.json docs/performance.md

The table of a file goes between the two marker lines that the document has for it. All
else stays, also the tables of files that the run left out.
"""

import json
import sys
from pathlib import Path
from typing import Any

BEGIN = "<!-- results of {}: written by `make bench` -->"
END = "<!-- end of results -->"


def seconds(value: float) -> str:
    """A duration with three digits and its unit.

    >>> seconds(0.0123456), seconds(25e-9), seconds(61.4)
    ('12.3 ms', '25 ns', '61.4 s')
    """
    for unit, size in [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def cell(value: Any) -> str:
    """A value of ``extra_info``: numbers with three digits, or all of an integer.

    >>> cell(1_000_000), cell(1.23456), cell("steady"), cell(None)
    ('1,000,000', '1.23', 'steady', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def title(name: str) -> str:
    """A benchmark's name in words.

    >>> title("test_book_in_batches[steady]")
    'book in batches (steady)'
    """
    words = name.removeprefix("test_").replace("_", " ")
    return words.replace("[", " (").replace("]", ")")


def table(benchmarks: list[dict[str, Any]]) -> list[str]:
    """Lines of one table: a row a benchmark, a column each word of ``extra_info``."""
    words = list(dict.fromkeys(word for b in benchmarks for word in b["extra_info"]))
    rows = [
        [
            title(b["name"]),
            seconds(b["stats"]["median"]),
            *(cell(b["extra_info"].get(word)) for word in words),
        ]
        for b in benchmarks
    ]
    head = ["benchmark", "median", *(word.replace("_", " ") for word in words)]
    rule = ["---", *("--:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in [head, rule, *rows]]


def results(run: dict[str, Any]) -> dict[str, str]:
    """The table of each file of a run, under the machine and the day."""
    machine = run["machine_info"]
    cpu = machine["cpu"]
    hardware = f"{cpu.get('brand_raw', machine['machine'])}, {cpu['count']} cores"
    python = f"{machine['python_implementation']} {machine['python_version']}"
    day = run["datetime"][:10]
    head = f"{hardware}; {machine['system']}, {python}; {day}. Medians."
    files: dict[str, list[dict[str, Any]]] = {}
    for benchmark in run["benchmarks"]:
        files.setdefault(benchmark["fullname"].split("::")[0], []).append(benchmark)
    return {
        path: "\n".join([head, "", *table(benchmarks)])
        for path, benchmarks in files.items()
    }


def insert(document: str, path: str, text: str) -> str:
    r"""The document with the text between the markers of a file.

    Raises ``ValueError`` if a marker is missing.

    >>> print(insert(f"a\n{BEGIN.format('b.py')}\nold\n{END}\nc", "b.py", "new"))
    a
    <!-- results of b.py: written by `make bench` -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- end of results -->
    c
    """
    opening = BEGIN.format(path)
    before, begin, rest = document.partition(opening)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document must have the lines {opening!r} and {END!r}")
    return f"{before}{opening}\n\n{text}\n\n{END}{after}"


def main() -> None:
    """Read the run named first, write into the document named second."""
    run, path = map(Path, sys.argv[1:])
    document = path.read_text()
    for file, text in results(json.loads(run.read_text())).items():
        print(f"{file}\n\n{text}\n")
        document = insert(document, file, text)
    path.write_text(document)


if __name__ == "__main__":
    main()
