"""How the types of types.py look in Arrow and in polars; the one place that maps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelinekit.types import Kind, Type

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def arrow_type(kind: Type) -> pa.DataType:
    """The Arrow type of a column of `kind`."""
    import pyarrow as pa

    match kind.kind:
        case Kind.STRING:
            return pa.string()
        case Kind.BOOL:
            return pa.bool_()
        case Kind.INT:
            return pa.int64()
        case Kind.FLOAT:
            return pa.float64()
        case Kind.DECIMAL:
            return pa.decimal128(kind.precision, kind.scale)
        case Kind.TIMESTAMP:
            return pa.timestamp("ms", "UTC")
        case Kind.DATE:
            return pa.date32()
        case Kind.LIST:
            assert kind.item is not None
            return pa.list_(arrow_type(kind.item))
        case Kind.COUNTED:
            assert kind.item is not None
            return pa.struct([("value", arrow_type(kind.item)), ("count", pa.int64())])


def polars_type(kind: Type) -> pl.DataType:
    """The polars type of a column of `kind`."""
    import polars as pl

    match kind.kind:
        case Kind.STRING:
            return pl.String()
        case Kind.BOOL:
            return pl.Boolean()
        case Kind.INT:
            return pl.Int64()
        case Kind.FLOAT:
            return pl.Float64()
        case Kind.DECIMAL:
            return pl.Decimal(kind.precision, kind.scale)
        case Kind.TIMESTAMP:
            return pl.Datetime("ms", "UTC")
        case Kind.DATE:
            return pl.Date()
        case Kind.LIST:
            assert kind.item is not None
            return pl.List(polars_type(kind.item))
        case Kind.COUNTED:
            assert kind.item is not None
            return pl.Struct({"value": polars_type(kind.item), "count": pl.Int64()})
