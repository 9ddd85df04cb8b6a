"""JSON Schemas of the spec files, from their models: what editors complete and explain."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from pipelinekit.spec.models import (
    MetricSpec,
    ProjectSpec,
    SinkSpec,
    SourceSpec,
    StageSpec,
    TestFileSpec,
)

KINDS = ("source", "sink", "metric", "test", "project")
_MODELS: dict[str, Any] = {
    "source": SourceSpec,
    "sink": SinkSpec,
    "test": TestFileSpec,
    "project": ProjectSpec,
}
# A shorthand: what may be written as a text instead of the mapping of that model.
_SHORTHANDS = (
    "SourceField", "DeadLetters", "KeySpec", "MeasureSpec", "WindowSpec", "RollupSpec",
    "RawMessage",
)  # fmt: skip
_DURATION = {
    "type": "string",
    "pattern": r"^[0-9]+(ms|s|m|h|d|w)$",
    "description": "A whole number and its unit, such as 200ms, 10m or 7d.",
}
_TYPE = {
    "type": "string",
    "description": "string, bool, int, float, decimal(p,s), timestamp, date or list<T>",
}


class _Schema(GenerateJsonSchema):
    """Durations and types as people write them, not as they are kept."""

    def function_before_schema(self, schema: Any) -> Any:
        name = getattr(schema["function"]["function"], "__name__", "")
        if name == "_duration":
            return dict(_DURATION)
        if name == "_type":
            return dict(_TYPE)
        if name == "_listed":
            inner = self.generate_inner(schema["schema"])
            return {"anyOf": [{"type": "string"}, inner]}
        return self.generate_inner(schema["schema"])

    def is_instance_schema(self, schema: Any) -> Any:
        return dict(_TYPE)


def json_schema(kind: str) -> dict[str, Any]:
    """The schema (2020-12) of one of KINDS; shorthands are allowed as texts."""
    made = _metric() if kind == "metric" else _schema_of(_MODELS[kind])
    definitions = made.get("$defs", {})
    for name in _SHORTHANDS:
        if name in definitions:
            definitions[name] = {"anyOf": [{"type": "string"}, definitions[name]]}
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = f"pipelinekit {kind}"
    return dict(made)


def _schema_of(model: Any) -> dict[str, Any]:
    return TypeAdapter(model).json_schema(schema_generator=_Schema, by_alias=True)


def _metric() -> dict[str, Any]:
    """A metric over events, or with `from` one over another's rows."""
    metric, stage = _schema_of(MetricSpec), _schema_of(StageSpec)
    # The project's defaults may fill these.
    metric["required"] = [k for k in metric["required"] if k not in ("sink", "lateness")]
    shared = {**metric.pop("$defs"), **stage.pop("$defs")}
    return {
        "$defs": {"MetricSpec": metric, "StageSpec": stage, **shared},
        "if": {"required": ["from"]},
        "then": {"$ref": "#/$defs/StageSpec"},
        "else": {"$ref": "#/$defs/MetricSpec"},
    }
