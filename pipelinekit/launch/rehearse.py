"""Tests with time on a Beam runner: the rows that their slices end in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelinekit.engine.ingest import Slice
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.outcome import Row
from pipelinekit.runtime.scenario import Through, run_test
from pipelinekit.runtime.suite import Suite

if TYPE_CHECKING:
    from pipelinekit.connectors.memory.sink import MemorySink
    from pipelinekit.runtime.beam.script import RunPipeline, Script


def rows_through(
    plan: Plan, run: RunPipeline, slices: Sequence[tuple[Slice, int]]
) -> Sequence[Row]:
    """The newest version of each row, of every grain."""
    from pipelinekit.runtime.beam.script import play

    (sink,) = play([(plan, slices)], run)
    return _rows(plan, sink)


def together(
    suites: Sequence[Suite], run: RunPipeline, at_once: int, say: Callable[[str], None]
) -> Callable[[Plan], Through]:
    """What `run_suites` takes, for a runner to which a pipeline is dear: `at_once` expectations in
    each.

    The tests run once to learn what each `expect` asks, and nothing is compared; then they must be
    run in the same order. `say` is told before each pipeline.
    """
    rows = _in_turn(_asked(suites), run, at_once, say)
    return lambda plan: lambda slices: next(rows)


def _asked(suites: Sequence[Suite]) -> list[Script]:
    asked: list[Script] = []
    for suite in suites:

        def note(slices: Sequence[tuple[Slice, int]], plan: Plan = suite.plan) -> Sequence[Row]:
            asked.append((plan, tuple(slices)))
            return ()

        for test in suite.tests:
            run_test(suite.plan, test, note)
    return asked


def _in_turn(
    scripts: Sequence[Script], run: RunPipeline, at_once: int, say: Callable[[str], None]
) -> Iterator[Sequence[Row]]:
    from pipelinekit.runtime.beam.script import play

    parts = [scripts[i : i + at_once] for i in range(0, len(scripts), at_once)]
    for number, part in enumerate(parts, start=1):
        say(f"pipeline {number} of {len(parts)}, expectations: {len(part)}")
        for (plan, _), sink in zip(part, play(part, run), strict=True):
            yield _rows(plan, sink)


def _rows(plan: Plan, sink: MemorySink) -> list[Row]:
    import polars as pl

    return [
        Row(table.grain, values)
        for metric in plan.metrics
        for table in tables_of(metric)
        for values in pl.DataFrame(pl.from_arrow(sink.read_back(table.name))).iter_rows(named=True)
    ]
