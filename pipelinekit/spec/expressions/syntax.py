"""Text → syntax tree, with the place of every piece: a Pratt parser for the closed SQL subset.

Our own and small, rather than a whole SQL parser's: a finding must point at the exact characters,
hostile text must meet bounds, and `validate` must start in no time. The tests compare its trees
with those of sqlglot, so the subset stays SQL.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelinekit.spec.expressions.problems import SyntaxProblem, shown
from pipelinekit.spec.expressions.tokens import Token, tokenize
from pipelinekit.spec.expressions.ways_out import (
    CASE_USAGE,
    CAST_USAGE,
    NOT_USAGE,
    foreign,
    way_out,
)

# All that walk a tree recurse.
DEPTH_MAX = 64  # of brackets and signs, in the text
HEIGHT_MAX = 64  # of the tree
# Binding powers, loosest first.
_COMPARISON = 4
_BINARY = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(("=", "!=", "<>", "<", "<=", ">", ">="), _COMPARISON),
    **dict.fromkeys(("+", "-"), 6),
    **dict.fromkeys(("*", "/", "%"), 7),
}
_NOT_POWER, _SIGN_POWER = 3, 8
_POSTFIX = frozenset(("is", "in", "between", "like", "not"))
_TYPED_TEXTS = ("timestamp", "date")


class Node(NamedTuple):
    """`kind` is one of name number text null bool operator function list.

    `value` is the name, the number as written, the text without its quotes, the operator or the
    function in lower case.
    """

    kind: str
    value: str
    arguments: tuple[Node, ...]
    start: int
    end: int
    height: int = 1


def parse(text: str) -> Node:
    """The syntax tree of one whole expression. Raises SyntaxProblem."""
    tokens = tokenize(text)
    if not tokens:
        help = "write one, such as kind = 'view'"
        raise SyntaxProblem("the expression is empty", 0, len(text), help)
    parser = _Parser(tokens, len(text))
    node = parser.expression(0)
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, tokens: list[Token], length: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._length = length

    def expression(self, power: int) -> Node:
        """What binds tighter than `power`, from here on."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            start = min(self._place(), self._length - 1)
            raise SyntaxProblem(f"nested more than {DEPTH_MAX} levels deep", start, start + 1)
        left = self._prefix(power)
        while (token := self._peek()) and token.kind in ("operator", "keyword"):
            if _BINARY.get(token.text, 0) > power:
                left = self._binary(left, token)
            elif token.text in _POSTFIX and power < _COMPARISON:
                left = self._postfix(left, token)
            else:
                break
        self._depth -= 1
        return left

    def expect_end(self) -> None:
        if token := self._peek():
            raise self._unexpected(token)

    def _binary(self, left: Node, token: Token) -> Node:
        self._at += 1
        power = _BINARY[token.text]
        right = self.expression(power)
        if power == _COMPARISON:
            self._refuse_chain()
        name = "!=" if token.text == "<>" else token.text
        operands: tuple[Node, ...] = (left, right)
        if name in ("and", "or"):
            operands = (*_operands(left, name), *_operands(right, name))
        return _call("operator", name, operands, left.start, right.end)

    def _refuse_chain(self) -> None:
        """`a = b = c` and `a = b is null` mean different things in different engines."""
        after = self._peek()
        if after is None or after.kind not in ("operator", "keyword"):
            return
        if _BINARY.get(after.text, 0) >= _COMPARISON or after.text in _POSTFIX:
            raise SyntaxProblem(
                f"{shown(after.text)} can't follow another comparison",
                after.start,
                after.end,
                "join comparisons with and, or put one in brackets",
            )

    def _prefix(self, power: int) -> Node:
        token = self._next("an expression")
        match token.kind, token.text:
            case "number", _:
                return Node("number", token.text, (), token.start, token.end)
            case "text", _:
                return _text(token)
            case "name", _:
                return self._name(token)
            case "operator", "(":
                inner = self.expression(0)
                close = self._expect(")")
                return Node(
                    inner.kind, inner.value, inner.arguments, token.start, close.end, inner.height
                )
            case "operator", "[":
                items, end = self._list("]")
                if not items:
                    help = "put at least one value in, as in [100, 500]"
                    raise SyntaxProblem("the list is empty", token.start, end, help)
                return _call("list", "[", tuple(items), token.start, end)
            case "operator", "-":
                operand = self.expression(_SIGN_POWER)
                if operand.kind == "number":
                    value = ("-" + operand.value).removeprefix("--")
                    return Node("number", value, (), token.start, operand.end)
                return _call("operator", "neg", (operand,), token.start, operand.end)
            case "keyword", "not" if power <= _NOT_POWER:
                operand = self.expression(_NOT_POWER)
                return _call("operator", "not", (operand,), token.start, operand.end)
            case "keyword", "null":
                return Node("null", "null", (), token.start, token.end)
            case "keyword", "true" | "false":
                return Node("bool", token.text, (), token.start, token.end)
            case "keyword", "case":
                return self._case(token)
            case "keyword", "cast":
                return self._cast(token)
            case _:
                raise self._unexpected(token)

    def _postfix(self, left: Node, token: Token) -> Node:
        self._at += 1
        is_negated = token.text == "not"
        if is_negated:
            token = self._next("in, between or like", NOT_USAGE)
        match token.kind, token.text:
            case "keyword", "is" if not is_negated:
                is_negated = self._take("not") is not None
                null = self._expect("null", "write is null, or the condition itself")
                node = _call("operator", "is_null", (left,), left.start, null.end)
            case "keyword", "in":
                self._expect("(", "write x in ('a', 'b')")
                items, end = self._list()
                if not items:
                    message = "the list of in (…) is empty"
                    raise SyntaxProblem(message, token.start, end, "write x in ('a', 'b')")
                node = _call("operator", "in", (left, *items), left.start, end)
            case "keyword", "between":
                low = self.expression(_COMPARISON)
                self._expect("and", "write x between a and b")
                high = self.expression(_COMPARISON)
                node = _call("operator", "between", (left, low, high), left.start, high.end)
            case "keyword", "like":
                pattern = self.expression(_COMPARISON)
                node = _call("operator", "like", (left, pattern), left.start, pattern.end)
            case _:
                raise self._unexpected(token, NOT_USAGE)
        self._refuse_chain()
        return _call("operator", "not", (node,), node.start, node.end) if is_negated else node

    def _name(self, token: Token) -> Node:
        after = self._peek()
        lowered = token.text.lower()
        if after is not None and after.text == "(":
            self._at += 1
            if lowered == "extract":
                return self._extract(token)
            arguments, end = self._list()
            return _call("function", lowered, tuple(arguments), token.start, end)
        if after is not None and after.kind == "text" and lowered in _TYPED_TEXTS:
            self._at += 1
            target = Node("name", lowered, (), token.start, token.end)
            return _call("operator", "cast", (_text(after), target), token.start, after.end)
        return Node("name", token.text, (), token.start, token.end)

    def _extract(self, token: Token) -> Node:
        part = self._next("a part such as hour")
        word = self._next("from")
        if word.text.lower() != "from":
            message = f'"from" was expected before {shown(word.text)}'
            raise SyntaxProblem(message, word.start, word.end, "write extract(hour from t)")
        time = self.expression(0)
        close = self._expect(")")
        unit = Node("text", part.text.lower(), (), part.start, part.end)
        return _call("function", "extract", (unit, time), token.start, close.end)

    def _case(self, token: Token) -> Node:
        parts: list[Node] = []
        while self._take("when"):
            parts.append(self.expression(0))
            self._expect("then", CASE_USAGE)
            parts.append(self.expression(0))
        if not parts:
            self._expect("when", CASE_USAGE)
        if self._take("else"):
            parts.append(self.expression(0))
        end = self._expect("end", CASE_USAGE)
        if len(parts) % 2 == 0:
            parts.append(Node("null", "null", (), end.start, end.end))
        return _call("operator", "case", tuple(parts), token.start, end.end)

    def _cast(self, token: Token) -> Node:
        self._expect("(", CAST_USAGE)
        operand = self.expression(0)
        self._expect("as", CAST_USAGE)
        first = last = self._next("a type")
        words, depth = [first.text], 0
        while (after := self._peek()) and (depth > 0 or after.text != ")"):
            depth += {"(": 1, ")": -1}.get(after.text, 0)
            words.append(after.text)
            last = after
            self._at += 1
        close = self._expect(")", CAST_USAGE)
        target = Node("name", "".join(words).lower(), (), first.start, last.end)
        return _call("operator", "cast", (operand, target), token.start, close.end)

    def _list(self, closing: str = ")") -> tuple[list[Node], int]:
        """The expressions up to the closing bracket, and where that ends."""
        items: list[Node] = []
        if close := self._take(closing):
            return items, close.end
        while True:
            items.append(self.expression(0))
            if not self._take(","):
                return items, self._expect(closing).end

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _place(self) -> int:
        token = self._peek()
        return token.start if token else self._length

    def _take(self, text: str) -> Token | None:
        token = self._peek()
        if token is None or token.text != text or token.kind not in ("operator", "keyword"):
            return None
        self._at += 1
        return token

    def _expect(self, text: str, help: str | None = None) -> Token:
        if token := self._take(text):
            return token
        is_closing = text in (")", "]")
        found = self._next(shown(text), f"close the bracket with {text}" if is_closing else help)
        if problem := foreign(found, self._before(found)):
            raise problem
        message = f"{shown(text)} was expected before {shown(found.text)}"
        if help is None and is_closing:
            help = f"put an operator, a comma or {text} before it"
        raise SyntaxProblem(message, found.start, found.end, help)

    def _next(self, wanted: str, help: str | None = None) -> Token:
        token = self._peek()
        if token is None:
            start = max(self._length - 1, 0)
            help = help or f"put a value after {shown(self._tokens[-1].text)}"
            raise SyntaxProblem(f"{wanted} is missing at the end", start, self._length, help)
        self._at += 1
        return token

    def _unexpected(self, token: Token, help: str | None = None) -> SyntaxProblem:
        before = self._before(token)
        if problem := foreign(token, before):
            return problem
        message = f"{shown(token.text)} was not expected here"
        return SyntaxProblem(message, token.start, token.end, help or way_out(token, before))

    def _before(self, token: Token) -> Token | None:
        at = self._tokens.index(token)
        return self._tokens[at - 1] if at > 0 else None


def _call(kind: str, value: str, arguments: tuple[Node, ...], start: int, end: int) -> Node:
    height = 1 + max((a.height for a in arguments), default=0)
    if height > HEIGHT_MAX:
        message = f"more than {HEIGHT_MAX} operators hang on one another"
        raise SyntaxProblem(message, start, end, "split it in several measures")
    return Node(kind, value, arguments, start, end, height)


def _operands(node: Node, name: str) -> tuple[Node, ...]:
    """`and` and `or` hold all their operands side by side, however they were bracketed."""
    return node.arguments if node.kind == "operator" and node.value == name else (node,)


def _text(token: Token) -> Node:
    value = token.text[1:-1].replace("''", "'")
    return Node("text", value, (), token.start, token.end)
