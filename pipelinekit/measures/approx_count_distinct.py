"""`approx_count_distinct(x)`: how many different values, within 2 % (of 95 in 100 counts).

HyperLogLog with 2¹⁴ registers and Ertl's estimator (arXiv 1702.01284, algorithm 6), which needs no
tables and no change of method between small and large counts. A value's hash is its own: 8 bytes of
BLAKE2b over its text, or SplitMix64 of a number's 64 bits; so registers are the same on every
machine, in every version, in any order and split of the values.

State: register → rank, as codes register · 64 + rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import require_scalar
from pipelinekit.measures.ranks import codes_of
from pipelinekit.types import INT, Kind, Type, list_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

_INDEX_BITS = 14
REGISTERS = 2**_INDEX_BITS
_RANK_BITS = 64 - _INDEX_BITS
_NUMBERS = (Kind.INT, Kind.TIMESTAMP, Kind.DATE, Kind.BOOL)


class ApproxCountDistinct:
    name = "approx_count_distinct"
    summary = "how many different values, within 2 %"
    signature = Signature(arguments=("x",))
    state_type = list_type(INT)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_scalar(self.name, arguments)
        return INT

    def is_nullable(self) -> bool:
        return False

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("registers", Merge.RANKS, INT, limit=REGISTERS),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        x = inputs.values[0]
        match arguments[0].kind:
            case kind if kind in _NUMBERS:
                hashed = x.cast(pl.Int64).map_batches(
                    _codes_of_numbers, return_dtype=pl.Int64, is_elementwise=True
                )
            case _:
                hashed = x.cast(pl.String).map_batches(
                    _codes_of_texts, return_dtype=pl.Int64, is_elementwise=True
                )
        return (hashed.drop_nulls().unique(),)

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        return pa.array([round(_estimate(ranks)) for ranks in columns["registers"]], pa.int64())

    def state(self, columns: Mapping[str, np.ndarray]) -> pa.Array:
        """The codes of the registers that are taken, in order."""
        import numpy as np
        import pyarrow as pa

        codes = [np.zeros(0, np.int64) if r is None else codes_of(r) for r in columns["registers"]]
        ends = np.cumsum([0, *map(len, codes)], dtype=np.int32)
        values = np.concatenate(codes) if codes else np.zeros(0, np.int64)
        return pa.ListArray.from_arrays(ends, pa.array(values))


def _codes_of_numbers(values: pl.Series) -> pl.Series:
    """SplitMix64 (Steele, Lea, Flood 2014) of each value, as a code; null stays null."""
    import numpy as np
    import polars as pl

    with np.errstate(over="ignore"):
        h = values.fill_null(0).to_numpy().astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    return pl.select(pl.when(values.is_not_null()).then(pl.Series(_codes(h)))).to_series()


def _codes_of_texts(values: pl.Series) -> pl.Series:
    """BLAKE2b of each different text, as a code; null stays null."""
    import hashlib

    import numpy as np
    import polars as pl

    different = values.unique().drop_nulls()
    data = b"".join(hashlib.blake2b(t.encode(), digest_size=8).digest() for t in different)
    codes = pl.Series(_codes(np.frombuffer(data, dtype="<u8")), dtype=pl.Int64)
    return values.replace_strict(different, codes, default=None, return_dtype=pl.Int64)


def _codes(hashes: np.ndarray) -> np.ndarray:
    import numpy as np

    register = (hashes >> np.uint64(_RANK_BITS)).astype(np.int64)
    rest = hashes & np.uint64(2**_RANK_BITS - 1)
    length = np.frexp(rest.astype(np.float64))[1]  # exact: below 2⁵³
    codes: np.ndarray = register * 64 + (_RANK_BITS + 1 - length)
    return codes


def _estimate(ranks: dict[int, int] | np.ndarray | None) -> float:
    """Ertl's improved raw estimator over the histogram of ranks."""
    import numpy as np

    if ranks is None:
        return 0.0
    if isinstance(ranks, dict):
        found = np.bincount(list(ranks.values()), minlength=_RANK_BITS + 2)
        found[0] = REGISTERS - len(ranks)
    else:
        found = np.bincount(ranks, minlength=_RANK_BITS + 2)
    m = float(REGISTERS)
    z = m * _tau(1 - found[_RANK_BITS + 1] / m)
    for k in range(_RANK_BITS, 0, -1):
        z = 0.5 * (z + float(found[k]))
    z += m * _sigma(found[0] / m)
    return m * m / (2 * math.log(2) * z)


def _sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


MEASURE = ApproxCountDistinct()
