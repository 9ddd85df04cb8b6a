"""What variance and stddev share: sums of values and of their squares, and the sample's spread.

Of ints and of decimals of up to 18 digits the sums are exact, and so is the result but for its one
rounding. Of floats and wider decimals they are floats: where the values are many times larger than
their spread, digits are lost (a mean of 10⁶ with a spread of 1 keeps about four).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.exact import limb_accumulators, limb_partials, limb_totals
from pipelinekit.measures.numbers import require_numeric
from pipelinekit.types import FLOAT, INT, Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

_LIMB, _WORD = 2**32, 2**64
_SQUARES = 4  # limbs of the sum of squares
_EXACT_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Spread:
    """`of_variance` makes the result of a sample's variance."""

    name: str
    summary: str
    of_variance: Callable[[float], float]

    signature = Signature(arguments=("x",))

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_numeric(self.name, arguments)
        return FLOAT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return _accumulators(arguments[0])

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        return _partials(inputs, arguments[0])

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        found = _variances(columns, arguments[0])
        return pa.array([None if v is None else self.of_variance(v) for v in found], pa.float64())


def _accumulators(value_type: Type) -> tuple[Accumulator, ...]:
    """The sum and count as `limb_accumulators` has them, then the limbs of the squares' sum."""
    if not _is_exact(value_type):
        return (
            Accumulator("total", Merge.SUM, FLOAT),
            Accumulator("squares", Merge.SUM, FLOAT),
            Accumulator("n", Merge.SUM, INT),
        )
    squares = [Accumulator(f"s{i}", Merge.SUM, INT) for i in range(_SQUARES)]
    return (*limb_accumulators(value_type), *squares)


def _partials(inputs: Inputs, value_type: Type) -> tuple[pl.Expr, ...]:
    """Aggregations for `_accumulators`."""
    import polars as pl

    x = inputs.values[0]
    if not _is_exact(value_type):
        x = x.cast(pl.Float64)
        return (x.sum(), (x * x).sum(), x.count().cast(pl.Int64))
    whole = (x.to_physical() if value_type.kind is Kind.DECIMAL else x).cast(pl.Int128)
    square = whole * whole  # below 2¹²⁶; its halves are summed, so that no sum overflows
    low, high = (square % _WORD).sum(), (square // _WORD).sum()
    middle = low // _LIMB
    limbs = [low % _LIMB, middle % _LIMB, middle // _LIMB + high % _LIMB, high // _LIMB]
    return (*limb_partials(x, value_type), *(limb.cast(pl.Int64) for limb in limbs))


def _variances(columns: Mapping[str, np.ndarray], value_type: Type) -> Sequence[float | None]:
    """The variance of each sample; None of fewer than two values."""
    counts = columns["n"].tolist()
    if not _is_exact(value_type):
        totals, squares = columns["total"].tolist(), columns["squares"].tolist()
        return [
            max(0.0, (s - t * t / n) / (n - 1)) if n > 1 else None
            for t, s, n in zip(totals, squares, counts, strict=True)
        ]
    wholes = limb_totals({k: v for k, v in columns.items() if k.startswith("l")})
    squared = limb_totals({f"l{i}": columns[f"s{i}"] for i in range(_SQUARES)})
    unit = 10 ** (2 * value_type.scale) if value_type.kind is Kind.DECIMAL else 1
    return [
        float(Fraction(n * s - t * t, n * (n - 1) * unit)) if n > 1 else None
        for t, s, n in zip(wholes, squared, counts, strict=True)
    ]


def _is_exact(value_type: Type) -> bool:
    if value_type.kind is Kind.DECIMAL:
        return value_type.precision <= _EXACT_DIGITS
    return value_type.kind is Kind.INT
