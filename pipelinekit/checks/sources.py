"""Sources whose parts fit each other."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from pipelinekit.checks.base import Place
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.models.source import SourceField, SourceSpec
from pipelinekit.spec.project import Loaded
from pipelinekit.spec.resolve import Resolved
from pipelinekit.types import TIMESTAMP, Kind


class EventTimeIsATimestamp:
    """The field that times events is a required timestamp."""

    code = "PK406"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for source in resolved.project.sources.values():
            yield from _names_a_field(self.code, source, "event_time", "field")
            name = source.spec.event_time.field
            spec = source.spec.fields.get(name)
            if spec is None:
                continue
            place = Place(self.code, source)
            if spec.type != TIMESTAMP:
                yield place.error(
                    f'event_time.field "{name}" is {spec.type}, not a timestamp',
                    ("event_time", "field"),
                    f"declare {name}: timestamp",
                )
            elif spec.optional or spec.default is not None:
                yield place.error(
                    f'event_time.field "{name}" may be missing',
                    ("event_time", "field"),
                    "an event without its time can't be counted: make it required",
                )


class IdIsAField:
    """The id that orders ties is a required text or whole number."""

    code = "PK408"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for source in resolved.project.sources.values():
            if source.spec.id is None:
                continue
            yield from _names_a_field(self.code, source, "id")
            spec = source.spec.fields.get(source.spec.id)
            if spec is None:
                continue
            if spec.type.kind not in (Kind.STRING, Kind.INT) or spec.optional:
                yield Place(self.code, source).error(
                    f'the id "{source.spec.id}" is not a required string or int',
                    ("id",),
                    f"declare {source.spec.id}: string",
                )


class FieldsAreReadable:
    """Defaults fit their types, units stand on timestamps, one path is read one way."""

    code = "PK409"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for source in resolved.project.sources.values():
            place = Place(self.code, source)
            paths: dict[tuple[str, ...], tuple[str, SourceField]] = {}
            for name, spec in source.spec.fields.items():
                yield from _field(place, name, spec)
                for path in field_paths(name, spec):
                    yield from _same_path(place, name, spec, path, paths)


class DeadLettersHaveATopic:
    """Without a topic for them, refused events are counted and gone."""

    code = "PK411"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for source in resolved.project.sources.values():
            if source.spec.dead_letters is None:
                yield Place(self.code, source).warning(
                    "refused events go nowhere: they are counted and lost",
                    ("kind",),
                    "add dead_letters: { topic: late_events }",
                    key=True,
                )


def field_paths(name: str, spec: SourceField) -> list[tuple[str, ...]]:
    """Where the field lies in the payload; empty for one read from a header."""
    texts = spec.from_ or [name]
    return [tuple(t.split(".")) for t in texts if not t.startswith("header:")]


def _names_a_field(code: str, source: Loaded[SourceSpec], *path: str) -> Iterable[Diagnostic]:
    name = source.spec.event_time.field if path[0] == "event_time" else source.spec.id
    if name not in source.spec.fields:
        yield Place(code, source).error(
            f'{".".join(path)} names "{name}", and fields has none of that name',
            path,
            f"the fields are {', '.join(source.spec.fields)}",
        )


def _field(place: Place, name: str, spec: SourceField) -> Iterable[Diagnostic]:
    path = ("fields", name)
    if spec.unit != "ms" and spec.type != TIMESTAMP:
        yield place.error(
            f"unit: {spec.unit} stands on a {spec.type}",
            (*path, "unit"),
            "a unit goes with timestamps",
        )
    if spec.default is not None and spec.optional:
        yield place.error(
            f"{name} is optional and has a default",
            (*path, "default"),
            "a default fills what is missing: leave optional out",
        )
    if spec.default is not None and not _fits(spec):
        yield place.error(
            f'the default "{str(spec.default)[:60]}" is no {spec.type}',
            (*path, "default"),
            "write one of that type, or make the field optional",
        )
    texts = spec.from_ or []
    headers = [t for t in texts if t.startswith("header:")]
    if headers and len(texts) > 1:
        yield place.error("a header stands alone", (*path, "from"), "name one header, or paths")
    if headers and spec.type.kind is Kind.LIST:
        yield place.error("a header holds no list", (*path, "from"), "read it as a string")
    for text in texts:
        if not all(text.removeprefix("header:").split(".")):
            yield place.error(f'"{text}" is no path', (*path, "from"), "write it as a.b.c")


def _fits(spec: SourceField) -> bool:
    value = spec.default
    match spec.type.kind:
        case Kind.STRING:
            return isinstance(value, str)
        case Kind.BOOL:
            return isinstance(value, bool)
        case Kind.INT:
            return isinstance(value, int) and not isinstance(value, bool)
        case Kind.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.DECIMAL:
            try:
                scaled = Decimal(str(value)).scaleb(spec.type.scale)
            except InvalidOperation:
                return False
            fits = abs(scaled) < 10**spec.type.precision
            return not isinstance(value, bool) and scaled == int(scaled) and fits
        case _:
            return False


def _same_path(
    place: Place,
    name: str,
    spec: SourceField,
    path: tuple[str, ...],
    paths: dict[tuple[str, ...], tuple[str, SourceField]],
) -> Iterable[Diagnostic]:
    for other_path, (other, other_spec) in paths.items():
        shorter = min(len(path), len(other_path))
        if path[:shorter] != other_path[:shorter]:
            continue
        if len(path) != len(other_path) or spec.type.kind is not other_spec.type.kind:
            yield place.error(
                f"{name} reads {'.'.join(path)} as {spec.type}, and {other} reads "
                f"{'.'.join(other_path)} as {other_spec.type}",
                ("fields", name),
                "one place in the payload has one type",
                key=True,
            )
    paths[path] = (name, spec)
