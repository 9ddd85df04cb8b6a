"""`avg(x)`: the mean as a float; null of no values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.exact import float_ratios, limb_accumulators, limb_partials
from pipelinekit.measures.numbers import float_array, require_numeric
from pipelinekit.types import FLOAT, INT, Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Avg:
    name = "avg"
    summary = "the mean, as a float"
    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_numeric(self.name, arguments)
        return FLOAT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        if arguments[0].kind is Kind.FLOAT:
            return (Accumulator("total", Merge.SUM, FLOAT), Accumulator("n", Merge.SUM, INT))
        return limb_accumulators(arguments[0])

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        if arguments[0].kind is Kind.FLOAT:
            return (x.sum(), x.count().cast(pl.Int64))
        return limb_partials(x, arguments[0])

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import numpy as np
        import pyarrow as pa

        if arguments[0].kind is not Kind.FLOAT:
            return pa.array(float_ratios(columns, arguments[0].scale), pa.float64())
        n = columns["n"]
        return float_array(columns["total"] / np.maximum(n, 1), n > 0)


MEASURE = Avg()
