"""`sum(x)`: exact for int and decimal, double precision for float; null of no values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.exact import decimal_array, limb_accumulators, limb_partials
from pipelinekit.measures.numbers import float_array, require_numeric
from pipelinekit.types import DECIMAL_PRECISION_MAX, FLOAT, INT, Kind, Type, decimal_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Sum:
    name = "sum"
    summary = "the sum, exact for int and decimal"
    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_numeric(self.name, arguments)
        return FLOAT if x.kind is Kind.FLOAT else decimal_type(DECIMAL_PRECISION_MAX, x.scale)

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

    def overflowed(self, columns: Mapping[str, np.ndarray], result: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.and_(result.is_null(), pa.array(columns["n"] > 0))

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        if arguments[0].kind is Kind.FLOAT:
            return float_array(columns["total"], columns["n"] > 0)
        return decimal_array(columns, arguments[0].scale)


MEASURE = Sum()
