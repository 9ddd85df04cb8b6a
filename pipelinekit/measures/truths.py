"""What any_true and all_true share: how many values are true, of how many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import require_bool
from pipelinekit.types import BOOL, INT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Truth:
    """`holds(true, n)` says it of arrays of those counts."""

    name: str
    summary: str
    holds: Callable[[np.ndarray, np.ndarray], np.ndarray]

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

        return pa.array(self.holds(columns["true"], columns["n"]), mask=columns["n"] == 0)
