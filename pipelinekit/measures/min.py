"""`min(x)`: the least value of a number, text, date or time; null of no values."""

from __future__ import annotations

from pipelinekit.measures.base import Merge
from pipelinekit.measures.extremes import Extreme

MEASURE = Extreme("min", "the least value", Merge.MIN)
