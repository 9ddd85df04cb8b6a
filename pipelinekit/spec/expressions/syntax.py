"""Text → syntax tree, with the place of every piece: a Pratt parser for the closed SQL subset.

Our own and small, rather than a whole SQL parser's, because a finding must point at the exact
characters, hostile text must meet bounds, and `validate` must start in no time
(docs/decisions/0003-expression-parser.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

LENGTH_MAX = 4_096
DEPTH_MAX = 40

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>'(?:[^']|'')*')
    | (?P<operator><>|!=|<=|>=|[-+*/%=<>(),\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)
KEYWORDS = frozenset(
    (
        *("and", "or", "not", "in", "between", "like", "is", "null", "true", "false"),
        *("case", "when", "then", "else", "end", "cast", "as"),
    )
)
# Binding powers, loosest first.
_BINARY = {"or": 1, "and": 2, "=": 4, "!=": 4, "<>": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
_BINARY |= {"+": 6, "-": 6, "*": 7, "/": 7, "%": 7}
_NOT_POWER, _POSTFIX_POWER, _SIGN_POWER = 3, 4, 8


class SyntaxProblem(Exception):
    """The text isn't of the language; `start` and `end` are the characters that show it."""

    def __init__(self, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.help = message, start, end, help


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is one of name number text null bool list call; calls hold a function's name."""

    kind: str
    value: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> Node:
    """The syntax tree of one whole expression. Raises SyntaxProblem."""
    if len(text) > LENGTH_MAX:
        raise SyntaxProblem(
            f"the expression has {len(text)} characters, {LENGTH_MAX} are the most", 0, 1
        )
    parser = _Parser(_tokens(text), len(text))
    node = parser.expression(0)
    parser.expect_end()
    return node


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            rest = text[at:]
            if not rest.strip():
                break
            _refuse_character(text, at + len(rest) - len(rest.lstrip()))
        group = kind = str(found.lastgroup)
        word = found[group]
        lowered = word.lower() if kind == "name" else word
        if lowered in KEYWORDS:
            kind, word = "keyword", lowered
        tokens.append(_Token(kind, word, found.start(group), found.end(group)))
        at = found.end()
    return tokens


def _refuse_character(text: str, at: int) -> NoReturn:
    character = text[at]
    if character == "'":
        raise SyntaxProblem(
            "the text that begins here has no end", at, len(text), "close it with '"
        )
    if character == '"':
        raise SyntaxProblem(
            "a double quote opens no text", at, at + 1, "write texts in single quotes: 'view'"
        )
    if text.startswith("--", at) or text.startswith("/*", at) or character in "#;":
        raise SyntaxProblem(f'"{text[at : at + 2]}" is not part of an expression', at, at + 1)
    if text.startswith("||", at):
        raise SyntaxProblem('"||" is not an operator here', at, at + 2, "use concat(a, b)")
    if text.startswith("::", at):
        raise SyntaxProblem('"::" is not an operator here', at, at + 2, "use cast(x as type)")
    if character.isdigit():
        raise SyntaxProblem(f'"{text[at:].split()[0][:20]}" is not a number', at, at + 1)
    name = f"U+{ord(character):04X}"
    raise SyntaxProblem(f'"{character}" ({name}) is not part of an expression', at, at + 1)


class _Parser:
    def __init__(self, tokens: list[_Token], length: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._length = length

    def expression(self, power: int) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            token = self._peek()
            start = token.start if token else self._length
            raise SyntaxProblem(f"nested more than {DEPTH_MAX} levels deep", start, start + 1)
        left = self._prefix()
        while True:
            token = self._peek()
            if token is None:
                break
            if token.text in _BINARY and token.kind != "text":
                if _BINARY[token.text] <= power:
                    break
                left = self._binary(left, token)
            elif token.kind == "keyword" and token.text in ("is", "in", "between", "like", "not"):
                if power >= _POSTFIX_POWER:
                    break
                left = self._postfix(left, token)
            else:
                break
        self._depth -= 1
        return left

    def expect_end(self) -> None:
        if token := self._peek():
            raise SyntaxProblem(f'"{token.text}" was not expected here', token.start, token.end)

    def _binary(self, left: Node, token: _Token) -> Node:
        self._at += 1
        power = _BINARY[token.text]
        right = self.expression(power)
        name = "!=" if token.text == "<>" else token.text
        if power == 4 and (after := self._peek()) and _BINARY.get(after.text) == 4:
            raise SyntaxProblem(
                f'"{after.text}" can\'t follow another comparison',
                after.start,
                after.end,
                "join comparisons with and",
            )
        return Node("call", name, (left, right), left.start, right.end)

    def _prefix(self) -> Node:
        token = self._next("an expression")
        match token.kind, token.text:
            case "number", _:
                return Node("number", token.text, (), token.start, token.end)
            case "text", _:
                value = token.text[1:-1].replace("''", "'")
                return Node("text", value, (), token.start, token.end)
            case "operator", "(":
                inner = self.expression(0)
                close = self._expect(")")
                return Node(inner.kind, inner.value, inner.arguments, token.start, close.end)
            case "operator", "-":
                operand = self.expression(_SIGN_POWER)
                if operand.kind == "number" and not operand.value.startswith("-"):
                    return Node("number", "-" + operand.value, (), token.start, operand.end)
                return Node("call", "neg", (operand,), token.start, operand.end)
            case "keyword", "not":
                operand = self.expression(_NOT_POWER)
                return Node("call", "not", (operand,), token.start, operand.end)
            case "keyword", "null":
                return Node("null", "null", (), token.start, token.end)
            case "keyword", "true" | "false":
                return Node("bool", token.text, (), token.start, token.end)
            case "keyword", "case":
                return self._case(token)
            case "keyword", "cast":
                return self._cast(token)
            case "name", _:
                return self._name(token)
            case _:
                hint = "count all events with count()" if token.text == "*" else None
                raise SyntaxProblem(
                    f'"{token.text}" was not expected here', token.start, token.end, hint
                )

    def _postfix(self, left: Node, token: _Token) -> Node:
        self._at += 1
        negated = token.text == "not"
        if negated:
            token = self._next("in, between or like")
        match token.text:
            case "is" if not negated:
                negated = self._take("not") is not None
                null = self._expect("null")
                node = Node("call", "is_null", (left,), left.start, null.end)
            case "in":
                self._expect("(")
                items, end = self._list(")")
                if not items:
                    raise SyntaxProblem("the list of in (…) is empty", token.start, end)
                node = Node("call", "in", (left, *items), left.start, end)
            case "between":
                low = self.expression(_POSTFIX_POWER)
                self._expect("and")
                high = self.expression(_POSTFIX_POWER)
                node = Node("call", "between", (left, low, high), left.start, high.end)
            case "like":
                pattern = self.expression(_POSTFIX_POWER)
                node = Node("call", "like", (left, pattern), left.start, pattern.end)
            case _:
                raise SyntaxProblem(f'"{token.text}" was not expected here', token.start, token.end)
        return Node("call", "not", (node,), node.start, node.end) if negated else node

    def _name(self, token: _Token) -> Node:
        after = self._peek()
        if after is not None and after.text == "(" and after.kind == "operator":
            self._at += 1
            if token.text.lower() == "extract":
                return self._extract(token)
            arguments, end = self._list(")")
            return Node("call", token.text.lower(), tuple(arguments), token.start, end)
        if after is not None and after.kind == "text" and token.text.lower() in _TYPED_TEXTS:
            self._at += 1
            value = Node("text", after.text[1:-1], (), after.start, after.end)
            target = Node("name", token.text.lower(), (), token.start, token.end)
            return Node("call", "cast", (value, target), token.start, after.end)
        return Node("name", token.text, (), token.start, token.end)

    def _extract(self, token: _Token) -> Node:
        part = self._next("a part such as hour")
        word = self._next("from")
        if word.text.lower() != "from":
            raise SyntaxProblem(
                f'"{word.text}" was not expected here',
                word.start,
                word.end,
                "write extract(hour from t)",
            )
        time = self.expression(0)
        close = self._expect(")")
        unit = Node("text", part.text.lower(), (), part.start, part.end)
        return Node("call", "extract", (unit, time), token.start, close.end)

    def _case(self, token: _Token) -> Node:
        parts: list[Node] = []
        while self._take("when"):
            parts.append(self.expression(0))
            self._expect("then")
            parts.append(self.expression(0))
        if not parts:
            found = self._next("when")
            raise SyntaxProblem(
                f'"{found.text}" was not expected here',
                found.start,
                found.end,
                "write case when condition then value else value end",
            )
        if self._take("else"):
            parts.append(self.expression(0))
        end = self._expect("end")
        if len(parts) % 2 == 0:
            parts.append(Node("null", "null", (), end.start, end.end))
        return Node("call", "case", tuple(parts), token.start, end.end)

    def _cast(self, token: _Token) -> Node:
        self._expect("(")
        operand = self.expression(0)
        self._expect("as")
        first = self._next("a type")
        text, last, depth = first.text, first, 0
        while (token_ := self._peek()) and (depth or token_.text != ")"):
            depth += {"(": 1, ")": -1}.get(token_.text, 0)
            text, last = text + token_.text, token_
            self._at += 1
        close = self._expect(")")
        target = Node("name", text.lower(), (), first.start, last.end)
        return Node("call", "cast", (operand, target), token.start, close.end)

    def _list(self, closing: str) -> tuple[list[Node], int]:
        items: list[Node] = []
        if close := self._take(closing):
            return items, close.end
        while True:
            items.append(self.expression(0))
            if self._take(","):
                continue
            return items, self._expect(closing).end

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, text: str) -> _Token | None:
        token = self._peek()
        if token is None or token.text != text or token.kind == "text":
            return None
        self._at += 1
        return token

    def _expect(self, text: str) -> _Token:
        if token := self._take(text):
            return token
        found = self._next(f'"{text}"')
        raise SyntaxProblem(f'"{text}" was expected before "{found.text}"', found.start, found.end)

    def _next(self, wanted: str) -> _Token:
        token = self._peek()
        if token is None:
            end = self._length
            raise SyntaxProblem(f"{wanted} is missing at the end", max(end - 1, 0), end)
        self._at += 1
        return token


_TYPED_TEXTS = ("timestamp", "date")
