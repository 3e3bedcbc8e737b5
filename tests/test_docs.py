"""The documents' code runs as it stands, top to bottom, one namespace per file."""

import doctest
import re
import shlex
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from flashwick.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- not run: *(?P<excuse>\S[^\n]*?) *-->\n\n?)?"
    r"```(?P<language>python|console)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CHECKER = doctest.OutputChecker()
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@attrs.frozen
class Block:
    """A piece of code in a document."""

    language: str
    text: str
    line: int  # of the fence
    excuse: str | None = None


def blocks(document: str) -> list[Block]:
    """Python and console blocks, in order."""
    return [
        Block(
            found["language"],
            found["text"],
            document[: found.start("language")].count("\n") + 1,
            found["excuse"],
        )
        for found in BLOCK.finditer(document)
    ]


def run_python(block: Block, where: str, namespace: dict) -> None:
    """Run a block; one with ``>>>`` must print what it shows."""
    if ">>> " in block.text:
        test = doctest.DocTestParser().get_doctest(
            block.text, namespace, where, where, block.line
        )
        runner = doctest.DocTestRunner(optionflags=LOOSE)
        failed = runner.run(test, clear_globs=False).failed
        namespace.update(test.globs)
        assert not failed, f"{where}:{block.line} prints something else"
    else:
        # Empty lines in front: a traceback then has the document's line numbers.
        exec(compile("\n" * block.line + block.text, where, "exec"), namespace)


def run_console(block: Block, where: str) -> None:
    """Run each ``$ flashwick`` line; output that is shown must come, ``...`` is any."""
    for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = piece.replace("\\\n", " ").partition("\n")
        program, *arguments = shlex.split(command, comments=True)
        if program != "flashwick":
            continue
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, f"{where}:{block.line}: {result.output}"
        if shown.strip():
            assert CHECKER.check_output(shown, result.output, LOOSE), (
                f"{where}:{block.line} shows\n{shown}\nand prints\n{result.output}"
            )


def run(document: str, where: str) -> None:
    """Run all blocks of a document but those with an excuse."""
    namespace = {"__name__": "__document__"}
    for block in blocks(document):
        if block.excuse:
            continue
        if block.language == "python":
            run_python(block, where, namespace)
        else:
            run_console(block, where)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_the_document_runs(path, tmp_path, monkeypatch):
    """Whoever types what a document shows gets what it says."""
    monkeypatch.chdir(tmp_path)
    run(path.read_text(), path.name)


# -- The reader of documents itself


def test_blocks_share_a_namespace(tmp_path, monkeypatch):
    """What one block defines, the next ones of the file see; an excuse skips."""
    monkeypatch.chdir(tmp_path)
    run(
        "```python\nx = 2\n```\n"
        "<!-- not run: it divides by nothing -->\n```python\n1 / 0\n```\n"
        "```python\n>>> x + 1\n3\n>>> y = x\n```\n"
        "```python\nassert y == 2\n```\n",
        "example.md",
    )


@pytest.mark.parametrize(
    "document",
    [
        "```python\n1 / 0\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "<!-- not run: -->\n```python\n1 / 0\n```\n",
        "```console\n$ flashwick no-such-command\n```\n",
        "```console\n$ flashwick --help\nnothing like this\n```\n",
    ],
)
def test_block_that_fails_is_reported(document):
    """An error, another output, an excuse without a reason: the test fails."""
    with pytest.raises((ZeroDivisionError, AssertionError)):
        run(document, "example.md")


def test_commands_of_other_programs_are_not_run():
    """Only ``$ flashwick`` lines run; a long one may go on after a backslash."""
    run(
        "```console\n$ rm -r everything\n$ flashwick \\\n    --help\nUsage: ...\n```\n",
        "example.md",
    )
