"""Two plans of one metric → what differs, each difference with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelinekit.plan.model import KeyPlan, MeasurePlan, MetricPlan
from pipelinekit.plan.verdicts import Change, Verdict
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.tree import Expression
from pipelinekit.units import format_duration
from pipelinekit.windows.base import Window


def metric_changes(old: MetricPlan, new: MetricPlan) -> Iterator[Change]:
    """What differs between two plans of a metric; the order of measures does not."""
    for what, before, after, verdict in (
        ("description", old.description, new.description, Verdict.IN_PLACE),
        ("owner", old.owner, new.owner, Verdict.IN_PLACE),
        ("slo", _slo(old), _slo(new), Verdict.IN_PLACE),
        ("emit", _emit(old), _emit(new), Verdict.IN_PLACE),
        ("version", str(old.version), str(new.version), Verdict.NEW_TABLE),
        ("filter", _text(old.filter), _text(new.filter), Verdict.REPLAY),
        ("lateness", *_durations(old, new), Verdict.REPLAY),
    ):
        if before != after:
            yield Change(what, before or None, after or None, verdict)
    yield from _keys(old.key, new.key)
    yield from _grains(old.grains, new.grains)
    yield from _measures(old.measures, new.measures)
    for sink in sorted(set(new.sinks) - set(old.sinks)):
        yield Change("sink", None, sink, Verdict.IN_PLACE)
    for sink in sorted(set(old.sinks) - set(new.sinks)):
        yield Change("sink", sink, None, Verdict.BREAKING)


def _keys(old: Sequence[KeyPlan], new: Sequence[KeyPlan]) -> Iterator[Change]:
    before, after = ([(k.name, k.type) for k in keys] for keys in (old, new))
    if before != after:
        has_names = [k.name for k in old] != [k.name for k in new]
        was, is_ = (
            ", ".join(k.name if has_names else f"{k.name}: {k.type}" for k in keys) or None
            for keys in (old, new)
        )
        yield Change("key", was, is_, Verdict.NEW_TABLE, is_shape=True)
    earlier = {k.name: k for k in old}
    for key in new:
        same = earlier.get(key.name)
        if same is None:
            continue
        if (was := _text(same.expression)) != (is_ := _text(key.expression)):
            yield Change(f"key {key.name}", was, is_, Verdict.REPLAY)
        if same.values != key.values:
            was, is_ = (", ".join(k.values or ()) or None for k in (same, key))
            yield Change(f"values of key {key.name}", was, is_, Verdict.REPLAY)
        if same.max_values != key.max_values:
            was, is_ = (None if k.max_values is None else str(k.max_values) for k in (same, key))
            yield Change(f"max_values of key {key.name}", was, is_, Verdict.IN_PLACE)


def _grains(old: Sequence[Window], new: Sequence[Window]) -> Iterator[Change]:
    if old[0] != new[0]:
        yield _window("window", old[0], new[0])
    before, after = ({g.suffix: g for g in grains[1:]} for grains in (old, new))
    for suffix in before | after:
        was, is_ = before.get(suffix), after.get(suffix)
        if was is None and is_ is not None:
            yield Change("rollup", None, _grain(is_), Verdict.REPLAY)
        elif is_ is None and was is not None:
            yield Change("rollup", _grain(was), None, Verdict.BREAKING)
        elif was is not None and is_ is not None and was != is_:
            yield _window(f"rollup {suffix}", was, is_)


def _window(what: str, old: Window, new: Window) -> Change:
    before, after = _grain(old), _grain(new)
    if before == after:
        before, after = repr(old), repr(new)
    return Change(what, before, after, Verdict.NEW_TABLE, is_shape=True)


def _measures(old: Sequence[MeasurePlan], new: Sequence[MeasurePlan]) -> Iterator[Change]:
    before, after = {m.name: m for m in old}, {m.name: m for m in new}
    for name, measure in before.items():
        if name not in after:
            verdict = Verdict.IN_PLACE if measure.hidden else Verdict.BREAKING
            yield Change(f"measure {name}", _definition(measure), None, verdict)
    for name, measure in after.items():
        if name in before:
            yield from _measure(before[name], measure)
        else:
            yield Change(f"measure {name}", None, _definition(measure), Verdict.IN_PLACE)


def _measure(old: MeasurePlan, new: MeasurePlan) -> Iterator[Change]:
    has_column = not (old.hidden and new.hidden)
    shape = Verdict.NEW_TABLE if has_column else Verdict.REPLAY
    what = f"measure {new.name}"
    if old.measure != new.measure:
        yield Change(what, _definition(old), _definition(new), shape, is_shape=has_column)
    elif _definition(old) != _definition(new):
        yield Change(what, _definition(old), _definition(new), Verdict.REPLAY)
    was, is_ = ("a value or null" if m.nullable else "a value" for m in (old, new))
    if old.type != new.type:
        was, is_ = str(old.type), str(new.type)
    # Where nulls were allowed, a column may stay that never has one again.
    if old.type != new.type or (new.nullable and not old.nullable):
        yield Change(f"type of {what}", was, is_, shape, is_shape=has_column)
    if old.hidden != new.hidden:
        verdict = Verdict.BREAKING if new.hidden else Verdict.IN_PLACE
        was, is_ = ("hidden" if m.hidden else "a column" for m in (old, new))
        yield Change(what, was, is_, verdict)
    if old.state != new.state:
        was, is_ = ("none" if m.state is None else "a column" for m in (old, new))
        verdict = Verdict.IN_PLACE if old.state is None else Verdict.BREAKING
        yield Change(f"state of {what}", was, is_, verdict)
    for text, before, after in (
        ("description", old.description, new.description),
        ("unit", old.unit, new.unit),
    ):
        if before != after:
            yield Change(f"{text} of {what}", before or None, after or None, Verdict.IN_PLACE)


def _definition(measure: MeasurePlan) -> str:
    if measure.derived is not None:
        return render(measure.derived)
    text = f"{measure.measure}({', '.join(render(a) for a in measure.arguments)})"
    if measure.filter is not None:
        text += f" where {render(measure.filter)}"
    if measure.max_values is not None:
        text += f", at most {measure.max_values} values"
    return text


def _text(expression: Expression | None) -> str:
    return "" if expression is None else render(expression)


def _grain(window: Window) -> str:
    return str(window)


def _slo(metric: MetricPlan) -> str:
    said = (
        ("latency_p99", metric.slo_latency_p99_ms),
        ("freshness", metric.slo_freshness_ms),
    )
    return ", ".join(f"{name} {format_duration(ms)}" for name, ms in said if ms is not None)


def _emit(metric: MetricPlan) -> str:
    early, late = format_duration(metric.emit_early_ms), format_duration(metric.emit_late_ms)
    return f"each {early} while open, {late} after"


def _durations(old: MetricPlan, new: MetricPlan) -> tuple[str, str]:
    return format_duration(old.allowed_lateness_ms), format_duration(new.allowed_lateness_ms)
