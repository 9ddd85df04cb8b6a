"""`min(x)`: the least value of a number, text, date or time; null of no values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import INT64_MAX, Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import numeric_array, require_ordered
from pipelinekit.types import INT, Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Min:
    name = "min"
    summary = "the least value"
    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_ordered(self.name, arguments)
        return x

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (
            Accumulator("value", Merge.MIN, arguments[0]),
            Accumulator("n", Merge.SUM, INT),
        )

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        value = x.min()
        match arguments[0].kind:
            case Kind.INT:
                value = value.fill_null(INT64_MAX)
            case Kind.FLOAT:
                value = value.fill_null(float("inf"))
            case _:
                pass
        return (value, x.count().cast(pl.Int64))

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        return numeric_array(columns["value"], columns["n"] > 0, arguments[0])


MEASURE = Min()
