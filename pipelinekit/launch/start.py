"""Where a submitted job begins: anew, or from the state of the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from pipelinekit.clock import Clock, SystemClock
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.errors import Refused, UsageError
from pipelinekit.launch.deployment import Deployment
from pipelinekit.plan.diff import verdict
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.epoch import greatest_epoch
from pipelinekit.runtime.floors import continued, fresh, fresh_notes, latest_ms
from pipelinekit.runtime.outside import make_dead_letters, make_sink, make_source
from pipelinekit.units import DAY_MS


@dataclass(frozen=True, slots=True)
class Begin:
    """The job, the topic it belongs to, and in words what differs from the one before."""

    job: BeamJob
    topic_id: str
    notes: tuple[str, ...] = ()


def begin_anew(
    plan: Plan,
    before: Deployment | None,
    *,
    latest: bool = False,
    until_end: bool = False,
    shards: int = 1,
    buckets: int = 2,
    clock: Clock | None = None,
) -> Begin:
    """A job without a past; its epoch is above that of the rows and of the record before it."""
    now_ms = (clock or SystemClock()).now_ms()
    with _opened(plan) as source:
        bounds, topic_id = source.bounds(), source.topic_id()
    job = BeamJob(
        plan,
        positions={p: end if latest else first for p, (first, end) in bounds.items()},
        shards=shards,
        buckets=buckets,
        epoch=1 + max(_epoch_of_rows(plan), 0 if before is None else before.epoch),
        stop_at={p: end for p, (_, end) in bounds.items()} if until_end else None,
        metrics=fresh(plan, latest_ms(plan.source, now_ms) if latest else NO_TIME),
    )
    return Begin(job, topic_id, fresh_notes(job.metrics))


def begin_from(
    plan: Plan,
    before: Deployment,
    *,
    shards: int | None = None,
    clock: Clock | None = None,
) -> Begin:
    """The job as the record's state left it. Raises Refused for what that state can't become.

    Metrics new since then begin at a boundary that no event can have passed: what may be ahead
    of now is bounded by `max_future_skew`.
    """
    if shards is not None and shards != before.shards:
        raise UsageError(
            f"the state of {plan.job} has {before.shards} shards, {shards} were asked for",
            help="leave --shards out; --parallelism may change",
        )
    with _opened(plan) as source:
        topic_id = source.topic_id()
    if topic_id != before.topic_id:
        raise Refused(
            f'topic "{plan.source.topic}" was made anew since the job was submitted: its state '
            "belongs to the one before",
            help="decide where to go on: --from earliest or --from latest",
        )
    _refuse_incompatible(plan, before.plan)
    now_ms = (clock or SystemClock()).now_ms()
    goes_on = continued(
        plan,
        before.plan,
        before.metrics,
        after_ms=latest_ms(plan.source, now_ms),
        # The runner has the watermark; what closed a day ago by the clock is over.
        watermark_ms=now_ms - DAY_MS,
    )
    job = BeamJob(
        goes_on.plan,
        positions=before.positions,
        shards=before.shards,
        buckets=before.buckets,
        epoch=before.epoch,
        metrics=goes_on.metrics,
    )
    return Begin(job, topic_id, goes_on.notes)


@contextmanager
def _opened(plan: Plan) -> Iterator[KafkaSource]:
    """The source; raises Refused if dead letters could not be written, before a job is out."""
    with ExitStack() as stack:
        letters = make_dead_letters(plan.source)
        if letters is not None:
            stack.callback(letters.close)
            letters.check()
        source = make_source(plan.source)
        stack.callback(source.close)
        yield source


def _epoch_of_rows(plan: Plan) -> int:
    sinks = {s.name: make_sink(s) for s in plan.sinks}
    try:
        return greatest_epoch(plan, sinks)
    finally:
        for sink in sinks.values():
            sink.close()


def _refuse_incompatible(plan: Plan, before: Plan) -> None:
    """A key, window or measure of another kind needs tables, and so a version, of its own."""
    current = replace(before, metrics=tuple(m for m in before.metrics if not m.is_retired))
    for item in verdict(current, plan):
        if item.unversioned:
            version = plan.metric(item.name).version
            raise Refused(
                f"metric {item.name}: its {' and '.join(item.unversioned)} changed, and its "
                f"version is still {version}: table and state there are of another shape",
                help=f"write `version: {version + 1}` in the metric's spec",
            )
