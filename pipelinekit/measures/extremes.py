"""What min and max share: the value that no other one of the group goes beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelinekit.measures.base import (
    INT64_MAX,
    INT64_MIN,
    Accumulator,
    Inputs,
    Merge,
    Signature,
)
from pipelinekit.measures.numbers import numeric_array, require_ordered
from pipelinekit.types import INT, Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Extreme:
    """`merge` is MIN or MAX."""

    name: str
    summary: str
    merge: Merge

    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_ordered(self.name, arguments)
        return x

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("value", self.merge, arguments[0]), Accumulator("n", Merge.SUM, INT))

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        is_min = self.merge is Merge.MIN
        value = x.min() if is_min else x.max()
        match arguments[0].kind:
            case Kind.INT:
                value = value.fill_null(INT64_MAX if is_min else INT64_MIN)
            case Kind.FLOAT:
                value = value.fill_null(float("inf" if is_min else "-inf"))
            case _:
                pass
        return (value, x.count().cast(pl.Int64))

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        return numeric_array(columns["value"], columns["n"] > 0, arguments[0])
