"""Values in the order that `first` and `last` go by: event time, then id, then the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelinekit.measures.base import Inputs

if TYPE_CHECKING:
    import polars as pl


def ordered_values(inputs: Inputs) -> pl.Expr:
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
