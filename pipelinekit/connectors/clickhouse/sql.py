"""Names, texts and column types as ClickHouse writes them."""

from __future__ import annotations

from pipelinekit.data import Column
from pipelinekit.types import Kind, Type


def identifier(name: str) -> str:
    """The name as an identifier, whatever it holds."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """The text as a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def column_type(column: Column) -> str:
    """The column's type, spelled as system.columns spells it."""
    bare = bare_type(column.type, unsigned=column.unsigned)
    # A list cannot be null in ClickHouse: none is the empty list.
    if column.nullable and column.type.kind is not Kind.LIST:
        return f"Nullable({bare})"
    return bare


def bare_type(kind: Type, *, unsigned: bool = False) -> str:
    """The type without the question of null."""
    match kind.kind:
        case Kind.STRING:
            return "String"
        case Kind.BOOL:
            return "Bool"
        case Kind.INT:
            return "UInt64" if unsigned else "Int64"
        case Kind.FLOAT:
            return "Float64"
        case Kind.DECIMAL:
            return f"Decimal({kind.precision}, {kind.scale})"
        case Kind.TIMESTAMP:
            return "DateTime64(3, 'UTC')"
        case Kind.DATE:
            return "Date32"
        case Kind.LIST:
            assert kind.item is not None
            return f"Array({bare_type(kind.item)})"
        case Kind.COUNTED:
            assert kind.item is not None
            return f"Tuple(value {bare_type(kind.item)}, count UInt64)"


def column_comment(column: Column) -> str:
    """What the column means, its unit in brackets."""
    if column.unit:
        return f"{column.description} [{column.unit}]".strip()
    return column.description


def column_definition(column: Column) -> str:
    """The column as CREATE TABLE and ADD COLUMN take it."""
    comment = column_comment(column)
    suffix = f" COMMENT {literal(comment)}" if comment else ""
    return f"{identifier(column.name)} {column_type(column)}{suffix}"
