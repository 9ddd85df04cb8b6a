"""Short stable names for what state depends on: equal text, equal state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipelinekit.plan.model import KeyPlan
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.tree import Expression
from pipelinekit.windows.base import Window

_DIGITS = 12


def fingerprint(*parts: str) -> str:
    """A name for the parts: 12 hexadecimal digits of their SHA-256."""
    text = "\x1f".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def metric_fingerprint(
    key: Sequence[KeyPlan], filter: Expression | None, grains: Sequence[Window]
) -> str:
    """What a metric's state depends on: key, filter, window and rollups."""
    return fingerprint(
        *(f"key {k.name} {render(k.expression)} {k.values}" for k in key),
        f"filter {render(filter) if filter is not None else ''}",
        *(f"window {grain!r}" for grain in grains),
    )


def measure_fingerprint(
    measure: str,
    arguments: Sequence[Expression],
    filter: Expression | None,
    max_values: int | None,
) -> str:
    """What a measure's accumulators depend on."""
    return fingerprint(
        measure,
        *(f"{render(a)} {a.type}" for a in arguments),
        f"filter {render(filter) if filter is not None else ''}",
        f"max_values {max_values}",
    )
