"""On which line of a TOML file each key stands."""

import re
import tomllib

Path = tuple[str | int, ...]
"""Where a value is: keys of tables and numbers of list items, outermost first."""

_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:[^"\\]|\\.)*"|\'[^\']*\'',
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


def locate(text: str) -> dict[Path, int]:
    r"""Line of every table, key and list item, the first line being 1.

    The text must be TOML that `tomllib` reads.  O(characters).

    >>> locate('[shocks]\nat = [1,\n  2]')[("shocks", "at", 1)]
    3
    """
    return _Scanner(text).lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Line of the path, or of the nearest table around it; None if there is none."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


class _Scanner:
    """Walks over text known to be right, so that it looks only for where things are."""

    def __init__(self, text: str) -> None:
        # As tomllib does: the line endings of Windows count as one character.
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.counted = (0, 1)  # a position and its line
        self.lines: dict[Path, int] = {}
        self.items: dict[Path, int] = {}  # of each array of tables
        table: Path = ()
        self.skip(_SPACE)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_SPACE)

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Move past the pattern; what it matched."""
        found = pattern.match(self.text, self.at)
        assert found, f"no {pattern.pattern} at {self.at}"
        self.at = found.end()
        return found[0]

    def note(self, path: Path, start: int) -> None:
        """Keep the line of ``start``, unless the path has one already."""
        position, line = self.counted
        line += self.text.count("\n", position, start)
        self.counted = (start, line)
        self.lines.setdefault(path, line)

    def keys(self) -> list[str]:
        """A key, dotted or not, each part bare or quoted."""
        parts = []
        while True:
            self.skip(_BLANK)
            part = self.skip(_KEY)
            parts.append(
                tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part
            )
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def header(self) -> Path:
        """A line of ``[table]`` or ``[[array of tables]]``; the path it opens."""
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 1 + double
        keys = self.keys()
        self.at += 1 + double
        path: Path = ()
        for key in keys[:-1]:
            path += (key,)
            self.note(path, start)
            path = self.last(path)
        path += (keys[-1],)
        if double:
            self.note(path, start)
            number = self.items[path] = self.items.get(path, -1) + 1
            path += (number,)
        self.note(path, start)
        return path

    def last(self, path: Path) -> Path:
        """The path itself, or the last item of the array of tables of that name."""
        return path + (self.items[path],) if path in self.items else path

    def pair(self, table: Path) -> None:
        """A key and its value."""
        start = self.at
        path = table
        for key in self.keys():
            path += (key,)
            self.note(path, start)
        self.at += 1
        self.skip(_BLANK)
        self.value(path)

    def value(self, path: Path) -> None:
        """A value, with everything inside it."""
        first = self.text[self.at]
        if first in "\"'":
            self.skip(_STRING)
        elif first in "[{":
            self.at += 1
            number = 0
            self.skip(_SPACE)
            while self.text[self.at] not in "]}":
                if first == "{":
                    self.pair(path)
                else:
                    self.note(path + (number,), self.at)
                    self.value(path + (number,))
                    number += 1
                self.skip(_SPACE)
                if self.text[self.at] == ",":
                    self.at += 1
                    self.skip(_SPACE)
            self.at += 1
        else:
            self.skip(_SCALAR)
