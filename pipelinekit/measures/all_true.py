"""`all_true(x)`: whether every value is true; null of no values."""

from __future__ import annotations

from pipelinekit.measures.truths import Truth

MEASURE = Truth("all_true", "whether every value is true", lambda true, n: true == n)
