"""The operators of the language: what types each takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from pipelinekit.spec.expressions.functions import CASTS, arithmetic_type, common_type
from pipelinekit.spec.expressions.problems import Mismatch
from pipelinekit.spec.expressions.tree import Call, Expression, Literal
from pipelinekit.types import BOOL, FLOAT, STRING, Kind, Type

NULL_TYPE = STRING  # of a bare null, until its neighbours say otherwise


def adapted(expressions: Sequence[Expression]) -> list[Expression]:
    """Neighbours: bare nulls take their type, decimal literals are floats beside a float."""
    has_float = any(e.type.kind is Kind.FLOAT for e in expressions)
    typed: list[Expression] = []
    for e in expressions:
        if has_float and isinstance(e, Literal) and isinstance(e.value, Decimal):
            typed.append(Literal(float(e.value), FLOAT))
        else:
            typed.append(e)
    return nulls_typed(typed)


def nulls_typed(expressions: Sequence[Expression]) -> list[Expression]:
    """Bare nulls take the type of the first that is none."""
    first = next((e for e in expressions if not is_bare_null(e)), None)
    if first is None:
        return list(expressions)
    return [Literal(None, first.type) if is_bare_null(e) else e for e in expressions]


def is_bare_null(expression: Expression) -> bool:
    return isinstance(expression, Literal) and expression.value is None


def _comparison(name: str, arguments: Sequence[Expression]) -> Expression:
    if any(is_bare_null(a) for a in arguments):
        raise Mismatch("a comparison with null is never true", "write x is null")
    return _compared(name, arguments)


def _compared(name: str, arguments: Sequence[Expression]) -> Expression:
    arguments = adapted(arguments)
    found = common_type([a.type for a in arguments])
    if found.kind is Kind.LIST:
        raise Mismatch("lists can't be compared")
    if found.kind is Kind.BOOL and name not in ("=", "!=", "in"):
        raise Mismatch("bools have no order")
    return Call(name, tuple(arguments), BOOL)


def _logic(name: str, arguments: Sequence[Expression]) -> Expression:
    typed = [Literal(None, BOOL) if is_bare_null(a) else a for a in arguments]
    for argument in typed:
        if argument.type != BOOL:
            one = "it" if name == "not" else "one side"
            raise Mismatch(f'"{name}" takes conditions, and {one} is {argument.type}')
    return Call(name, tuple(typed), BOOL)


def _arithmetic(name: str, arguments: Sequence[Expression]) -> Expression:
    left, right = adapted(arguments)
    return Call(name, (left, right), arithmetic_type(name, left.type, right.type))


def _negation(name: str, arguments: Sequence[Expression]) -> Expression:
    if not arguments[0].type.is_numeric:
        raise Mismatch(f'"-" takes a number, and it is {arguments[0].type}')
    return Call(name, tuple(arguments), arguments[0].type)


def _like(name: str, arguments: Sequence[Expression]) -> Expression:
    text, pattern = arguments
    if text.type != STRING:
        raise Mismatch(f"like takes a string, and it is {text.type}")
    if not (isinstance(pattern, Literal) and isinstance(pattern.value, str)):
        raise Mismatch("the pattern of like is a written text", "for a part, use contains(a, b)")
    return Call(name, (text, pattern), BOOL)


def _is_null(name: str, arguments: Sequence[Expression]) -> Expression:
    return Call(name, tuple(arguments), BOOL)


def _case(name: str, arguments: Sequence[Expression]) -> Expression:
    conditions = nulls_typed([*arguments[:-1:2], Literal(True, BOOL)])[:-1]
    for condition in conditions:
        if condition.type != BOOL:
            raise Mismatch(f"when takes a condition, and it is {condition.type}")
    values = adapted([*arguments[1::2], arguments[-1]])
    result = common_type([v.type for v in values])
    parts: list[Expression] = []
    for condition, value in zip(conditions, values, strict=False):
        parts += [condition, value]
    return Call(name, (*parts, values[-1]), result)


OPERATORS: dict[str, Callable[[str, Sequence[Expression]], Expression]] = {
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), _comparison),
    **dict.fromkeys(("in", "between"), _compared),
    **dict.fromkeys(("and", "or", "not"), _logic),
    **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
    "neg": _negation,
    "like": _like,
    "is_null": _is_null,
    "case": _case,
}


def cast_type(source: Type, target: Type) -> Type:
    """The target, if the source can be cast to it; Mismatch otherwise."""
    if source != target and target.kind not in CASTS[source.kind]:
        kinds = [str(k.value) for k in CASTS[source.kind]]
        help = f"{source} can be cast to {', '.join(kinds)}" if kinds else None
        raise Mismatch(f"{source} can't be cast to {target}", help)
    return target
