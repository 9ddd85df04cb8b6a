"""Typed expression → canonical text for plans and fingerprints; it parses back to its tree."""

from __future__ import annotations

from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal
from pipelinekit.types import Kind

_INFIX = frozenset(("=", "!=", "<", "<=", ">", ">=", "and", "or", "+", "-", "*", "/", "%", "like"))
_BRACKETED = _INFIX | {"not", "neg", "in", "between", "is_null"}


def render(expression: Expression) -> str:
    """The one spelling of an expression; operators are fully parenthesised inside others."""
    match expression:
        case Literal():
            return _literal(expression)
        case Field(name=name):
            return name
        case Call(function=function, arguments=arguments):
            return _call(expression, function, arguments)


def _literal(literal: Literal) -> str:
    match literal.value:
        case None:
            return "null"
        case bool(value):
            return "true" if value else "false"
        case str(value):
            return "'" + value.replace("'", "''") + "'"
        case float(value) if literal.type.kind is Kind.FLOAT:
            mantissa, _, exponent = f"{value!r}".partition("e")
            return f"{mantissa}e{exponent or '0'}".replace("e+", "e")
        case value:
            return f"{value:f}" if not isinstance(value, int) else str(value)


def _call(call: Call, function: str, arguments: tuple[Expression, ...]) -> str:
    parts = [_inner(a) for a in arguments]
    match function:
        case name if name in _INFIX:
            return f" {name} ".join(parts)
        case "list":
            return f"[{', '.join(render(a) for a in arguments)}]"
        case "not":
            return f"not {parts[0]}"
        case "neg":
            return f"-{parts[0]}" if not parts[0].startswith("-") else f"-({parts[0]})"
        case "is_null":
            return f"{parts[0]} is null"
        case "in":
            return f"{parts[0]} in ({', '.join(render(a) for a in arguments[1:])})"
        case "between":
            return f"{parts[0]} between {parts[1]} and {parts[2]}"
        case "cast":
            return f"cast({render(arguments[0])} as {call.type})"
        case "extract":
            unit = arguments[0].value if isinstance(arguments[0], Literal) else ""
            return f"extract({unit} from {render(arguments[1])})"
        case "case":
            whens = [
                f"when {render(arguments[i])} then {render(arguments[i + 1])}"
                for i in range(0, len(arguments) - 1, 2)
            ]
            return f"case {' '.join(whens)} else {render(arguments[-1])} end"
        case _:
            return f"{function}({', '.join(render(a) for a in arguments)})"


def _inner(expression: Expression) -> str:
    text = render(expression)
    is_bracketed = isinstance(expression, Call) and expression.function in _BRACKETED
    return f"({text})" if is_bracketed else text
