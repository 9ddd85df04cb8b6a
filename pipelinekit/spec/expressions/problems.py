"""What can be wrong with an expression, as values with their place in its text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

CODES = {
    "PK200": "the text is not an expression of the language",
    "PK201": "a name is no field of the source",
    "PK202": "a function doesn't exist",
    "PK203": "types or the number of arguments don't fit",
    "PK204": "a measure doesn't exist",
    "PK205": "a written value is out of range, or is missing where one must be written",
    "PK206": "a regular expression is outside the subset that all engines share",
}
_SHOWN_MAX = 40
_NAME_MAX = 64


class Problem(NamedTuple):
    """One finding in an expression; `start` and `end` are characters of its text."""

    code: str
    message: str
    start: int
    end: int
    help: str | None = None


class SyntaxProblem(Exception):
    """The text isn't of the language; `start` and `end` are the characters that show it."""

    def __init__(self, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem("PK200", message, start, end, help)


class Mismatch(Exception):
    """Types that don't go together: the rule, and the way out if there is one."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.help = message, help


def shown(text: str) -> str:
    """A piece of hostile text as a message can quote it: short, printable, in double quotes."""
    printable = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_SHOWN_MAX])
    return f'"{printable}…"' if len(text) > _SHOWN_MAX else f'"{printable}"'


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    if len(word) > _NAME_MAX:
        return None
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def listed(words: Iterable[str]) -> str:
    """The words as a message lists them, the first thirty."""
    words = list(words)
    return ", ".join(words[:30]) + (", …" if len(words) > 30 else "")
