"""`approx_quantile(x, q)`: the value at rank q, within 1 % of it; null of no values.

Values are counted in logarithmic buckets, as in DDSketch (Masson, Rim, Lee, VLDB 2019): bucket i
holds what lies in (γⁱ⁻¹, γⁱ], γ = 1.01 / 0.99, and stands for 2γⁱ / (γ + 1). No bucket is ever
joined with another, so that any order and split of the values counts the same.

State: bucket → count. Bucket 0 holds zeros; i is written i + 2²⁰, and negative for negative values,
so that buckets sort as their values do.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import object_array, require_numeric
from pipelinekit.types import FLOAT, INT, Type, counted_type, list_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

ACCURACY = 0.01
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_LOG_MIDDLE = math.log(2 / (_GAMMA + 1))
_LOG_MAX = math.log(sys.float_info.max)
_OFFSET = 2**20  # a float's i lies within ±37,300


@dataclass(frozen=True, slots=True)
class ApproxQuantile:
    q: float = 0.5

    name = "approx_quantile"
    summary = "the value at rank q (0 to 1), within 1 % of it, as a float"
    signature = Signature(
        arguments=("x", "q"), constants=1, example="approx_quantile(load_ms, 0.95)"
    )
    state_type = list_type(counted_type(INT))

    def with_constants(self, constants: Sequence[object]) -> ApproxQuantile:
        (q,) = constants
        if isinstance(q, bool | str | tuple) or q is None or not 0 <= float(q) <= 1:  # type: ignore[arg-type]
            raise ValueError(f"q is a number from 0 to 1, and this is {q}")
        return ApproxQuantile(float(q))  # type: ignore[arg-type]

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_numeric(self.name, arguments[:1])
        return FLOAT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("buckets", Merge.COUNTS, INT),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0].cast(pl.Float64)
        size = x.abs()
        place = (size.log() / _LOG_GAMMA).ceil() + _OFFSET
        bucket = pl.when(size == 0).then(0.0).otherwise(place * x.sign()).cast(pl.Int64)
        return (bucket.drop_nulls().value_counts(),)

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        return pa.array([_at_rank(counts, self.q) for counts in columns["buckets"]], pa.float64())

    def state(self, columns: Mapping[str, np.ndarray]) -> pa.Array:
        """Buckets with their counts, in order of bucket."""
        found = [
            [{"value": bucket, "count": count} for bucket, count in sorted((counts or {}).items())]
            for counts in columns["buckets"]
        ]
        return object_array(found, self.state_type)


def _at_rank(counts: dict[int, int] | None, q: float) -> float | None:
    """The value of rank ⌊q · (n − 1)⌋, counted from 0."""
    if not counts:
        return None
    buckets = sorted(counts)
    seen = list(accumulate(counts[b] for b in buckets))
    bucket = buckets[bisect_right(seen, math.floor(q * (seen[-1] - 1)))]
    if bucket == 0:
        return 0.0
    exponent = (abs(bucket) - _OFFSET) * _LOG_GAMMA + _LOG_MIDDLE
    return math.copysign(math.exp(min(exponent, _LOG_MAX)), bucket)


MEASURE = ApproxQuantile()
