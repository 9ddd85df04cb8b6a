"""Plans for tests, from a few literals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.plan.fingerprint import measure_fingerprint, metric_fingerprint
from pipelinekit.plan.model import KeyPlan, MeasurePlan, MetricPlan, SourcePlan
from pipelinekit.spec.constants import bound_measure
from pipelinekit.spec.expressions.parse import parse_expression, parse_measure
from pipelinekit.spec.expressions.tree import WINDOW_SECONDS, Expression
from pipelinekit.types import BOOL, FLOAT, INT, STRING, TIMESTAMP, Type, decimal_type
from pipelinekit.windows.base import Window
from pipelinekit.windows.tumbling import Tumbling

MINUTE = Tumbling(60_000)
FIELDS: dict[str, Type] = {
    "id": STRING,
    "t": TIMESTAMP,
    "kind": STRING,
    "country": STRING,
    "user": STRING,
    "amount": decimal_type(18, 2),
    "load": INT,
    "score": FLOAT,
    "bot": BOOL,
}


def source(
    *,
    out_of_orderness_ms: int = 2_000,
    idle_after_ms: int = 10_000,
    max_future_skew_ms: int = 60_000,
    topic: str = "events",
    brokers: str = "",
    dead_letters: str | None = None,
) -> SourcePlan:
    return SourcePlan(
        name="events",
        topic=topic,
        brokers=brokers,
        format="json",
        fields=tuple(
            FieldSpec(
                name,
                kind,
                ((name,),),
                optional=name not in ("id", "t", "kind", "bot"),
                default=False if name == "bot" else None,
            )
            for name, kind in FIELDS.items()
        ),
        event_time="t",
        id="id",
        out_of_orderness_ms=out_of_orderness_ms,
        idle_after_ms=idle_after_ms,
        max_future_skew_ms=max_future_skew_ms,
        dead_letters_topic=dead_letters,
        manage="full",
    )


def expression(text: str, fields: Mapping[str, Type] = FIELDS) -> Expression:
    parsed = parse_expression(text, fields)
    assert parsed.expression is not None, parsed.problems
    return parsed.expression


def measure(
    name: str,
    text: str,
    *,
    filter: str | None = None,
    max_values: int | None = None,
    hidden: bool = False,
) -> MeasurePlan:
    parsed = parse_measure(text, FIELDS)
    assert parsed.name is not None, parsed.problems
    assert not parsed.problems, parsed.problems
    kind, arguments = bound_measure(parsed.name, parsed.arguments)
    where = None if filter is None else expression(filter)
    return MeasurePlan(
        name=name,
        measure=parsed.name,
        arguments=parsed.arguments,
        filter=where,
        derived=None,
        max_values=max_values,
        hidden=hidden,
        type=kind.result_type([a.type for a in arguments]),
        nullable=kind.is_nullable(),
        fingerprint=measure_fingerprint(parsed.name, parsed.arguments, where, max_values),
    )


def derived(name: str, text: str, measures: Sequence[MeasurePlan]) -> MeasurePlan:
    tree = expression(text, {WINDOW_SECONDS: FLOAT} | {m.name: m.type for m in measures})
    return MeasurePlan(
        name=name, measure=None, arguments=(), filter=None, derived=tree, max_values=None,
        hidden=False, type=tree.type, nullable=True, fingerprint="",
    )  # fmt: skip


def metric(
    name: str,
    measures: Sequence[MeasurePlan],
    *,
    key: Sequence[str | KeyPlan] = (),
    filter: str | None = None,
    window: Window = MINUTE,
    rollups: Sequence[Window] = (),
    allowed_ms: int = 600_000,
    early_ms: int = 200,
    late_ms: int = 1_000,
    version: int = 1,
) -> MetricPlan:
    keys = tuple(k if isinstance(k, KeyPlan) else KeyPlan(k, expression(k)) for k in key)
    where = None if filter is None else expression(filter)
    grains = (window, *rollups)
    return MetricPlan(
        name=name,
        version=version,
        fingerprint=metric_fingerprint(keys, where, grains),
        filter=where,
        key=keys,
        measures=tuple(measures),
        grains=grains,
        allowed_lateness_ms=allowed_ms,
        emit_early_ms=early_ms,
        emit_late_ms=late_ms,
        sinks=("memory",),
    )
