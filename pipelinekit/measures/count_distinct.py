"""`count_distinct(x)`: how many different values, exact up to `max_values`, then null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import OVER, Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import require_scalar
from pipelinekit.types import INT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class CountDistinct:
    name = "count_distinct"
    summary = "how many different values, exact up to max_values, then null"
    signature = Signature(arguments=("x",), needs_max_values=True)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_scalar(self.name, arguments)
        return INT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("values", Merge.UNION, arguments[0], limit=max_values),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        return (inputs.values[0].drop_nulls().unique(),)

    def overflowed(self, columns: Mapping[str, np.ndarray], result: pa.Array) -> pa.Array:
        return result.is_null()

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        sizes = [
            None if values is OVER else 0 if values is None else len(values)
            for values in columns["values"]
        ]
        return pa.array(sizes, pa.int64())


MEASURE = CountDistinct()
