"""How much state a metric holds, roughly: windows at once, rows in each, bytes of a row.

The bytes are of the local runner's panes, measured to within a third on texts of a dozen characters
(benchmarks/README.md); Beam's state is smaller, a checkpoint far smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelinekit.measures.base import Accumulator, Merge
from pipelinekit.plan.model import MetricPlan, SourcePlan
from pipelinekit.spec.constants import bound_measure
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative

_ROW_BYTES = 110  # its place in the index, its marks, the room that growing arrays keep
_KEY_BYTES, _TUPLE_BYTES = 60, 80
_NUMBER_BYTES, _OBJECT_BYTES, _TIMED_BYTES, _SET_BYTES = 10, 100, 240, 220
_SKETCH_BYTES = 300  # of a few values; it grows up to that of all registers, or some 150 buckets
_SKETCH_BYTES_MAX = 16_500
VALUE_BYTES = 80  # of one value in a set


@dataclass(frozen=True, slots=True)
class StateEstimate:
    """`windows` by grain, in the metric's order. `rows_max` of a window: None if keys are open.

    `has_sets`: a row grows by VALUE_BYTES with each distinct value. `sketch_bytes` is what it may
    grow by, at most, as its sketches fill.
    """

    windows: tuple[tuple[str, int], ...]
    rows_max: int | None
    row_bytes: int
    has_sets: bool
    sketch_bytes: int

    @property
    def windows_held(self) -> int:
        return sum(count for _, count in self.windows)


def state_estimate(metric: MetricPlan, source: SourcePlan) -> StateEstimate:
    """What the metric holds when events of all its keys come all the time."""
    windows = tuple((g.suffix, _windows(g, metric.allowed_lateness_ms)) for g in metric.grains)
    rows: int | None = 1
    for key in metric.key:
        # A list's values, all others as one, and null.
        rows = None if rows is None or key.values is None else rows * (len(key.values) + 2)
    accumulators = _accumulators(metric, source)
    sizes = [_bytes(a) for a in accumulators]
    sketches = sizes.count(_SKETCH_BYTES)
    keys = len(metric.key)
    row = _ROW_BYTES + keys * _KEY_BYTES + (_TUPLE_BYTES if keys > 1 else 0) + sum(sizes)
    growth = sketches * (_SKETCH_BYTES_MAX - _SKETCH_BYTES)
    return StateEstimate(windows, rows, row, _SET_BYTES in sizes, growth)


def _windows(window: Window, allowed_ms: int) -> int:
    """How many are held at once; of a cumulative one its ticks, and the total before them."""
    open_ms = window.every_ms if isinstance(window, Cumulative) else window.approximate_ms
    held = 1 + (open_ms + allowed_ms) // max(window.every_ms, 1)
    return held + 1 if isinstance(window, Cumulative) else held


def _accumulators(metric: MetricPlan, source: SourcePlan) -> list[Accumulator]:
    id_type = None if source.id is None else source.field(source.id).type
    found: list[Accumulator] = []
    for measure in metric.measures:
        if measure.measure is not None:
            kind, arguments = bound_measure(measure.measure, measure.arguments)
            types = [a.type for a in arguments]
            found += kind.accumulators(types, measure.max_values, id_type)
    return found


def _bytes(accumulator: Accumulator) -> int:
    match accumulator.merge:
        case Merge.UNION:
            return _SET_BYTES
        case Merge.COUNTS if accumulator.limit is not None:
            return _SET_BYTES
        case Merge.LATEST | Merge.EARLIEST:
            return _TIMED_BYTES
        case Merge.RANKS | Merge.COUNTS:
            return _SKETCH_BYTES
        case _:
            return _OBJECT_BYTES if accumulator.dtype == "object" else _NUMBER_BYTES
