"""Two plans of one source or sink → what differs, each difference with its verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.plan.model import SinkPlan, SourcePlan
from pipelinekit.plan.verdicts import Change, Verdict
from pipelinekit.units import format_duration

# Settings that say in which tables rows land; the others say how to get there.
_PLACES = frozenset(("database", "topic", "path", "project", "dataset"))


def source_changes(
    old: SourcePlan, new: SourcePlan, used: Collection[str], *, needs_id: bool
) -> Iterator[Change]:
    """What differs between two plans of a source, for who uses these fields of it.

    `needs_id`: whether rows depend on the event's id.
    """
    for what, before, after, verdict in (
        ("topic", old.topic, new.topic, Verdict.REPLAY),
        ("format", old.format, new.format, Verdict.REPLAY),
        ("event time", old.event_time, new.event_time, Verdict.REPLAY),
        ("id", old.id, new.id, Verdict.REPLAY if needs_id else Verdict.IN_PLACE),
        ("out_of_orderness", *_times(old, new, "out_of_orderness_ms"), Verdict.REPLAY),
        ("max_future_skew", *_times(old, new, "max_future_skew_ms"), Verdict.REPLAY),
        ("idle_after", *_times(old, new, "idle_after_ms"), Verdict.IN_PLACE),
        ("brokers", old.brokers, new.brokers, Verdict.IN_PLACE),
        ("dead letters", old.dead_letters_topic, new.dead_letters_topic, Verdict.IN_PLACE),
        ("manage", old.manage, new.manage, Verdict.IN_PLACE),
    ):
        if before != after:
            yield Change(what, before, after, verdict)
    before_fields, after_fields = ({f.name: f for f in s.fields} for s in (old, new))
    for name in before_fields | after_fields:
        yield from _field(
            name, before_fields.get(name), after_fields.get(name), is_used=name in used
        )


def sink_changes(old: SinkPlan, new: SinkPlan) -> Iterator[Change]:
    """What differs between two plans of a sink."""
    if old.type != new.type:
        yield Change("type", old.type, new.type, Verdict.NEW_TABLE)
    for name in sorted(old.settings.keys() | new.settings.keys()):
        before, after = old.settings.get(name), new.settings.get(name)
        if before != after and not (name in _PLACES and old.type != new.type):
            verdict = Verdict.NEW_TABLE if name in _PLACES else Verdict.IN_PLACE
            yield Change(name, _setting(before), _setting(after), verdict)
    if old.budget != new.budget:
        was, is_ = (
            f"{s.budget.rows_per_second} rows/s, {s.budget.inserts_per_second} inserts/s"
            for s in (old, new)
        )
        yield Change("budget", was, is_, Verdict.IN_PLACE)
    if old.manage != new.manage:
        yield Change("manage", old.manage, new.manage, Verdict.IN_PLACE)


def _field(
    name: str, old: FieldSpec | None, new: FieldSpec | None, *, is_used: bool
) -> Iterator[Change]:
    what = f"field {name}"
    if old is None or new is None:
        # Whether it must be there is part of what makes an event valid.
        verdict = Verdict.REPLAY if _is_required(old or new) else Verdict.IN_PLACE
        yield Change(what, _whole(old), _whole(new), verdict)
        return
    decides = is_used or _is_required(old) or _is_required(new)
    verdict = Verdict.REPLAY if decides else Verdict.IN_PLACE
    if old.type != new.type:
        is_breaking = Verdict.BREAKING if is_used else verdict
        yield Change(f"type of {what}", str(old.type), str(new.type), is_breaking)
    for text, before, after in (
        ("default", _default(old), _default(new)),
        ("place", _place(old), _place(new)),
        ("optional", str(old.optional).lower(), str(new.optional).lower()),
        ("unit", old.unit, new.unit),
    ):
        if before != after:
            yield Change(f"{text} of {what}", before, after, verdict)


def _is_required(field: FieldSpec | None) -> bool:
    return field is not None and field.is_required


def _whole(field: FieldSpec | None) -> str | None:
    if field is None:
        return None
    return f"{field.type}, required" if _is_required(field) else str(field.type)


def _default(field: FieldSpec) -> str | None:
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return None if field.default is None else repr(field.default)


def _place(field: FieldSpec) -> str:
    paths = [".".join(path) for path in field.paths]
    return " or ".join(paths if field.header is None else [f'header "{field.header}"', *paths])


def _setting(value: object) -> str | None:
    if isinstance(value, Mapping):
        return f"<secret {value.get('secret')}>"
    return None if value is None else str(value)


def _times(old: SourcePlan, new: SourcePlan, name: str) -> tuple[str, str]:
    return format_duration(getattr(old, name)), format_duration(getattr(new, name))
