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
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipelinekit.types import Kind, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


class Merge(Enum):
    """How two accumulators of one key become one."""

    SUM = "sum"  # int or float
    MIN = "min"
    MAX = "max"
    UNION = "union"  # sets
    LATEST = "latest"  # (event_time_ms, id, value): the greatest wins
    EARLIEST = "earliest"  # likewise, the least wins
    COUNTS = "counts"  # value → how often: added up
    RANKS = "ranks"  # place → rank: the greatest of each wins


@dataclass(frozen=True, slots=True)
class Accumulator:
    """One column of a measure's state.

    In a partial's frame it is a column of `type` (UNION: a list of it; LATEST and EARLIEST: a
    struct of time, id, value; COUNTS: a list of structs of value and count; RANKS: a list of codes
    place · 64 + rank). In panes SUM and numeric MIN and MAX are int64 or float64 arrays, the others
    object arrays: Python values, sets, tuples, dictionaries, with None for "none yet". A set or
    dictionary of COUNTS that outgrew `limit` is OVER for ever; RANKS has `limit` places, and is an
    array of them (uint8) once many are taken.
    """

    name: str
    merge: Merge
    type: Type
    id_type: Type | None = None
    limit: int | None = None

    @property
    def dtype(self) -> str:
        """The numpy dtype in panes: int64 | float64 | object."""
        if self.merge in (Merge.SUM, Merge.MIN, Merge.MAX):
            if self.type.kind is Kind.FLOAT:
                return "float64"
            if self.type.kind is Kind.INT:
                return "int64"
        return "object"


class Over:
    """The one value of an accumulator that went over its limit."""

    def __repr__(self) -> str:
        return "OVER"


OVER = Over()
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


class Signature(NamedTuple):
    """What a measure accepts, for checks, help and docs."""

    arguments: tuple[str, ...]  # names, such as ("x",)
    optional_arguments: int = 0  # how many of the last ones may be left out
    constants: int = 0  # how many of the last ones are literals, given to `with_constants`
    needs_max_values: bool = False
    needs_id: bool = False
    example: str = ""  # a call, where the arguments' names don't show how one is written


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
    """One kind of measure. Stateless; a component file exposes one as `MEASURE`.

    One with constants has `with_constants(values) -> Measure` too, which raises ValueError with the
    rule that a value breaks; the other methods are then asked of what it gives. One whose result
    can be null because it outgrew `max_values` or its type has `overflowed(columns, result)`. A
    sketch has `state_type` and `state(columns)`.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def signature(self) -> Signature: ...

    def result_type(self, arguments: Sequence[Type]) -> Type:
        """The result's type; TypeError with a reason when the arguments don't fit."""
        ...

    def is_nullable(self) -> bool: ...

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]: ...

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        """One aggregation per accumulator, in order, for a group_by over a slice.

        Never null: a neutral value (0, INT64_MAX, …) where numbers have none; object accumulators
        are null where a group has no value.
        """
        ...

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        """Results of the rows whose accumulators are given, in order."""
        ...


class WithOverflow(Measure, Protocol):
    """A measure with a limit."""

    def overflowed(self, columns: Mapping[str, np.ndarray], result: pa.Array) -> pa.Array:
        """A bool for each row: whether its result is null because it went beyond the limit."""
        ...


class WithState(Measure, Protocol):
    """A sketch: what it keeps can be a column too, which later queries merge.

    Its form is documented (docs/analyst/sketches.md) and never changes.
    """

    @property
    def state_type(self) -> Type: ...

    def state(self, columns: Mapping[str, np.ndarray]) -> pa.Array:
        """The mergeable state of each row, of `state_type`; never null."""
        ...


class WithConstants(Measure, Protocol):
    """A measure whose last arguments are literals."""

    def with_constants(self, constants: Sequence[object]) -> Measure: ...
