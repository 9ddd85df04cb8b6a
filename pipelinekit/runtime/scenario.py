"""Tests with time: a spec's steps run on the engine alone, and what they left is compared.

The same codec, ingest and panes as in production; only time and delivery are the test's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np

from pipelinekit.data import DeadLetter, RawBatch
from pipelinekit.engine.ingest import Ingest, Slice
from pipelinekit.engine.lateness import PartitionTime, ShardTime
from pipelinekit.engine.panes import Metric, PaneStore, rebucket
from pipelinekit.plan.model import MetricPlan, Plan, StagePlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.expectation import Difference, compare_letters, compare_rows
from pipelinekit.runtime.outcome import Outcome, Row
from pipelinekit.runtime.stage_rows import provisional_ms, stage_rows
from pipelinekit.runtime.words import Message, ScenarioError, Words
from pipelinekit.spec.document import Path
from pipelinekit.spec.models.testing import Contains, Step, TestSpec
from pipelinekit.windows.base import Window

_RESTART_BUCKETS, _RESTART_SHARDS = 3, 2


@dataclass(frozen=True, slots=True)
class Failure:
    """What a step expected and did not find; `path` is its place in the test.

    `difference` is what the expectation would have to say, None for a step that can't be run.
    """

    path: Path
    text: str
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended."""

    metric: str
    name: str
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failures


def run_test(
    plan: Plan,
    test: TestSpec,
    through: Through | None = None,
    observer: Observer | None = None,
) -> Result:
    """Run one test of the plan's only metric, or of the stage over it if the plan has one.

    `through` sends the slices so far through a runner, and gives the rows that came out; without
    it the engine's own panes give them.
    """
    began = time.perf_counter()
    scenario = _Scenario(plan, test, through, observer)
    failures: list[Failure] = []
    for number, step in enumerate(test.steps):
        _note(failures, ("steps", number), partial(scenario.step, step))
    last = Step(expect=test.expect, expect_dead_letters=test.expect_dead_letters)
    for name in ("expect", "expect_dead_letters"):
        _note(failures, (name,), partial(scenario.expectation, last, name))
    if observer is not None and plan.stages:
        observer.see_rows(scenario.rows_below())
    seconds = time.perf_counter() - began
    return Result(scenario.tested.name, test.name, tuple(failures), seconds)


def _note(failures: list[Failure], path: Path, act: Callable[[], Difference | str | None]) -> None:
    try:
        found = act()
    except ScenarioError as error:
        found = str(error)
    if isinstance(found, Difference):
        failures.append(Failure(path, found.text, found))
    elif found is not None:
        failures.append(Failure(path, found))


Through = Callable[[Sequence[tuple[Slice, int]]], Sequence[Row]]


class Observer(Protocol):
    """Who looks on: at each batch and what became of it, and at the rows that a stage is over."""

    def see(self, batch: RawBatch, result: Slice) -> None: ...

    def see_rows(self, rows: Sequence[Row]) -> None: ...


@dataclass(slots=True)
class _Scenario:
    plan: Plan
    test: TestSpec
    through: Through | None = None
    observer: Observer | None = None
    _slices: list[tuple[Slice, int]] = field(default_factory=list)
    _messages: dict[tuple[int, int], Message] = field(default_factory=dict)
    _rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    _letters: list[DeadLetter] = field(default_factory=list)
    _now_ms: int = 0
    _buckets: int = 1
    _shards: list[ShardTime] = field(default_factory=list)
    _stores: list[PaneStore] = field(default_factory=list)
    _ingest: Ingest | None = None
    _metric: MetricPlan = field(init=False)
    _words: Words = field(init=False)

    def __post_init__(self) -> None:
        self._metric = metric = self.plan.metrics[0]
        zone = next((w.timezone for w in metric.grains if w.is_calendar), "UTC")
        own_zone = metric.window.timezone
        if self._stage is not None:
            own_zone = zone = self._stage.metric.window.timezone
        self._words = Words(self.plan.source, self.test.base, ZoneInfo(own_zone), ZoneInfo(zone))
        if self.through is None:
            self.plan = replace(self.plan, metrics=(replace(metric, grains=self._compared()),))
        self._now_ms = self._words.instant("00:00:00")
        count = 1 + max(self._partitions_named(), default=0)
        times = {p: PartitionTime(0) for p in range(count)}
        self._start(times, shards=1, buckets=1, watermark=None, saved=[])

    @property
    def _stage(self) -> StagePlan | None:
        return self.plan.stages[0] if self.plan.stages else None

    @property
    def tested(self) -> MetricPlan:
        """Whose rows are compared."""
        return self._metric if self._stage is None else self._stage.metric

    # --- steps ----------------------------------------------------------------------------------

    def step(self, step: Step) -> Difference | str | None:
        """Carry a step out; gives what it expected and did not find."""
        if step.events is not None:
            self._deliver([self._words.event(e) for e in step.events])
        elif step.raw is not None:
            self._deliver([self._words.raw(r, self._now_ms) for r in step.raw])
        elif step.watermark is not None:
            for shard in self._shards:
                shard.raise_to(self._words.instant(step.watermark))
        elif step.advance is not None:
            self._now_ms += step.advance
        elif step.now is not None:
            self._now_ms = self._words.instant(step.now)
        elif step.idle is not None:
            idle = [step.idle] if isinstance(step.idle, int) else step.idle
            for shard in self._shards:
                shard.mark_idle(p for p in idle if p in shard.partitions)
        elif step.restart is not None:
            self._restart()
        elif step.expect is not None:
            return self.expectation(step, "expect")
        elif step.expect_dead_letters is not None:
            return self.expectation(step, "expect_dead_letters")
        self._settle()
        return None

    def expectation(self, step: Step, name: str) -> Difference | str | None:
        """What differs from the step's expectation of that name, None without one."""
        if name == "expect" and step.expect is not None:
            return compare_rows(step.expect, self.outcome())
        if name == "expect_dead_letters" and step.expect_dead_letters is not None:
            return compare_letters(step.expect_dead_letters, self.outcome())
        return None

    def rows_below(self) -> list[Row]:
        """The rows that the stage is over."""
        return self._below(self._own_rows())

    def _below(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if row.grain == self._metric.window.suffix]

    def _own_rows(self) -> tuple[Row, ...]:
        return tuple(self._rows.values() if self.through is None else self.through(self._slices))

    def outcome(self) -> Outcome:
        """The table, the dead letters and how to read times, as they stand."""
        rows = self._own_rows()
        watermark_ms = min(store.watermark_ms for store in self._stores)
        if self._stage is not None:
            rows = tuple(stage_rows(self._stage, self.plan.source, self._below(rows)))
            watermark_ms -= provisional_ms(self._metric)
        metric = self.tested
        columns = tables_of(metric)[0].measures
        return Outcome(
            rows=rows,
            letters=tuple(
                (letter, self._messages[(letter.partition, letter.offset)].event)
                for letter in self._letters
            ),
            key=tuple(k.name for k in metric.key),
            measures=tuple(column.name for column in columns),
            types={
                **{k.name: k.type for k in metric.key},
                **{column.name: column.type for column in columns},
            },
            finest=metric.window.suffix,
            grains=tuple(w.suffix for w in metric.grains),
            id=self.plan.source.id,
            watermark_ms=watermark_ms,
            instant=self._words.instant,
            zone=self._words.zone,
        )

    # --- delivery -------------------------------------------------------------------------------

    def _deliver(self, messages: Sequence[Message]) -> None:
        for shard in self._shards:
            mine = [m for m in messages if m.partition in shard.partitions]
            if mine:
                self._slice(shard, mine)

    def _slice(self, shard: ShardTime, messages: Sequence[Message]) -> None:
        assert self._ingest is not None
        positions = {p: t.next_offset for p, t in shard.partitions.items()}
        offsets = []
        for message in messages:
            offset = positions[message.partition]
            offsets.append(offset)
            self._messages[(message.partition, offset)] = message
            positions[message.partition] = offset + 1
        times = np.array([m.broker_ms for m in messages], dtype=np.int64)
        batch = RawBatch(
            values=[m.value for m in messages],
            partitions=np.array([m.partition for m in messages], dtype=np.int32),
            offsets=np.array(offsets, dtype=np.int64),
            broker_times_ms=times,
            keys=[None] * len(messages),
            headers=[m.headers for m in messages],
            positions={m.partition: positions[m.partition] for m in messages},
        )
        result = self._ingest.take(batch, shard.partitions, times)
        if self.observer is not None:
            self.observer.see(batch, result)
        shard.partitions.update(result.partitions)
        self._slices.append((result, shard.published_ms))
        for part in result.partials:
            self._stores[part.bucket].merge(part, self._now_ms)
        self._letters += result.dead_letters

    def _settle(self) -> None:
        """Publish watermarks behind the data, and let all changed rows out."""
        for shard in self._shards:
            shard.publish(shard.watermark(self._now_ms))
        watermark = min(s.published_ms for s in self._shards if s.partitions)
        for store in self._stores:
            store.advance(watermark)
            for upserts in store.flush(self._now_ms, everything=True):
                table = upserts.table
                for row in upserts.rows.to_pylist():
                    identity = (table.name, *(row[name] for name in table.identity))
                    held = self._rows.get(identity)
                    if held is None or held.values["_version"] <= row["_version"]:
                        self._rows[identity] = Row(table.grain, row)

    def _restart(self) -> None:
        """A checkpoint and a restore, at other numbers of shards and buckets."""
        saved = [r for store in self._stores for r in store.changed_rows(everything=True)]
        times = {p: t for shard in self._shards for p, t in shard.partitions.items()}
        watermark = min(s.published_ms for s in self._shards if s.partitions)
        shards = _RESTART_SHARDS if len(self._shards) == 1 else 1
        buckets = _RESTART_BUCKETS if self._buckets == 1 else 1
        self._start(times, shards=shards, buckets=buckets, watermark=watermark, saved=saved)

    def _start(
        self,
        times: Mapping[int, PartitionTime],
        *,
        shards: int,
        buckets: int,
        watermark: int | None,
        saved: Sequence[Any],
    ) -> None:
        source, metrics = self.plan.source, self.plan.metrics
        self._buckets = buckets
        self._ingest = Ingest(source, metrics, {}, buckets)
        parts = [Metric(m, tables_of(m)) for m in metrics]
        self._stores = [PaneStore(source, parts, 1) for _ in range(buckets)]
        for rows in saved:
            for bucket, part in rebucket(rows, len(metrics[0].key), buckets):
                self._stores[bucket].restore(part)
        self._shards = []
        for number in range(shards):
            mine = {p: t for p, t in times.items() if p % shards == number}
            if not mine:
                continue
            shard = ShardTime(source.out_of_orderness_ms, source.idle_after_ms, mine)
            if watermark is not None:
                shard.published_ms = watermark
            self._shards.append(shard)
        if watermark is not None:
            for store in self._stores:
                store.advance(watermark)

    def _compared(self) -> tuple[Window, ...]:
        """The grains of which a row is compared: making the others' rows would change nothing."""
        steps = (step.expect for step in self.test.steps)
        expected = [e for e in (self.test.expect, *steps) if e is not None]
        rows = [r for e in expected for r in (e.contains if isinstance(e, Contains) else e)]
        named = {row.get("grain") for row in rows}
        finest, *coarser = self._metric.grains
        return (finest, *(grain for grain in coarser if grain.suffix in named))

    def _partitions_named(self) -> list[int]:
        named = []
        for step in self.test.steps:
            named += [int(e["partition"]) for e in step.events or () if "partition" in e]
            named += [r.partition for r in step.raw or ()]
            if step.idle is not None:
                named += [step.idle] if isinstance(step.idle, int) else step.idle
        return named
