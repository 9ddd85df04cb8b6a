"""The types a column can have, from a source's field to a table's column.

How each looks in the engine's frames (polars) and in tables (Arrow):
string → String/utf8 · bool → Boolean/bool · int → Int64/int64 · float → Float64/float64 ·
decimal(p,s) → Decimal(p,s)/decimal128(p,s) · timestamp → Datetime(ms, UTC)/timestamp[ms, UTC] ·
date → Date/date32 · list<T> → List(T)/list<T> ·
counted<T> → Struct(value: T, count: Int64)/struct<value: T, count: int64>.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    STRING = "string"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    TIMESTAMP = "timestamp"
    DATE = "date"
    LIST = "list"
    COUNTED = "counted"  # a value and how often it came: of results, never of a source's field


@dataclass(frozen=True, slots=True)
class Type:
    """One column type; `str(type)` is how a spec writes it and `parse_type` reads that back.

    `item` is what a list holds, or what is counted.
    """

    kind: Kind
    precision: int = 0
    scale: int = 0
    item: Type | None = None

    def __str__(self) -> str:
        match self.kind:
            case Kind.DECIMAL:
                return f"decimal({self.precision},{self.scale})"
            case Kind.LIST | Kind.COUNTED:
                return f"{self.kind.value}<{self.item}>"
            case _:
                return str(self.kind.value)

    @property
    def is_numeric(self) -> bool:
        return self.kind in (Kind.INT, Kind.FLOAT, Kind.DECIMAL)


STRING = Type(Kind.STRING)
BOOL = Type(Kind.BOOL)
INT = Type(Kind.INT)
FLOAT = Type(Kind.FLOAT)
TIMESTAMP = Type(Kind.TIMESTAMP)
DATE = Type(Kind.DATE)
DECIMAL_PRECISION_MAX = 38


def decimal_type(precision: int, scale: int) -> Type:
    """The type of decimals with `precision` digits, `scale` of them after the point."""
    if not (1 <= precision <= DECIMAL_PRECISION_MAX and 0 <= scale <= precision):
        raise ValueError(
            f"decimal({precision},{scale}): needs 1 ≤ precision ≤ 38 and 0 ≤ scale ≤ precision"
        )
    return Type(Kind.DECIMAL, precision, scale)


def list_type(item: Type) -> Type:
    """The type of lists of `item`."""
    return Type(Kind.LIST, item=item)


def counted_type(item: Type) -> Type:
    """The type of values of `item` with their counts."""
    return Type(Kind.COUNTED, item=item)


_PLAIN = {t.kind.value: t for t in (STRING, BOOL, INT, FLOAT, TIMESTAMP, DATE)}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
_LIST = re.compile(r"list<(.+)>")
TYPE_NAMES = (*_PLAIN, "decimal(p,s)", "list<T>")


def parse_type(text: str) -> Type:
    """The type that `text` names; ValueError says what was expected."""
    text = text.strip()
    if plain := _PLAIN.get(text):
        return plain
    if found := _DECIMAL.fullmatch(text):
        return decimal_type(int(found[1]), int(found[2]))
    if found := _LIST.fullmatch(text):
        item = parse_type(found[1])
        if item.kind is Kind.LIST:
            raise ValueError(f'"{text}": a list of lists is not a type')
        return list_type(item)
    raise ValueError(f'"{text}" is not a type; the types are {", ".join(TYPE_NAMES)}')
