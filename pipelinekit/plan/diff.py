"""Two resolved projects, or two plans → the verdict of each metric, source and sink, with reasons.

Meaning is compared, not text: plans hold expressions as trees and durations as numbers, so layout,
comments, the order of keys and another spelling of the same are no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelinekit.catalog import measure as find_measure
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.plan.build import build, sink_plan, source_plan
from pipelinekit.plan.changes import metric_changes
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.plan.outside_changes import sink_changes, source_changes
from pipelinekit.plan.statements import Statements, statements
from pipelinekit.plan.tables import tables_of
from pipelinekit.plan.verdicts import Change, Item, Verdict, gravest
from pipelinekit.spec.expressions.tree import fields_of
from pipelinekit.spec.resolve import Resolved

_GRAVE = (Verdict.REPLAY, Verdict.NEW_TABLE, Verdict.BREAKING)


@dataclass(frozen=True, slots=True)
class Diff:
    """All items by kind and name, what follows for each sink's tables, and what may not be."""

    items: tuple[Item, ...]
    statements: tuple[Statements, ...] = ()
    findings: tuple[Diagnostic, ...] = ()


def diff(old: Resolved | None, new: Resolved) -> Diff:
    """What comes when `old` becomes `new`; None: there was nothing.

    Both must be without errors.
    """
    before_plans = () if old is None else build(old)
    after_plans = build(new)
    before, after = _metrics(before_plans), _metrics(after_plans)
    sources, sinks = _sources(old, new, before, after), _sinks(old, new)
    wholes = _wholes(old, new)
    metrics = [_metric_item(name, before, after, wholes) for name in sorted({*before, *after})]
    metrics += _stages(before_plans, after_plans)
    metrics = sorted((_with_texts(i, old, new) for i in metrics), key=lambda item: item.name)
    return Diff(
        items=(*metrics, *sources, *sinks),
        statements=statements(before_plans, after_plans),
        findings=tuple(_findings(metrics, before, new)),
    )


def verdict(old: Plan, new: Plan) -> tuple[Item, ...]:
    """What the job's metrics become when the new plan goes on from the old one's state.

    An item with `unversioned` can't: the tables and the state there are of another shape.
    """
    before, after = _metrics((old,)), _metrics((new,))
    return tuple(_metric_item(name, before, after, {}) for name in sorted({*before, *after}))


_Metrics = Mapping[str, tuple[MetricPlan, Plan]]


def _metrics(plans: Sequence[Plan]) -> _Metrics:
    return {metric.name: (metric, plan) for plan in plans for metric in plan.metrics}


def _wholes(old: Resolved | None, new: Resolved) -> dict[str, tuple[Plan, Plan]]:
    """By source, plans of it with all fields: a field that was decoded for nobody counts too."""
    found = {}
    for name, loaded in new.project.sources.items():
        if old is not None and name in old.project.sources:
            before = old.project.sources[name].spec
            pair = (
                source_plan(old.project, before, before.fields),
                source_plan(new.project, loaded.spec, loaded.spec.fields),
            )
            found[name] = tuple(Plan(name, "", source, (), ()) for source in pair)
    return found  # type: ignore[return-value]


def _metric_item(
    name: str, before: _Metrics, after: _Metrics, wholes: Mapping[str, tuple[Plan, Plan]]
) -> Item:
    if name not in before:
        metric, _ = after[name]
        state = "begins with the first window that it sees whole"
        return Item("metric", name, Verdict.ADDED, tables=_tables(metric), state=state)
    if name not in after:
        metric, _ = before[name]
        state = "is dropped, the tables stay"
        return Item("metric", name, Verdict.REMOVED, left=_tables(metric), state=state)
    (old, old_plan), (new, new_plan) = before[name], after[name]
    changes = list(metric_changes(old, new))
    if old_plan.source.name != new_plan.source.name:
        names = old_plan.source.name, new_plan.source.name
        changes.append(Change("source", *names, Verdict.REPLAY))
    else:
        pair = wholes.get(new_plan.source.name, (old_plan, new_plan))
        changes += _from_source(new, *pair)
    changes += _from_sinks(new, old_plan, new_plan)
    shapes = tuple(c.what for c in changes if c.is_shape)
    verdict = gravest(c.verdict for c in changes)
    return Item(
        "metric",
        name,
        verdict,
        tuple(changes),
        tables=() if verdict is Verdict.UNCHANGED else _tables(new),
        left=tuple(t for t in _tables(old) if t not in _tables(new)),
        state=_state(old, new, is_moved=old_plan.source.name != new_plan.source.name),
        unversioned=shapes if new.version <= old.version else (),
    )


def _stages(before: Sequence[Plan], after: Sequence[Plan]) -> Iterator[Item]:
    """Second stages: a view is made anew, and nothing else."""
    old, new = ({s.name: s for p in plans for s in p.stages} for plans in (before, after))
    for name in sorted({*old, *new}):
        if name not in old:
            yield Item("metric", name, Verdict.ADDED, tables=(name,), state="none: it is a view")
        elif name not in new:
            yield Item("metric", name, Verdict.REMOVED, left=(name,), state="none: it is a view")
        else:
            changes = [_of_view(c) for c in metric_changes(old[name].metric, new[name].metric)]
            if old[name].over != new[name].over:
                changes.append(Change("from", old[name].over, new[name].over, Verdict.IN_PLACE))
            verdict = gravest(c.verdict for c in changes)
            tables = () if verdict is Verdict.UNCHANGED else (name,)
            state = "none: it is a view"
            yield Item("metric", name, verdict, tuple(changes), tables=tables, state=state)


def _of_view(change: Change) -> Change:
    """A view follows every change at once; only readers of a column that is gone break."""
    is_breaking = change.verdict is Verdict.BREAKING
    return change if is_breaking else replace(change, verdict=Verdict.IN_PLACE, is_shape=False)


def _from_source(metric: MetricPlan, old: Plan, new: Plan) -> Iterator[Change]:
    """What of a source's changes reaches the metric's rows."""
    used = _used(metric) | {new.source.event_time}
    for change in source_changes(old.source, new.source, used, needs_id=_needs_id(metric)):
        if change.verdict in _GRAVE:
            yield replace(change, what=f"{change.what} of source {new.source.name}")


def _from_sinks(metric: MetricPlan, old: Plan, new: Plan) -> Iterator[Change]:
    earlier = {sink.name: sink for sink in old.sinks}
    for sink in new.sinks:
        if sink.name in metric.sinks and sink.name in earlier:
            for change in sink_changes(earlier[sink.name], sink):
                if change.verdict in _GRAVE:
                    yield replace(change, what=f"{change.what} of sink {sink.name}")


def _used(metric: MetricPlan) -> frozenset[str]:
    return frozenset().union(*map(fields_of, metric.expressions))


def _needs_id(metric: MetricPlan) -> bool:
    kinds = {m.measure for m in metric.measures if m.measure is not None}
    return any(find_measure(kind).signature.needs_id for kind in kinds)


def _tables(metric: MetricPlan) -> tuple[str, ...]:
    return tuple(table.name for table in tables_of(metric))


def _state(old: MetricPlan, new: MetricPlan, *, is_moved: bool) -> str:
    if is_moved or old.fingerprint != new.fingerprint:
        return (
            "begins anew with the first whole window of "
            f"{new.grains[-1].suffix}; windows before run to their end as they were"
        )
    marks = {m.name: m.fingerprint for m in old.measures if m.measure is not None}
    begun = [
        m.name for m in new.measures if m.measure is not None and marks.get(m.name) != m.fingerprint
    ]
    if begun:
        return f"is kept; null in windows already open: {', '.join(begun)}"
    return "is kept"


# --- sources, sinks and what only specs say -------------------------------------------------------


def _sources(
    old: Resolved | None, new: Resolved, before: _Metrics, after: _Metrics
) -> Iterator[Item]:
    earlier = {} if old is None else old.project.sources
    wholes = _wholes(old, new)
    for name in sorted({*earlier, *new.project.sources}):
        if name not in earlier or name not in new.project.sources:
            verdict = Verdict.ADDED if name not in earlier else Verdict.REMOVED
            yield Item("source", name, verdict)
            continue
        readers = [m for m, plan in after.values() if plan.source.name == name]
        was, is_ = (plan.source for plan in wholes[name])
        used = frozenset().union(*map(_used, readers)) | {is_.event_time}
        changes = list(source_changes(was, is_, used, needs_id=any(map(_needs_id, readers))))
        specs = earlier[name].spec, new.project.sources[name].spec
        changes += _texts(*specs)
        for field in specs[1].fields:
            if field in specs[0].fields:
                texts = [spec.fields[field].description for spec in specs]
                changes += _text_change(f"description of field {field}", *texts)
        yield Item("source", name, gravest(c.verdict for c in changes), tuple(changes))


def _sinks(old: Resolved | None, new: Resolved) -> Iterator[Item]:
    earlier = {} if old is None else old.project.sinks
    for name in sorted({*earlier, *new.project.sinks}):
        if old is None or name not in earlier or name not in new.project.sinks:
            verdict = Verdict.ADDED if name not in earlier else Verdict.REMOVED
            yield Item("sink", name, verdict)
            continue
        pair = sink_plan(old.project, name), sink_plan(new.project, name)
        changes = list(sink_changes(*pair))
        changes += _texts(earlier[name].spec, new.project.sinks[name].spec)
        yield Item("sink", name, gravest(c.verdict for c in changes), tuple(changes))


def _with_texts(item: Item, old: Resolved | None, new: Resolved) -> Item:
    """The item with what changes no plan: tests, and descriptions of keys."""
    if old is None or item.verdict in (Verdict.ADDED, Verdict.REMOVED):
        return item
    changes = []
    was, is_ = ([t.spec for t in r.project.tests.get(item.name, ())] for r in (old, new))
    if was != is_:
        changes.append(Change("tests", _count(was), _count(is_), Verdict.IN_PLACE))
    keys = [
        {k.name: k.description for k in r.project.all_metrics[item.name].spec.key}
        for r in (old, new)
    ]
    for name in keys[0].keys() & keys[1].keys():
        changes += _text_change(f"description of key {name}", keys[0][name], keys[1][name])
    if not changes:
        return item
    every = (*item.changes, *changes)
    return replace(item, changes=every, verdict=gravest(c.verdict for c in every))


def _count(tests: Sequence[object]) -> str:
    return f"{len(tests)} test{'' if len(tests) == 1 else 's'}"


def _texts(old: object, new: object) -> Iterator[Change]:
    for what in ("description", "owner"):
        yield from _text_change(what, getattr(old, what), getattr(new, what))


def _text_change(what: str, old: str, new: str) -> Iterator[Change]:
    if old != new:
        yield Change(what, old or None, new or None, Verdict.IN_PLACE)


def _findings(metrics: Sequence[Item], before: _Metrics, new: Resolved) -> Iterator[Diagnostic]:
    for item in metrics:
        if item.verdict in (Verdict.ADDED, Verdict.REMOVED) or item.name not in before:
            continue
        loaded = new.project.metrics[item.name]
        place = ("version",) if loaded.document.node(("version",)) is not None else ("name",)
        old, now = before[item.name][0].version, loaded.spec.version
        if now < old:
            yield Diagnostic(
                "PK501",
                f"the version of {item.name} went from {old} down to {now}",
                loaded.span(place),
                f"write version: {old + 1} for tables of another shape, {old} for the same ones",
                "version",
            )
        elif item.unversioned:
            *first, last = item.unversioned
            what = f"{', '.join(first)} and {last}" if first else last
            yield Diagnostic(
                "PK500",
                f"{what} of {item.name} changed, and its version is still {now}",
                loaded.span(place),
                f"write version: {now + 1}: new tables are made beside the old ones",
                "version",
            )
