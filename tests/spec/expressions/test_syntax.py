"""The language is SQL: its trees are those that sqlglot reads from the same text."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from pipelinekit.spec.expressions.problems import SyntaxProblem
from pipelinekit.spec.expressions.syntax import Node, parse

_BINARY: dict[type[exp.Expression], str] = {
    exp.Or: "or", exp.And: "and", exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=",
    exp.GT: ">", exp.GTE: ">=", exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/",
    exp.Mod: "%", exp.Like: "like",
}  # fmt: skip


@settings(max_examples=150)
@given(st.data())
def test_operators_bind_as_in_sql(data: st.DataObject) -> None:
    text = " ".join(_words(data.draw, data.draw(st.integers(1, 5))))
    try:
        ours = parse(text)
    except SyntaxProblem:
        # The language asks for brackets where engines differ.
        return

    assert _ours(ours) == _theirs(sqlglot.parse_one(text, read="postgres"))


def _words(draw: st.DrawFn, operands: int) -> list[str]:
    words: list[str] = []
    for place in range(operands):
        if place:
            words.append(
                draw(st.sampled_from(("or", "and", "=", "<>", "<", ">=", "+", "-", "*", "/", "%")))
            )
        words += draw(st.sampled_from(([], [], [], ["not"], ["-"])))
        words.append(draw(st.sampled_from(("a", "b", "1", "'x'", "(a + b)", "f(a, b)"))))
        words += draw(
            st.sampled_from(
                ([], [], [], ["is null"], ["is not null"], ["in (a, 1)"], ["not in ('x')"],
                 ["between 1 and b"], ["like 'x'"], ["not like 'x'"])
            )
        )  # fmt: skip
    return words


def test_and_and_or_hold_their_operands_side_by_side() -> None:
    node = parse("a and (b and c) and d")

    assert (node.value, [a.value for a in node.arguments]) == ("and", ["a", "b", "c", "d"])
    assert parse(" or ".join(["a"] * 500)).height == 2


def test_every_node_has_its_place() -> None:
    text = "a + coalesce(b, (1)) * -c"

    node = parse(text)

    assert _pieces(node, text) == [
        "a + coalesce(b, (1)) * -c", "a", "coalesce(b, (1)) * -c", "coalesce(b, (1))", "b", "(1)",
        "-c", "c",
    ]  # fmt: skip


@pytest.mark.parametrize("opening", ["(", "-(", "not ", "f(", "a + (", "case when ", "cast("])
def test_deep_nesting_is_a_problem_and_no_crash(opening: str) -> None:
    with pytest.raises(SyntaxProblem, match="nested more than 64 levels deep"):
        parse(opening * (4_000 // len(opening)))


def _pieces(node: Node, text: str) -> list[str]:
    below = [piece for a in node.arguments for piece in _pieces(a, text)]
    return [text[node.start : node.end], *below]


def _ours(node: Node) -> object:
    if node.kind not in ("operator", "function"):
        return node.value
    return (node.value, *(_ours(a) for a in node.arguments))


def _theirs(node: exp.Expression) -> object:
    tree = _their_tree(node)
    return ("not", tree) if node.args.get("negate") else tree


def _their_tree(node: exp.Expression) -> object:
    name = _BINARY.get(type(node))
    match node:
        case exp.And() | exp.Or():
            return (name, *_joined(node, type(node)))
        case _ if name is not None:
            return (name, _theirs(node.this), _theirs(node.expression))
        case exp.Paren():
            return _theirs(node.this)
        case exp.Not():
            return ("not", _theirs(node.this))
        case exp.Neg(this=exp.Literal(is_string=False) as number):
            return f"-{number.name}"
        case exp.Neg():
            return ("neg", _theirs(node.this))
        case exp.Is():
            return ("is_null", _theirs(node.this))
        case exp.In():
            return ("in", _theirs(node.this), *(_theirs(e) for e in node.expressions))
        case exp.Between():
            return ("between", *(_theirs(node.args[a]) for a in ("this", "low", "high")))
        case exp.Anonymous():
            return (node.name, *(_theirs(e) for e in node.expressions))
        case _:
            return node.name


def _joined(node: exp.Expression, kind: type[exp.Expression]) -> list[object]:
    if isinstance(node, exp.Paren):
        return _joined(node.this, kind)
    if not isinstance(node, kind):
        return [_theirs(node)]
    return [*_joined(node.this, kind), *_joined(node.expression, kind)]
