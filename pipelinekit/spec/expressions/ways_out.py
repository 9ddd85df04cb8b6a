"""What to do about a piece of an expression that can't stand where it does."""

from __future__ import annotations

from pipelinekit.spec.expressions.problems import SyntaxProblem, shown
from pipelinekit.spec.expressions.tokens import Token

CASE_USAGE = "write case when condition then value else value end"
CAST_USAGE = "write cast(x as int)"
NOT_USAGE = "write x not in (…), x not between a and b, or x not like '…'"
_BINARY = frozenset(("or", "and", "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"))
# After these no value is wanted; after all other operators and keywords one is.
_COMPLETE = frozenset((")", "]", "null", "true", "false", "end"))
_FOREIGN_WORDS = {
    "select": "write an expression over the fields of one event",
    "from": "write an expression over the fields of one event",
    "over": "windows are set under window:",
    "distinct": "use count_distinct(x) or approx_count_distinct(x)",
    "exists": "write an expression over the fields of one event",
    "ilike": "use lower(x) like '…'",
    "rlike": "use regexp_match(x, 'pattern')",
    "similar": "use regexp_match(x, 'pattern')",
    "any": "use in (…)",
    "all": "use in (…)",
    "interval": "compare timestamps with timestamp '…'",
    "escape": r"escape % and _ in a pattern by \% and \_",
    "filter": "a measure's filter stands under its filter:",
    "div": "use floor(a / b)",
    "mod": "write a % b",
    "xor": "use a != b",
    "at": "use date_trunc('day', t, 'zone')",
}


def foreign(token: Token, before: Token | None) -> SyntaxProblem | None:
    """The problem with a word of SQL that the language lacks, at the token or just before it."""
    for candidate in (token, before):
        if candidate is None or candidate.kind != "name":
            continue
        if help := _FOREIGN_WORDS.get(candidate.text.lower()):
            message = f"{shown(candidate.text)} is not part of the language"
            return SyntaxProblem(message, candidate.start, candidate.end, help)
    return None


def way_out(token: Token, before: Token | None) -> str:
    """The next step for a token that was not expected after `before`, None at the beginning."""
    word = token.text if token.kind in ("operator", "keyword") else ""
    if word == "not":
        return "put not (…) in brackets"
    if word in ("when", "then", "else", "end"):
        return CASE_USAGE
    if word == "as":
        return CAST_USAGE
    if before is None or _wants_value(before):
        return _before_value(before, token)
    if word in (")", "]"):
        return "delete it, or open the bracket before"
    if word == ",":
        return "delete it: one expression stands here"
    return "put an operator before it, such as and, = or +"


def _wants_value(token: Token) -> bool:
    return token.kind in ("operator", "keyword") and token.text not in _COMPLETE


def _before_value(before: Token | None, token: Token) -> str:
    """What to do about a token where a value is wanted; `before` is what wants it."""
    after_bracket = before is None or before.text == "("
    if token.text == "*" and after_bracket:
        return "count all events with count()"
    if before is not None and before.text in _BINARY and token.text in _BINARY:
        return "delete one of the two, or put a value between them"
    if token.text == ")" and after_bracket:
        return "put an expression between the brackets"
    return f"put a value before {shown(token.text)}"
