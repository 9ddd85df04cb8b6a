"""`variance(x)`: the variance of the sample, as a float; null of fewer than two values."""

from __future__ import annotations

from pipelinekit.measures.spread import Spread

MEASURE = Spread(
    "variance",
    "the variance of the sample, as a float; null of fewer than two values",
    lambda variance: variance,
)
