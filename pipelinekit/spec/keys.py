"""A metric's key as written → its columns."""

from __future__ import annotations

from collections.abc import Mapping

from pipelinekit.spec.document import Path, Scalar
from pipelinekit.spec.expressions.tree import OTHER
from pipelinekit.spec.models.metric import KeySpec, MetricSpec, StageSpec
from pipelinekit.spec.notes import Notes
from pipelinekit.spec.resolved import ResolvedKey
from pipelinekit.types import STRING, Kind, Type


def keys_of(
    spec: MetricSpec | StageSpec, types: Mapping[str, Type], notes: Notes
) -> tuple[ResolvedKey, ...]:
    """The metric's key columns typed, without those with findings."""
    is_one = isinstance(notes.loaded.document.node(("key",)), Scalar)
    keys = []
    for place, key in enumerate(spec.key):
        path: Path = ("key",) if is_one else ("key", place)
        resolved = _key(key, types, path, notes)
        if resolved is not None:
            keys.append(resolved)
    return tuple(keys)


def _key(key: KeySpec, types: Mapping[str, Type], path: Path, notes: Notes) -> ResolvedKey | None:
    node = notes.loaded.document.node(path)
    if not isinstance(node, Scalar):
        path = (*path, "name" if key.expr is None else "expr")
    expression = notes.expression(key.name if key.expr is None else key.expr, types, path)
    if expression is None:
        return None
    if expression.type.kind in (Kind.LIST, Kind.FLOAT):
        help = "use a text, a whole number, a decimal, a bool or a time"
        notes.add("PK203", f"a key can't be a {expression.type}", path, help)
        return None
    values = None if key.values is None else tuple(key.values)
    if values is not None and expression.type != STRING:
        message = f"values are texts, and the key is {expression.type}"
        notes.add(
            "PK203", message, (*path[:-1], "values"), "cast the key to string, or drop values"
        )
        return None
    if values is not None and key.max_values is not None:
        message = f"values says already how many there are: {len(values)}, {OTHER} and null"
        notes.add("PK209", message, (*path[:-1], "max_values"), "leave max_values out")
        return None
    return ResolvedKey(key.name, expression, values, key.max_values)
