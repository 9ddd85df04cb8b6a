"""From a document to its model: pydantic's errors become findings at the right place."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipelinekit.diagnostics import Diagnostic, Span
from pipelinekit.spec.document import Document, Entries, Path, dotted
from pipelinekit.spec.unbuilt import without_unbuilt

NOTHING_FILLED: Mapping[Path, str | None] = MappingProxyType({})
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

# What texts of a form are, by their key.
_WRITTEN = {
    "base": ("a day", "write it as 2024-01-31"),
    "hex": ("bytes in hexadecimal digits", "write pairs of digits, such as 7b7d"),
    "secret": ("the name of a secret", "letters, digits and _, such as CLICKHOUSE_PASSWORD"),
}
_WANTED = {
    "string_type": "a text", "int_type": "a whole number", "bool_type": "true or false",
    "dict_type": "a mapping of keys", "list_type": "a list", "model_type": "a mapping of keys",
    "float_type": "a number", "model_attributes_type": "a mapping of keys", "none_required": "",
}  # fmt: skip
_SHOWN_MAX = 60


def shaped(
    document: Document,
    model: type[M],
    kind: str,
    data: Mapping[str, Any],
    filled: Mapping[Path, str | None] = NOTHING_FILLED,
) -> tuple[M | None, list[Diagnostic]]:
    """The model that `data` (the document's, perhaps completed) makes, and what stands against.

    Where only keys are unknown, the model is made without them, beside the findings.

    `filled` names the places where a variable stood, with its text, None where it is still open.
    These are read as the type that their key has.
    """
    remaining, removed = without_unbuilt(document, kind, data)
    findings = [finding for _, finding in removed]
    made, errors = _tried(model, remaining)
    if errors and filled:
        remaining = _retyped(remaining, errors, filled)
        made, errors = _tried(model, remaining)
    if not errors:
        return (None if findings else made), findings
    paths = [path for path, _ in removed]
    found = [(_place(e, remaining), e) for e in errors]
    found = [(path, e) for path, e in found if not _follows(e, path, paths)]
    if not removed and all(e["type"] == "extra_forbidden" for _, e in found):
        # Only unknown keys: the rest can still be checked, so that all findings come at once.
        made, _ = _tried(model, _without(remaining, [path for path, _ in found]))
    return made, findings + _findings(document, model, found)


def _tried(model: type[M], data: Mapping[str, Any]) -> tuple[M | None, list[Any]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False))


def _without(data: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for path in paths:
        holder: Any = data
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
    return data


def _retyped(
    data: dict[str, Any], errors: list[Any], filled: Mapping[Path, str | None]
) -> dict[str, Any]:
    """The data with variables' texts as the types that were wanted; open ones are left out."""
    data = copy.deepcopy(data)
    for error in errors:
        path = _place(error, data)
        if path not in filled:
            continue
        holder: Any = data
        for step in path[:-1]:
            holder = holder[step]
        text = filled[path]
        if text is None:
            holder.pop(path[-1], None) if isinstance(holder, dict) else None
        elif error["type"] == "int_type" and re.fullmatch(r"-?\d{1,18}", text):
            holder[path[-1]] = int(text)
        elif error["type"] == "bool_type" and text in ("true", "false"):
            holder[path[-1]] = text == "true"
    return data


def _follows(error: Any, path: Path, removed: list[Path]) -> bool:
    """Whether the error only says that what was taken out above is missing."""
    if error["type"] != "missing":
        return False
    parents = {r[:-1] for r in removed if len(r) > 1}
    return path[:-1] in parents if len(path) > 1 else path == ("source",) and ("from",) in removed


def _place(error: Any, data: Any) -> Path:
    """The error's place in the data: without the names of union members, or of shorthands."""
    path: list[str | int] = []
    steps = error["loc"]
    for number, step in enumerate(steps):
        is_there = step in data if isinstance(data, dict) else isinstance(step, int)
        if isinstance(data, dict | list) and is_there:
            path.append(step)
            data = data[step]
        elif number == len(steps) - 1 and error["type"] in ("missing", "extra_forbidden"):
            path.append(step)
    return tuple(path)


def _findings(
    document: Document, model: type[BaseModel], errors: list[tuple[Path, Any]]
) -> list[Diagnostic]:
    """A finding for each place; what members of a union each want is said in one."""
    wanted: dict[Path, dict[str, None]] = {}
    said_otherwise, parents = set(), set()
    for path, error in errors:
        parents |= {path[:length] for length in range(len(path))}
        if error["type"] in _WANTED:
            wanted.setdefault(path, {})[_WANTED[error["type"]]] = None
        else:
            said_otherwise.add(path)
    meant = {
        (*path[:-1], _meant(document, model, path))
        for path, e in errors
        if e["type"] == "extra_forbidden"
    }
    findings = []
    for path, error in errors:
        if error["type"] == "missing" and path in meant:
            continue  # it is there, under another name
        if error["type"] not in _WANTED:
            findings.append(_finding(document, model, path, error))
            continue
        if path not in wanted or path in parents or path in said_otherwise:
            continue  # said already, or by the member that was meant
        words = [w for w in wanted.pop(path) if w]
        if "a number" in words and "a whole number" in words:
            words.remove("a whole number")
        said = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        message = f"{said} is wanted here, and it is {_shown(error.get('input'))}"
        keys = sorted(_known_keys(model, path)) if "a mapping of keys" in words else ()
        help = f"its keys are {', '.join(keys)}" if keys else None
        findings.append(Diagnostic("PK104", message, document.span(path), help, dotted(path)))
    return findings


def _finding(document: Document, model: type[BaseModel], path: Path, error: Any) -> Diagnostic:
    kind: str = error["type"]
    where, span, given = dotted(path), document.span(path), error.get("input")
    match kind:
        case "extra_forbidden":
            return _unknown_key(document, model, path)
        case "missing":
            parent = document.span(path[:-1] or ("kind",), key=True)
            help = f"add {path[-1]}:"
            return Diagnostic("PK102", f'"{path[-1]}" is missing', parent, help, where)
        case "literal_error":
            expected = str((error.get("ctx") or {}).get("expected", ""))
            words = [w.strip("'") for w in expected.replace(" or ", ", ").split(", ")]
            close = _close(str(given)[:_SHOWN_MAX], words)
            help = f"did you mean {close}?" if close else f"the words are {', '.join(words)}"
            return Diagnostic(
                "PK103", f"{_shown(given)} is not one of {expected}", span, help, where
            )
        case "name":
            is_key = "[key]" in error["loc"]
            place = document.span(path, key=True) if is_key else span
            return Diagnostic("PK105", _cut(error["msg"]), place, "rename it", where)
        case "duration":
            return Diagnostic(
                "PK300", _cut(error["msg"]), span, "write it as 200ms, 10m or 7d", where
            )
        case "type":
            return Diagnostic("PK401", _cut(error["msg"]), span, None, where)
        case "too_short" | "too_long":
            return _count(error, str(path[-1]), span, where)
        case "greater_than_equal" | "less_than_equal":
            bound = next(iter((error.get("ctx") or {}).values()))
            word = "least" if kind == "greater_than_equal" else "most"
            message = f"{_shown(given)} is out of range: {bound} is the {word}"
            return Diagnostic("PK104", message, span, f"take {bound}", where)
        case "string_pattern_mismatch" if path[-1] in _WRITTEN:
            rule, help = _WRITTEN[str(path[-1])]
            return Diagnostic("PK104", f"{_shown(given)} is not {rule}", span, help, where)
        case _:
            message = f"{_shown(given)}: {error['msg'][:1].lower()}{error['msg'][1:]}"
            return Diagnostic("PK104", message, span, None, where)


def _count(error: Any, name: str, span: Span, where: str) -> Diagnostic:
    """A list or mapping of too few or too many items."""
    context = error["ctx"]
    least, most = context.get("min_length"), context.get("max_length")
    if not context["actual_length"]:
        return Diagnostic("PK106", f"{name} is empty", span, "put at least one in", where)
    limit = f"at least {least}" if least is not None else f"at most {most}"
    message = f"{name} takes {limit}, and {context['actual_length']} are given"
    return Diagnostic("PK106", message, span, None, where)


def _shown(given: object) -> str:
    """A value as a message quotes it, cut where it is long."""
    match given:
        case None:
            return "nothing"
        case bool():
            return "true" if given else "false"
        case str():
            text = f'"{given}"'
        case dict():
            return "a mapping of keys" if given else "an empty mapping"
        case list():
            return "a list" if given else "an empty list"
        case _:
            text = str(given)
    return _cut(text, _SHOWN_MAX)


def _cut(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _unknown_key(document: Document, model: type[BaseModel], path: Path) -> Diagnostic:
    meant = _meant(document, model, path)
    known = ", ".join(sorted(_known_keys(model, path[:-1])))
    help = f"did you mean {meant}?" if meant else f"the keys here are {known}"
    message = f'unknown key "{str(path[-1])[:_SHOWN_MAX]}"'
    return Diagnostic("PK101", message, document.span(path, key=True), help, dotted(path))


def _meant(document: Document, model: type[BaseModel], path: Path) -> str | None:
    """The key that was probably meant by an unknown one: a synonym's, or the nearest."""
    key = str(path[-1])[:_SHOWN_MAX]
    parent = document.node(path[:-1])
    taken = parent.nodes.keys() if isinstance(parent, Entries) else frozenset()
    free = sorted(k for k in _known_keys(model, path[:-1]) if k not in taken)
    return SYNONYMS[key] if SYNONYMS.get(key) in free else _close(key, free)


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


def _close(word: str, known: list[str]) -> str | None:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None
