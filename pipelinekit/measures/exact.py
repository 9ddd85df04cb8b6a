"""Exact sums of integers and decimals as 64-bit columns: a number in limbs of 32 bits.

A sum is `l0 + l1·2³² [+ l2·2⁶⁴ + l3·2⁹⁶]`; each limb is summed on its own and the last one is
signed. A limb gains less than 2³² at a merge, so 2³¹ merges fit. Two limbs hold what fits 64 bits
(int, decimals of up to 18 digits), four hold the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Merge
from pipelinekit.types import DECIMAL_PRECISION_MAX, INT, Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

_LIMB = 2**32
_MASK = _LIMB - 1
_NARROW_DIGITS = 18


def limb_accumulators(value_type: Type) -> tuple[Accumulator, ...]:
    """The limbs of a sum over `value_type`, then `n`, how many values it has."""
    limbs = [Accumulator(f"l{i}", Merge.SUM, INT) for i in range(_limbs(value_type))]
    return (*limbs, Accumulator("n", Merge.SUM, INT))


def limb_partials(value: pl.Expr, value_type: Type) -> tuple[pl.Expr, ...]:
    """Aggregations for `limb_accumulators`, of an int or decimal column."""
    import polars as pl

    whole = value.to_physical() if value_type.kind is Kind.DECIMAL else value
    wide = whole.cast(pl.Int128)
    if _limbs(value_type) == 2:
        total = wide.sum()
        limbs = [total % _LIMB, total // _LIMB]
    else:  # 38 digits a value: sum two halves, so that a slice of 2⁶⁰ rows still fits
        low, high = (wide % 2**64).sum(), (wide // 2**64).sum()
        limbs = [
            low % _LIMB,
            low // _LIMB % _LIMB,
            low // 2**64 + high % _LIMB,
            high // _LIMB,
        ]
    return (*(limb.cast(pl.Int64) for limb in limbs), value.count().cast(pl.Int64))


def limb_totals(columns: Mapping[str, np.ndarray]) -> list[int]:
    """The sums as Python integers, in units of the type's scale."""
    names = sorted(name for name in columns if name.startswith("l"))
    totals: list[int] = columns[names[0]].tolist()
    for place, name in enumerate(names[1:], start=1):
        shift = 32 * place
        totals = [
            t + (limb << shift) for t, limb in zip(totals, columns[name].tolist(), strict=True)
        ]
    return totals


def decimal_array(columns: Mapping[str, np.ndarray], scale: int) -> pa.Array:
    """The sums as decimal128(38, scale); null where there was no value or it doesn't fit."""
    import numpy as np
    import pyarrow as pa

    has_values = columns["n"] > 0
    if "l2" not in columns:
        low, high = columns["l0"], columns["l1"]
        high = high + (low >> 32)
        words = np.empty((len(low), 2), dtype=np.int64)
        words[:, 0] = (high << 32) | (low & _MASK)
        words[:, 1] = high >> 32
        validity = pa.py_buffer(np.packbits(has_values, bitorder="little").tobytes())
        kind = pa.decimal128(DECIMAL_PRECISION_MAX, scale)
        return pa.Array.from_buffers(kind, len(low), [validity, pa.py_buffer(words.tobytes())])
    limit = 10**DECIMAL_PRECISION_MAX
    totals = limb_totals(columns)
    values = [
        _decimal(t, scale) if ok and abs(t) < limit else None
        for t, ok in zip(totals, has_values.tolist(), strict=True)
    ]
    return pa.array(values, pa.decimal128(DECIMAL_PRECISION_MAX, scale))


def float_ratios(columns: Mapping[str, np.ndarray], scale: int) -> Sequence[float | None]:
    """Each sum divided by its count, rounded once; None where the count is 0."""
    unit = 10**scale
    return [
        t / (n * unit) if n else None
        for t, n in zip(limb_totals(columns), columns["n"].tolist(), strict=True)
    ]


def _limbs(value_type: Type) -> int:
    wide = value_type.kind is Kind.DECIMAL and value_type.precision > _NARROW_DIGITS
    return 4 if wide else 2


def _decimal(units: int, scale: int) -> object:
    from decimal import Context, Decimal

    return Decimal(units).scaleb(-scale, Context(prec=DECIMAL_PRECISION_MAX + 2))
