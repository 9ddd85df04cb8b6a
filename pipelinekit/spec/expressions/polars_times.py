"""Times and casts in polars: what a cast can't read is null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.forms import FLOAT_PATTERN, INT_PATTERN, decimal_pattern
from pipelinekit.spec.expressions.polars_numbers import round_half_away
from pipelinekit.spec.expressions.polars_values import finite
from pipelinekit.spec.expressions.times import DATE_PATTERN, TIMESTAMP_PATTERN
from pipelinekit.spec.expressions.tree import Call, written
from pipelinekit.types import DECIMAL_PRECISION_MAX, FLOAT, Kind, Type, decimal_type

if TYPE_CHECKING:
    import polars as pl

_TRUNCATE = {
    "second": "1s", "minute": "1m", "hour": "1h", "day": "1d",
    "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y",
}  # fmt: skip


def date_trunc(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """The start of the unit in the zone's calendar, as an instant; weeks start on Monday."""
    unit, zone = written(call, 0), written(call, 2)
    time, every = values[1], _TRUNCATE[str(unit)]
    if zone is None:
        return time.dt.truncate(every)
    local = time.dt.convert_time_zone(str(zone))
    return local.dt.truncate(every).dt.convert_time_zone("UTC")


def extract(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """A part of the time in UTC; weeks and weekdays (1 is Monday) are those of ISO 8601."""
    import polars as pl

    value: pl.Expr = getattr(values[1].dt, str(written(call, 0)))()
    return value.cast(pl.Int64)


def cast(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    source, target, value = call.arguments[0].type, call.type, values[0]
    if source == target:
        return value
    match source.kind, target.kind:
        case Kind.STRING, _:
            return _from_text(value, target)
        case ((Kind.FLOAT | Kind.DECIMAL), Kind.DECIMAL):
            return _to_decimal(value, source, target)
        case Kind.BOOL, Kind.STRING:
            return pl.when(value).then(pl.lit("true")).when(~value).then(pl.lit("false"))
        case Kind.DATE, Kind.TIMESTAMP:
            return value.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
        case _:  # to an int: towards zero
            return value.cast(polars_type(target), strict=False)


def _to_decimal(value: pl.Expr, source: Type, target: Type) -> pl.Expr:
    """Rounded half away from zero; what doesn't fit is null."""
    import polars as pl

    if source.kind is Kind.DECIMAL and source.scale <= target.scale:
        return value.cast(polars_type(target), strict=False)
    whole = target.precision - target.scale
    bounded: pl.Expr = pl.when(value.cast(pl.Float64).abs() <= 10.0**whole).then(value)
    if source.kind is Kind.DECIMAL:
        wide = decimal_type(DECIMAL_PRECISION_MAX, source.scale)
        bounded = bounded.cast(polars_type(wide))
    return round_half_away(bounded, target.scale).cast(polars_type(target), strict=False)


def _from_text(value: pl.Expr, target: Type) -> pl.Expr:
    import polars as pl

    match target.kind:
        case Kind.INT:
            return _matching(value, INT_PATTERN).cast(pl.Int64, strict=False)
        case Kind.FLOAT:
            number = _matching(value, FLOAT_PATTERN).cast(pl.Float64, strict=False)
            return finite(number, FLOAT)
        case Kind.DECIMAL:
            # More digits after the point than the scale is null, as in a source's fields.
            text = _matching(value, decimal_pattern(target))
            return text.cast(polars_type(target), strict=False)
        case Kind.BOOL:
            return pl.when(value == "true").then(True).when(value == "false").then(False)
        case Kind.TIMESTAMP:
            return _timestamp(value)
        case _:
            return _matching(value, DATE_PATTERN).str.to_date("%Y-%m-%d", strict=False)


def _matching(value: pl.Expr, pattern: str) -> pl.Expr:
    import polars as pl

    return pl.when(value.str.contains(pattern)).then(value)


def _timestamp(value: pl.Expr) -> pl.Expr:
    """All spellings of times.py, brought to one and read; cut to the millisecond."""
    import polars as pl

    parts = value.str.extract_groups(TIMESTAMP_PATTERN).struct
    zone = parts.field("5").fill_null("Z")
    text = pl.concat_str(
        parts.field("1"),
        pl.lit("T"),
        parts.field("2").fill_null("00:00"),
        parts.field("3").fill_null(":00"),
        parts.field("4").fill_null(".0"),
        pl.when(zone == "Z").then(pl.lit("+00:00")).otherwise(zone),
    )
    read = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="ms", strict=False)
    return read.dt.convert_time_zone("UTC")
