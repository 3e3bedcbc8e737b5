"""The places in documents that a program writes: between two marker lines."""

import re
from pathlib import Path


def _lines(name: str) -> tuple[str, str]:
    begin = rf"<!-- {re.escape(name)}: written by docs/make\.py[ a-z]* -->\n"
    return begin, rf"\n<!-- end of {re.escape(name)} -->"


def marked(text: str, name: str) -> str:
    """What stands between the two marker lines of a name; ValueError if none does."""
    begin, end = _lines(name)
    found = re.search(f"{begin}(.*?){end}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no place for {name!r}")
    return found[1].strip()


def write(path: Path, name: str, content: str) -> None:
    """Put the content between the two marker lines of its name in a document."""
    begin, end = _lines(name)
    text = path.read_text("utf-8")
    pattern = f"({begin}).*?({end})"
    new, count = re.subn(
        pattern, lambda m: f"{m[1]}\n{content}\n{m[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{path.name} must have one place for {name!r} (got {count})")
    path.write_text(new, "utf-8")


def text_block(found: object) -> str:
    """What a result prints, as a block of text."""
    return f"```text\n{found}\n```"
