"""JSON Schemas of the spec files, from their models: what editors complete and explain."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from pipelinekit.spec.models.metric import MetricSpec, StageSpec
from pipelinekit.spec.models.project import ProjectSpec
from pipelinekit.spec.models.sink import SinkSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.models.testing import TestFileSpec
from pipelinekit.spec.models.values import RESERVED_SUFFIX
from pipelinekit.spec.windows import WINDOW_KEYS
from pipelinekit.units import format_duration

KINDS = ("source", "sink", "metric", "test", "project")
_MODELS: dict[str, Any] = {
    "source": SourceSpec,
    "sink": SinkSpec,
    "test": TestFileSpec,
    "project": ProjectSpec,
}
# Shorthands: the key that is meant where a text stands instead of the mapping of that model.
_SHORTHANDS = {
    "SourceField": "type", "DeadLetters": "topic", "KeySpec": "name", "MeasureSpec": "measure",
    "WindowSpec": "tumbling", "RollupSpec": "size", "RawMessage": "text",
}  # fmt: skip
_DURATION = {
    "type": "string",
    "pattern": r"^[0-9]+(ms|s|m|h|d|w)$",
    "description": "A whole number and its unit, such as 200ms, 10m or 7d.",
}
_SIZE = {
    "type": "string",
    "pattern": r"^([0-9]+(ms|s|m|h|d|w)|1mo)$",
    "description": "A duration, or a month: 1mo.",
}
_SIZES = {
    "WindowSpec": ("tumbling", "sliding", "session", "cumulative", "every", "max"),
    "RollupSpec": ("size",),
}
_PLAIN_TYPE = r"(string|bool|int|float|timestamp|date|decimal\( *\d{1,3} *, *\d{1,3} *\))"
_TYPE = {
    "type": "string",
    "pattern": rf"^({_PLAIN_TYPE}|list<{_PLAIN_TYPE}>)$",
    "description": "string, bool, int, float, decimal(p,s), timestamp, date or list<T>",
}
_NAME = r"(?!.*__)[a-z][a-z0-9_]{0,47}"
_NAMES = {
    "check_name": f"^{_NAME}$",
    "check_open_name": rf"^({_NAME}|.*\$\{{.*)$",
    "check_spec_name": f"^(?!.*{RESERVED_SUFFIX.pattern}$){_NAME}$",
}


class _Schema(GenerateJsonSchema):
    """Durations and types as people write them, not as they are kept."""

    def function_before_schema(self, schema: Any) -> Any:
        name = getattr(schema["function"]["function"], "__name__", "")
        if name == "_duration":
            return dict(_DURATION)
        if name == "_type":
            return dict(_TYPE)
        if name == "listed":
            inner = self.generate_inner(schema["schema"])
            item = inner["items"]
            one = self.get_schema_from_definitions(item["$ref"]) if "$ref" in item else item
            is_text = one is not None and one.get("type") == "string"
            return {"anyOf": [_text(item) if is_text else {"type": "string"}, inner]}
        return self.generate_inner(schema["schema"])

    def function_after_schema(self, schema: Any) -> Any:
        made = super().function_after_schema(schema)
        name = getattr(schema["function"]["function"], "__name__", "")
        return {**made, "pattern": _NAMES[name]} if name in _NAMES else made

    def dict_schema(self, schema: Any) -> Any:
        made = super().dict_schema(schema)
        if "patternProperties" in made:  # would leave keys of other forms alone
            ((pattern, values),) = made.pop("patternProperties").items()
            made |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
        return made

    def default_schema(self, schema: Any) -> Any:
        made = super().default_schema(schema)
        if made.get("pattern") == _DURATION["pattern"] and isinstance(made.get("default"), int):
            made["default"] = format_duration(made["default"])
        return made

    def is_instance_schema(self, schema: Any) -> Any:
        return dict(_TYPE)


def json_schema(kind: str) -> dict[str, Any]:
    """The schema (2020-12) of one of KINDS; shorthands are allowed as texts."""
    made = _metric() if kind == "metric" else _schema_of(_MODELS[kind])
    definitions = made.get("$defs", {})
    for name, keys in _SIZES.items():
        for key in keys if name in definitions else ():
            properties = definitions[name]["properties"]
            properties[key] = {"title": properties[key]["title"], **_SIZE}
    if "WindowSpec" in definitions:
        definitions["WindowSpec"]["oneOf"] = [
            {
                "required": [kind, *({"every"} & {*others})],
                "propertyNames": {"enum": [kind, *others]},
            }
            for kind, others in WINDOW_KEYS.items()
        ]
    for name, key in _SHORTHANDS.items():
        if name in definitions:
            text = _text(definitions[name]["properties"][key])
            definitions[name] = {"anyOf": [text, definitions[name]]}
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = f"pipelinekit {kind}"
    return dict(made)


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    """What a text there may be, without what else may stand there."""
    text = next((s for s in schema.get("anyOf", ()) if s.get("type") == "string"), schema)
    return {k: v for k, v in text.items() if k not in ("title", "default")}


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
