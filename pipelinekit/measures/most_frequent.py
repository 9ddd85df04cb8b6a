"""`most_frequent(x, k)`: the k most frequent values and how often each came, exact.

By count from the most down, ties by value from the least up. Exact up to `max_values` different
values, then null. State: value → count.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelinekit.measures.base import OVER, Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import object_array, require_scalar
from pipelinekit.types import Kind, Type, counted_type, list_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

K_MAX = 1_000


@dataclass(frozen=True, slots=True)
class MostFrequent:
    k: int = 1

    name = "most_frequent"
    summary = "the k most frequent values with their counts, exact up to max_values, then null"
    signature = Signature(
        arguments=("x", "k"),
        constants=1,
        needs_max_values=True,
        example="most_frequent(url_path(page), 10)",
    )

    def with_constants(self, constants: Sequence[object]) -> MostFrequent:
        (k,) = constants
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= K_MAX:
            raise ValueError(f"k is a whole number from 1 to {K_MAX}, and this is {k}")
        return MostFrequent(k)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_scalar(self.name, arguments[:1])
        return list_type(counted_type(x))

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("counts", Merge.COUNTS, arguments[0], limit=max_values),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        if arguments[0].kind is Kind.FLOAT:  # 0 and -0 are equal: always 0
            x = pl.when(x == 0).then(0.0).otherwise(x)
        return (x.drop_nulls().value_counts(),)

    def overflowed(self, columns: Mapping[str, np.ndarray], result: pa.Array) -> pa.Array:
        return result.is_null()

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        found = [
            None if counts is OVER else self._top(counts or {}) for counts in columns["counts"]
        ]
        return object_array(found, self.result_type(arguments))

    def _top(self, counts: Mapping[Any, int]) -> list[dict[str, object]]:
        first = heapq.nsmallest(self.k, counts.items(), key=lambda item: (-item[1], item[0]))
        return [{"value": value, "count": count} for value, count in first]


MEASURE = MostFrequent()
