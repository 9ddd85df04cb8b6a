"""`histogram(x, [b0, b1, …])`: how many values lie below b0, from b0 on below b1, and so on.

A bound belongs to the bin above it, as in SQL's width_bucket. Of n bounds there are n + 1 bins.

State: how many values there are, and how many from each bound on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import require_numeric
from pipelinekit.types import INT, Kind, Type, list_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

BOUNDS_MAX = 100
Bound = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Histogram:
    bounds: tuple[Bound, ...] = ()

    name = "histogram"
    summary = "how many values lie in each bin: below the first bound, from each bound on"
    signature = Signature(
        arguments=("x", "bounds"), constants=1, example="histogram(load_ms, [100, 500, 2500])"
    )

    def with_constants(self, constants: Sequence[object]) -> Histogram:
        (bounds,) = constants
        if not isinstance(bounds, tuple):
            raise ValueError(f"bounds are a list, and this is {bounds}")
        numbers = [b for b in bounds if isinstance(b, Bound) and not isinstance(b, bool)]
        if len(numbers) != len(bounds):
            raise ValueError("bounds are numbers")
        if len(bounds) > BOUNDS_MAX:
            raise ValueError(f"a histogram has {BOUNDS_MAX} bounds at most, and this {len(bounds)}")
        for before, after in pairwise(numbers):
            if before >= after:
                raise ValueError(f"bounds go up, and {after} comes after {before}")
        return Histogram(tuple(numbers))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_numeric(self.name, arguments)
        for bound in self.bounds:
            if not _fits(bound, x):
                raise TypeError(f"bounds are of x's type, which is {x}, and {bound} is not")
        return list_type(INT)

    def is_nullable(self) -> bool:
        return False

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        names = ["n", *(f"from{place}" for place in range(len(self.bounds)))]
        return tuple(Accumulator(name, Merge.SUM, INT) for name in names)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        from pipelinekit.columns import polars_type

        x, kind = inputs.values[0], polars_type(arguments[0])
        reached = [x >= pl.lit(bound, dtype=kind) for bound in self.bounds]
        return (x.count().cast(pl.Int64), *(r.sum().cast(pl.Int64) for r in reached))

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import numpy as np
        import pyarrow as pa

        reached = [columns[f"from{place}"] for place in range(len(self.bounds))]
        above = np.stack([columns["n"], *reached, np.zeros_like(columns["n"])], axis=1)
        bins = above[:, :-1] - above[:, 1:]
        ends = np.arange(0, bins.size + 1, bins.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(ends, bins.ravel())


def _fits(bound: Bound, x: Type) -> bool:
    match x.kind:
        case Kind.INT:
            return isinstance(bound, int)
        case Kind.DECIMAL:
            if isinstance(bound, float):
                return False
            _, digits, exponent = Decimal(bound).as_tuple()
            scale = -exponent if isinstance(exponent, int) else 0
            whole = max(len(digits) - scale, 0)
            return scale <= x.scale and whole <= x.precision - x.scale
        case _:
            return True


MEASURE = Histogram()
