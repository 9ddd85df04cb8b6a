"""`first(x)`: the value of the earliest event that has one, by event time, ties by id."""

from __future__ import annotations

from pipelinekit.measures.base import Merge
from pipelinekit.measures.ordered import Ordered

MEASURE = Ordered(
    "first",
    "the value of the earliest event that has one, by event time, ties by id",
    Merge.EARLIEST,
)
