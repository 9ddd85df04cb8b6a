"""`last(x)`: the value of the latest event that has one, by event time, ties by id."""

from __future__ import annotations

from pipelinekit.measures.base import Merge
from pipelinekit.measures.ordered import Ordered

MEASURE = Ordered(
    "last",
    "the value of the latest event that has one, by event time, ties by id",
    Merge.LATEST,
)
