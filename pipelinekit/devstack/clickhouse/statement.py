"""Where an INSERT's statement ends and its data begins, as ClickHouse's HTTP interface sees it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Blanks, comments, quoted strings and names, words, and any other single byte.
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`
    |(?P<word>\w+)|.""",
    re.DOTALL | re.VERBOSE,
)
# The line of the format's name ends the statement; the data follows.
_LINE_END = re.compile(rb"[ \t]*;?[ \t]*(?:\r?\n|$)|[ \t]*;|[ \t]+|")
_DATA_IN_STATEMENT = frozenset({b"VALUES", b"SELECT", b"WITH", b"INFILE"})
_SESSION_CHANGING = frozenset({b"SET", b"USE"})


@dataclass(frozen=True, slots=True)
class Insert:
    """`INSERT INTO <target> [SETTINGS …] FORMAT <format>` and the data behind it."""

    target: str
    settings: str
    format: str
    data: memoryview

    def from_file(self, path: str) -> str:
        """The statement that inserts what the file holds."""
        source = f"FROM INFILE '{path}' COMPRESSION 'none'"
        return f"{self.target} {source} {self.settings} FORMAT {self.format}"


def split_insert(statement: bytes) -> Insert | None:
    """The parts of an INSERT … FORMAT, None for any other statement: those are all text."""
    words = _outer_words(statement)
    if next(words, (b"", 0, 0))[0] != b"INSERT":
        return None
    settings_at = None
    for word, start, _ in words:
        if word in _DATA_IN_STATEMENT:
            return None
        if word == b"SETTINGS":
            settings_at = start
        if word == b"FORMAT":
            name, _, end = next(words, (b"", 0, 0))
            if not name:
                return None
            line_end = _LINE_END.match(statement, end)
            data_at = line_end.end() if line_end else end
            return Insert(
                target=statement[: settings_at or start].decode().strip(),
                settings=statement[settings_at:start].decode() if settings_at else "",
                format=statement[end - len(name) : end].decode(),
                data=memoryview(statement)[data_at:],
            )
    return None


def changes_session(statement: bytes) -> bool:
    """Whether the session is another one afterwards: SET, USE, temporary tables."""
    first = [word for word, _, _ in itertools.islice(_outer_words(statement), 4)]
    return bool(first) and (first[0] in _SESSION_CHANGING or b"TEMPORARY" in first)


def _outer_words(statement: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The words outside quotes, comments and brackets, in capitals, with where they start and end.

    Lazy: the data behind a statement is never looked at.
    """
    depth = 0
    for token in _TOKEN.finditer(statement):
        text = token[0]
        if text == b"(":
            depth += 1
        elif text == b")":
            depth -= 1
        elif depth == 0 and token["word"]:
            yield text.upper(), token.start(), token.end()
