"""What first and last share: values in the order of event time, then id, then the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelinekit.measures.base import Accumulator, Inputs, Merge, Signature
from pipelinekit.measures.numbers import object_array, require_scalar
from pipelinekit.types import Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Ordered:
    """`merge` is EARLIEST or LATEST."""

    name: str
    summary: str
    merge: Merge

    signature = Signature(arguments=("x",), needs_id=True)

    def result_type(self, arguments: Sequence[Type]) -> Type:
        (x,) = require_scalar(self.name, arguments)
        return x

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (Accumulator("value", self.merge, arguments[0], id_type=id_type),)

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        values = _in_order(inputs)
        return (values.first() if self.merge is Merge.EARLIEST else values.last(),)

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        values = [None if entry is None else entry[2] for entry in columns["value"]]
        return object_array(values, arguments[0])


def _in_order(inputs: Inputs) -> pl.Expr:
    """A group's structs (time, id, value) whose value isn't null, in order.

    The value itself breaks the tie of two events with the same time and id, so that the answer
    never depends on arrival.
    """
    import polars as pl

    if inputs.id is None:
        raise ValueError("first and last need the source's id to order ties")
    value = inputs.values[0]
    has_value = value.is_not_null()
    parts = (inputs.event_time.alias("time"), inputs.id.alias("id"), value.alias("value"))
    return pl.struct(*parts).filter(has_value).sort_by(*(part.filter(has_value) for part in parts))
