"""The contract of a measure: an algebra of columns — partial, merge, result.

A measure names the accumulator columns it needs and how each is merged. The engine groups a
slice's events (`partial`), merges partials into panes by the accumulators' rules, and asks for
the `result`. Laws (tests/laws): merging is associative and commutative, and any split of the same
events gives the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from pipelinekit.types import Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Merge(Enum):
    """How two accumulators of one key become one."""

    SUM = "sum"  # int64 or float64
    MIN = "min"  # int64, float64, or object with None as neutral
    MAX = "max"
    UNION = "union"  # object: Python sets; None once over the limit
    LATEST = "latest"  # object: (event_time_ms, id, value), the greatest wins; None is neutral
    EARLIEST = "earliest"  # likewise, the least wins


@dataclass(frozen=True, slots=True)
class Accumulator:
    """One column of a measure's state. `dtype` is a numpy dtype name."""

    name: str
    dtype: str  # int64 | float64 | object
    merge: Merge
    limit: int | None = None  # UNION: beyond it the set is over, for ever


@dataclass(frozen=True, slots=True)
class Signature:
    """What a measure accepts, for checks, help and docs."""

    arguments: tuple[str, ...]  # names, such as ("x",)
    needs_max_values: bool = False
    needs_id: bool = False
    needs_filterable: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A measure's input columns in a slice's frame; rows its filter excludes are null in `values`.

    `included` is a boolean column that is true where the measure's filter holds, or None when it
    has none.
    """

    values: tuple[pl.Expr, ...]
    included: pl.Expr | None
    event_time: pl.Expr  # int64 ms
    id: pl.Expr | None


class Measure(Protocol):
    """One kind of measure. Stateless; a component file exposes one as `MEASURE`."""

    name: str
    summary: str
    signature: Signature

    def result_type(self, arguments: Sequence[Type]) -> Type:
        """The result's type; TypeError with a reason when the arguments don't fit."""
        ...

    def is_nullable(self) -> bool: ...

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None
    ) -> tuple[Accumulator, ...]: ...

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        """One aggregation per accumulator, in order, for a group_by over a slice."""
        ...

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        """Results of the rows whose accumulators are given, in order."""
        ...
