"""The typed tree of an expression: what parsing gives, and what plans hold and engines compile.

Plain frozen data: it pickles, compares and hashes by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipelinekit.types import Type

# What a derived measure may read beside other measures: its row's length in seconds, a float.
WINDOW_SECONDS = "__seconds"
STATE_SUFFIX = "__state"  # of the column that holds what a measure keeps
OTHER = "__other__"  # what a key's value outside its list of values becomes
LiteralValue = str | bool | int | float | Decimal | None


@dataclass(frozen=True, slots=True)
class Literal:
    value: LiteralValue
    type: Type


@dataclass(frozen=True, slots=True)
class Field:
    """A column by name: a source's field, or another measure in a derived one."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator over typed arguments.

    Operators are calls too: `+ - * / % = != < <= > >= and or not neg in between like is_null
    case cast`. `case` takes condition, value, condition, value, …, else value.
    `cast` has its target as `type`. `list` is an argument of a measure, and no more.
    """

    function: str
    arguments: tuple[Expression, ...]
    type: Type


Expression = Literal | Field | Call


def written(call: Call, place: int) -> LiteralValue:
    """The value of an argument that is written out; None when it was left out."""
    if place >= len(call.arguments):
        return None
    argument = call.arguments[place]
    assert isinstance(argument, Literal), f"argument {place + 1} of {call.function} is computed"
    return argument.value


def field_types(expression: Expression) -> dict[str, Type]:
    """All columns that an expression reads, by name with their types."""
    match expression:
        case Literal():
            return {}
        case Field(name=name, type=kind):
            return {name: kind}
        case Call(arguments=arguments):
            return {n: t for a in arguments for n, t in field_types(a).items()}


def fields_of(expression: Expression) -> frozenset[str]:
    """Names of all columns that an expression reads."""
    return frozenset(field_types(expression))
