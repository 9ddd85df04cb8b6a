"""`funnel_step(c1, c2, …)`: how many of the steps were taken one after the other, by event time.

A step is taken by an event that meets its condition, at the time of the step before or later, and
is not the event of another step. Of events of the same time any may be the earlier one; those that
meet the same conditions at the same time are one.

State: when the first step's condition alone was met first, when the last one's alone was met last
(no other such event can matter), and time and conditions of all other events, `max_values` at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from pipelinekit.measures.base import (
    INT64_MAX,
    INT64_MIN,
    OVER,
    Accumulator,
    Inputs,
    Merge,
    Signature,
)
from pipelinekit.measures.numbers import require_bool
from pipelinekit.types import INT, Type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

STEPS_MAX = 16
_STEPS_MIN = 2
_BITS = 16  # an event is its time in ms · 2¹⁶ + the set of conditions that it meets


class FunnelStep:
    name = "funnel_step"
    summary = "how many of the steps were taken in their order, by event time"
    signature = Signature(
        arguments=tuple(f"c{place + 1}" for place in range(STEPS_MAX)),
        optional_arguments=STEPS_MAX - _STEPS_MIN,
        needs_max_values=True,
        example="funnel_step(event_type = 'view', event_type = 'click')",
    )

    def result_type(self, arguments: Sequence[Type]) -> Type:
        require_bool(self.name, arguments)
        return INT

    def is_nullable(self) -> bool:
        return True

    def accumulators(
        self, arguments: Sequence[Type], max_values: int | None, id_type: Type | None
    ) -> tuple[Accumulator, ...]:
        return (
            Accumulator("first", Merge.MIN, INT),
            Accumulator("last", Merge.MAX, INT),
            Accumulator("events", Merge.UNION, INT, limit=max_values),
        )

    def partial(self, inputs: Inputs, arguments: Sequence[Type]) -> tuple[pl.Expr, ...]:
        import polars as pl

        met = pl.sum_horizontal(
            value.fill_null(False).cast(pl.Int64) * (1 << place)
            for place, value in enumerate(inputs.values)
        )
        is_first, is_last = met == 1, met == 1 << len(arguments) - 1
        others = (inputs.event_time * (1 << _BITS) + met).filter((met > 0) & ~is_first & ~is_last)
        return (
            inputs.event_time.filter(is_first).min().fill_null(INT64_MAX),
            inputs.event_time.filter(is_last).max().fill_null(INT64_MIN),
            others.unique(),
        )

    def overflowed(self, columns: Mapping[str, np.ndarray], result: pa.Array) -> pa.Array:
        return result.is_null()

    def result(self, columns: Mapping[str, np.ndarray], arguments: Sequence[Type]) -> pa.Array:
        import pyarrow as pa

        steps = len(arguments)
        rows = zip(
            columns["first"].tolist(), columns["last"].tolist(), columns["events"], strict=True
        )
        found = [
            None if events is OVER else _deepest(_events(first, last, events or (), steps), steps)
            for first, last, events in rows
        ]
        return pa.array(found, pa.int64())


MEASURE = FunnelStep()


def _events(first: int, last: int, others: Iterable[int], steps: int) -> list[tuple[int, int]]:
    """Time and conditions (as bits) of each event, by time."""
    events = [(code >> _BITS, code & (1 << _BITS) - 1) for code in others]
    if first != INT64_MAX:
        events.append((first, 1))
    if last != INT64_MIN:
        events.append((last, 1 << steps - 1))
    return sorted(events)


def _deepest(events: Iterable[tuple[int, int]], steps: int) -> int:
    """The last step taken. At each time as many as can be: no later choice is better for fewer."""
    step = 0
    for _, group in groupby(events, key=lambda event: event[0]):
        step += _taken([met for _, met in group], step, steps)
    return step


def _taken(events: Sequence[int], step: int, steps: int) -> int:
    """How many steps after `step` these events take, each by one of its own."""
    if len(events) == 1:
        return events[0] >> step & 1
    taker: dict[int, int] = {}  # event → its step

    def takes(step: int, seen: set[int]) -> bool:
        for event, met in enumerate(events):
            if met >> step & 1 and event not in seen:
                seen.add(event)
                if event not in taker or takes(taker[event], seen):
                    taker[event] = step
                    return True
        return False

    taken = 0
    while step + taken < steps and takes(step + taken, set()):
        taken += 1
    return taken
