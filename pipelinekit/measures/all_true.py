"""`all_true(x)`: whether every value is true; null of no values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import require_bool
from pipelinekit.types import BOOL, INT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class AllTrue:
    name = "all_true"
    summary = "whether every value is true"
    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_bool(self.name, arguments)
        return BOOL

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("true", Merge.SUM, INT), Accumulator("n", Merge.SUM, INT))

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        return (x.sum().cast(pl.Int64), x.count().cast(pl.Int64))

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        return pa.array(columns["true"] == columns["n"], mask=columns["n"] == 0)


MEASURE = AllTrue()
