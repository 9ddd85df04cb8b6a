"""Text → tokens with their places. What SQL has and the language lacks is refused by name."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from pipelinekit.spec.expressions.problems import SyntaxProblem, shown

LENGTH_MAX = 4_096
KEYWORDS = frozenset(
    (
        *("and", "or", "not", "in", "between", "like", "is", "null", "true", "false"),
        *("case", "when", "then", "else", "end", "cast", "as"),
    )
)
_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>'[^']*(?:''[^']*)*'(?!'))
    | (?P<operator>(?!--|/\*|==)(?:<>|!=|<=|>=|[-+*/%=<>(),\[\]]))
    )""",
    re.VERBOSE | re.ASCII,
)
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# What people write by habit, and what the language says instead; longest first.
_FOREIGN = {
    "--": ("begins a comment", "leave comments to the YAML around it"),
    "/*": ("begins a comment", "leave comments to the YAML around it"),
    "==": ("is not an operator here", "write ="),
    "||": ("is not an operator here", "use concat(a, b)"),
    "&&": ("is not an operator here", "write and"),
    "::": ("is not an operator here", "use cast(x as type)"),
    ";": ("is not part of an expression", "write one expression, without a semicolon"),
    "#": ("is not part of an expression", "leave comments to the YAML around it"),
    '"': ("opens no text", "write texts in single quotes, 'view', and fields without quotes"),
    "`": ("quotes no name", "write fields without quotes"),
    "!": ("is not an operator here", "write not"),
    ".": ("can't stand here", "write 0.5 for numbers, and fields without their source's name"),
    "$": ("is not part of an expression", "variables are filled in sources and sinks only"),
}


class Token(NamedTuple):
    """`kind` is one of number name keyword text operator; keywords are in lower case."""

    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """All tokens of the text. Raises SyntaxProblem."""
    if len(text) > LENGTH_MAX:
        message = f"the expression has {len(text)} characters, {LENGTH_MAX} are the most"
        raise SyntaxProblem(message, 0, LENGTH_MAX)
    if bad := _UNSTORABLE.search(text):
        name = f"U+{ord(bad[0]):04X}"
        message = f"the character {name} can't be part of an expression"
        raise SyntaxProblem(message, bad.start(), bad.end(), "delete it")
    tokens = []
    at = 0
    while found := _TOKEN.match(text, at):
        kind = found.lastgroup
        assert kind is not None
        word, at = found[kind], found.end()
        start = at - len(word)
        if kind == "name" and (lowered := word.lower()) in KEYWORDS:
            kind, word = "keyword", lowered
        tokens.append(Token(kind, word, start, at))
    rest = text[at:].lstrip(" \t\r\n")
    if rest:
        _refuse(text, len(text) - len(rest))
    return tokens


def _refuse(text: str, at: int) -> NoReturn:
    character = text[at]
    if character == "'":
        message = "the text that begins here has no end"
        raise SyntaxProblem(message, at, len(text), "close it with '")
    for foreign, (reason, way_out) in _FOREIGN.items():
        if text.startswith(foreign, at):
            raise SyntaxProblem(f"{shown(foreign)} {reason}", at, at + len(foreign), way_out)
    if character in "0123456789":
        word = text[at:].split()[0]
        usage = "write numbers as 12, 0.5 or 1e6"
        raise SyntaxProblem(f"{shown(word)} is not a number", at, at + len(word), usage)
    message = f"{shown(character)} (U+{ord(character):04X}) is not part of an expression"
    help: str | None = None
    if character in "‘’‚‛“”„′":
        help = "write texts in straight single quotes: 'view'"
    elif character.isspace():
        help = "replace it by a plain space"
    elif character.isalpha():
        help = "names are made of a-z, 0-9 and _"
    raise SyntaxProblem(message, at, at + 1, help)
