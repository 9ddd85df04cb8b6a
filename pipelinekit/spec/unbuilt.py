"""What the language has and this version does not build: refused with a finding that says so."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Document, Path, dotted

# A `*` stands for every name or place.
NOT_BUILT: dict[str, dict[Path, str]] = {
    "source": {
        ("dedup",): "the source's dedup",
        ("priority",): "load shedding by priority",
        ("raw",): "the raw event table",
        ("job",): "jobs other than one a source",
        ("registry",): "the schema registry",
    },
    "metric": {
        ("alerts",): "alerts",
        ("retain",): "a retention of its own",
        ("top",): "top lists",
    },
    "sink": {},
    "test": {},
    "project": {},
}
NOT_BUILT_VALUES: dict[tuple[str, Path], dict[str, str]] = {
    ("source", ("format",)): {"avro": "Avro", "protobuf": "Protobuf"},
    ("sink", ("type",)): {"bigquery": "the BigQuery sink", "parquet": "the Parquet sink"},
}
NOT_BUILT_KINDS = {"policy": "the kind policy"}
_SAID = "can't be used yet: the language has it, this version does not build it"
_INSTEAD = {
    "registry": "leave it out with format: json",
    "avro": "use format: json",
    "protobuf": "use format: json",
    "bigquery": "use type: clickhouse",
    "parquet": "use type: clickhouse",
}


def without_unbuilt(
    document: Document, kind: str, data: Mapping[str, Any]
) -> tuple[dict[str, Any], list[tuple[Path, Diagnostic]]]:
    """The data without what isn't built, and for each such place its finding."""
    found: list[tuple[Path, Diagnostic]] = []
    for pattern, what in NOT_BUILT[kind].items():
        found += [
            (path, unbuilt(document, path, what, str(path[-1]), key=True))
            for path in _matching(data, pattern)
        ]
    for (of, path), values in NOT_BUILT_VALUES.items():
        value = data.get(str(path[0]))
        if of == kind and isinstance(value, str) and value in values:
            found.append((path, unbuilt(document, path, values[value], value)))
    remaining = copy.deepcopy(dict(data)) if found else dict(data)
    for path, _ in found:
        holder: Any = remaining
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
    return remaining, found


def _matching(value: Any, pattern: Path) -> list[Path]:
    """The places in the value that the pattern names."""
    if not pattern:
        return [()]
    step, rest = pattern[0], pattern[1:]
    steps: Iterable[str | int] = ()
    match value:
        case dict():
            steps = [k for k in value if step in ("*", k)]
        case list() if step == "*":
            steps = range(len(value))
    return [(s, *path) for s in steps for path in _matching(value[s], rest)]


def unbuilt(
    document: Document, path: Path, what: str, word: str, *, key: bool = False
) -> Diagnostic:
    """The finding on what the language has and this version doesn't build."""
    help = _INSTEAD.get(word, "leave it out, or keep to a version that builds it")
    place = document.span(path, key=key)
    return Diagnostic("PK110", f"{what} {_SAID}", place, help, dotted(path))
