"""`last(x)`: the value of the latest event that has one, by event time, ties by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import object_array, require_scalar
from pipelinekit.measures.ordered import ordered_values
from pipelinekit.types import Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Last:
    name = "last"
    summary = "the value of the latest event that has one, by event time, ties by id"
    signature = Signature(arguments=("x",), needs_id=True)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_scalar(self.name, arguments)
        return x

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("value", Merge.LATEST, arguments[0], id_type=id_type),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        return (ordered_values(inputs).last(),)

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        values = [None if entry is None else entry[2] for entry in columns["value"]]
        return object_array(values, arguments[0])


MEASURE = Last()
