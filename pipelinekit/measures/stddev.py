"""`stddev(x)`: the standard deviation of the sample, as a float; null of fewer than two values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Signature
from pipelinekit.measures.numbers import require_numeric
from pipelinekit.measures.spread import spread_accumulators, spread_partials, variances
from pipelinekit.types import FLOAT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Stddev:
    name = "stddev"
    summary = "the standard deviation of the sample, as a float; null of fewer than two values"
    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_numeric(self.name, arguments)
        return FLOAT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return spread_accumulators(arguments[0])

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        return spread_partials(inputs, arguments[0])

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        return pa.array(
            [None if v is None else math.sqrt(v) for v in variances(columns, arguments[0])],
            pa.float64(),
        )


MEASURE = Stddev()
