"""`any_true(x)`: whether some value is true; null of no values."""

from __future__ import annotations

from pipelinekit.measures.truths import Truth

MEASURE = Truth("any_true", "whether some value is true", lambda true, n: true > 0)
