"""`stddev(x)`: the standard deviation of the sample, as a float; null of fewer than two values."""

from __future__ import annotations

import math

from pipelinekit.measures.spread import Spread

MEASURE = Spread(
    "stddev",
    "the standard deviation of the sample, as a float; null of fewer than two values",
    math.sqrt,
)
