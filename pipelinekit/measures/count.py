"""`count()`: how many events; `count(x)`: how many with a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.types import INT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Count:
    name = "count"
    summary = "how many events, or with an argument how many where it isn't null"
    signature = Signature(arguments=("x",), optional_arguments=1)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        return INT

    def is_nullable(self) -> bool:
        return False

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("n", Merge.SUM, INT),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        if inputs.values:
            n = inputs.values[0].count()
        else:
            n = pl.len() if inputs.included is None else inputs.included.sum()
        return (n.cast(pl.Int64),)

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        return pa.array(columns["n"])


MEASURE = Count()
