"""From a document to its model: pydantic's errors become findings at the right place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Document, Path

M = TypeVar("M", bound=BaseModel)

SYNONYMS = {
    "dimensions": "key", "dimension": "key", "group_by": "key", "groupby": "key", "keys": "key",
    "where": "filter", "having": "filter", "agg": "measures", "aggregates": "measures",
    "aggregations": "measures", "metrics": "measures", "columns": "measures", "from": "source",
    "table": "sink", "sinks": "sink", "destination": "sink", "output": "sink", "input": "source",
    "windows": "window", "allowed_lateness": "lateness", "late": "lateness", "rollup": "rollups",
    "timestamp": "event_time", "timestamp_field": "event_time", "bootstrap_servers": "brokers",
    "servers": "brokers", "schema": "fields", "dlq": "dead_letters", "dead_letter": "dead_letters",
    "title": "description", "doc": "description", "team": "owner", "tz": "timezone",
    "time_zone": "timezone", "topic_name": "topic", "host": "url",
    "watermark_delay": "out_of_orderness",
    "aggregate": "measure", "function": "measure", "where_": "filter", "hide": "hidden",
    "test": "tests", "env": "environments", "environment": "environments",
}  # fmt: skip

# What the language has and this version does not build: never accepted in silence.
NOT_BUILT: dict[str, dict[Path, str]] = {
    "source": {
        ("dedup",): "the source's dedup",
        ("priority",): "load shedding by priority",
        ("raw",): "the raw event table",
        ("security",): "SASL and TLS",
        ("job",): "jobs other than one a source",
        ("registry",): "the schema registry",
    },
    "metric": {
        ("from",): "a metric over another metric's rows",
        ("alerts",): "alerts",
        ("retain",): "a retention of its own",
        ("top",): "top lists",
        ("window", "sliding"): "sliding windows",
        ("window", "session"): "session windows",
        ("window", "cumulative"): "cumulative windows",
        ("window", "every"): "sliding and cumulative windows",
        ("window", "max"): "session windows",
    },
    "sink": {},
    "test": {},
    "project": {},
}
NOT_BUILT_VALUES: dict[tuple[str, Path], dict[str, str]] = {
    ("source", ("format",)): {"avro": "Avro", "protobuf": "Protobuf"},
    ("sink", ("type",)): {"bigquery": "the BigQuery sink", "parquet": "the Parquet sink"},
}
NOT_BUILT_KINDS = {"policy": "policies"}


def shaped(
    document: Document, model: type[M], kind: str, data: Mapping[str, Any]
) -> tuple[M | None, list[Diagnostic]]:
    """The model that `data` (the document's, perhaps completed) makes, and what stands against."""
    remaining, findings = _without_unbuilt(document, kind, data)
    try:
        made = model.model_validate(remaining)
    except ValidationError as error:
        findings += [
            _finding(document, model, e)
            for e in error.errors(include_url=False)
            if not _follows(e, findings)
        ]
        return None, findings
    return (None if findings else made), findings


def _without_unbuilt(
    document: Document, kind: str, data: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Diagnostic]]:
    remaining = {k: dict(v) if isinstance(v, dict) else v for k, v in data.items()}
    findings = []
    for path, what in NOT_BUILT[kind].items():
        holder: Any = remaining
        for step in path[:-1]:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and path[-1] in holder:
            del holder[path[-1]]
            findings.append(_unbuilt(document, path, what, key=True))
    for (of, path), values in NOT_BUILT_VALUES.items():
        value = remaining.get(str(path[0]))
        if of == kind and isinstance(value, str) and value in values:
            findings.append(_unbuilt(document, path, values[value], key=False))
            del remaining[str(path[0])]
    return remaining, findings


def _unbuilt(document: Document, path: Path, what: str, *, key: bool) -> Diagnostic:
    return Diagnostic(
        "PK110",
        f"{what} can't be used yet: the language has it, this version does not build it",
        document.span(path, key=key),
        "leave it out, or keep to a version that builds it",
        dotted(path),
    )


def _follows(error: Any, findings: list[Diagnostic]) -> bool:
    """Whether the error only says that what was taken out above is missing."""
    return bool(findings) and error["type"] in ("missing", "union_tag_not_found")


def _finding(document: Document, model: type[BaseModel], error: Any) -> Diagnostic:
    path = tuple(step for step in error["loc"] if step != "[key]" and _is_step(step))
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    where = dotted(path)
    if kind == "extra_forbidden":
        return _unknown_key(document, model, path)
    if kind == "missing":
        span = document.span(path[:-1], key=len(path) > 1)
        if len(path) == 1:
            span = document.span(("kind",), key=True)
        return Diagnostic("PK102", f'"{path[-1]}" is missing', span, f"add {path[-1]}:", where)
    span = document.span(path)
    given = error.get("input")
    match kind:
        case "literal_error":
            expected = str(context.get("expected", ""))
            close = _close(
                str(given), [w.strip("'") for w in expected.replace(" or ", ", ").split(", ")]
            )
            help = f"did you mean {close}?" if close else None
            return Diagnostic("PK103", f'"{given}" is not one of {expected}', span, help, where)
        case "name":
            is_key = "[key]" in error["loc"] or document.node(path) is None
            place = document.span(path, key=True) if is_key or _is_mapping_key(path) else span
            return Diagnostic("PK105", error["msg"], place, "rename it", where)
        case "duration":
            return Diagnostic("PK300", error["msg"], span, "write it as 200ms, 10m or 7d", where)
        case "type":
            return Diagnostic("PK401", error["msg"], span, None, where)
        case "too_short":
            return Diagnostic("PK106", f"{path[-1]} is empty", span, "put at least one in", where)
        case _:
            return Diagnostic("PK104", _said(error, given), span, None, where)


def _said(error: Any, given: object) -> str:
    """pydantic's complaint in our words where it has plain ones."""
    names = {
        "string_type": "a text", "int_type": "a whole number", "bool_type": "true or false",
        "dict_type": "a mapping of keys", "list_type": "a list", "model_type": "a mapping of keys",
        "float_type": "a number", "model_attributes_type": "a mapping of keys",
    }  # fmt: skip
    shown = "nothing" if given is None else f'"{given}"' if isinstance(given, str) else str(given)
    if len(shown) > 60:
        shown = shown[:57] + "…"
    if error["type"] in names:
        return f"{names[error['type']]} is wanted here, and it is {shown}"
    return f"{shown}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _unknown_key(document: Document, model: type[BaseModel], path: Path) -> Diagnostic:
    key = str(path[-1])
    known = sorted(_known_keys(model, path[:-1]))
    meant = SYNONYMS.get(key) if SYNONYMS.get(key) in known else _close(key, known)
    help = f"did you mean {meant}?" if meant else f"the keys here are {', '.join(known)}"
    span = document.span(path, key=True)
    return Diagnostic("PK101", f'unknown key "{key}"', span, help, dotted(path))


def _known_keys(model: type[BaseModel], path: Path) -> set[str]:
    """The keys that a model takes at a path."""
    current: Any = model
    for step in path:
        fields = getattr(current, "model_fields", None)
        if fields is not None:
            named = {f.alias or name: f for name, f in fields.items()}
            if step not in named:
                return set()
            current = named[str(step)].annotation
        current = _inner_model(current)
        if current is None:
            return set()
    fields = getattr(current, "model_fields", {})
    return {f.alias or name for name, f in fields.items()}


def _inner_model(annotation: Any) -> Any:
    """The first model inside an annotation: of a list's items, a dict's values, a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner_model(argument)) is not None:
            return found
    return None


def _is_mapping_key(path: Path) -> bool:
    return len(path) == 2 and path[0] in ("fields", "measures")


def _is_step(step: object) -> bool:
    """pydantic puts the names of union members among the steps: `Contains`, `list[dict[…]]`."""
    return not (isinstance(step, str) and (step in ("Contains", "str") or "[" in step))


def _close(word: str, known: list[str]) -> str | None:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None


def dotted(path: Path) -> str:
    """`measures.views.filter`, `key[1].expr`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
