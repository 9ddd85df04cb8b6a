"""Writes docs/reference from the models and registries; tests/docs checks that it is current.

python docs/generate.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click

from pipelinekit.catalog import all_codecs, all_measures
from pipelinekit.cli.main import VERBS, cli
from pipelinekit.measures.base import Measure
from pipelinekit.spec.document import dotted
from pipelinekit.spec.expressions.functions import (
    CASTS,
    EXTRACT_PARTS,
    FUNCTIONS,
    TRUNCATE_UNITS,
    Function,
)
from pipelinekit.spec.expressions.problems import Mismatch
from pipelinekit.spec.findings import Page, silenced
from pipelinekit.spec.findings import pages as finding_pages
from pipelinekit.spec.json_schema import KINDS, json_schema
from pipelinekit.spec.unbuilt import NOT_BUILT, NOT_BUILT_KINDS, NOT_BUILT_VALUES
from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    counted_type,
    decimal_type,
    list_type,
)
from pipelinekit.units import format_duration

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py: change what it reads, not this page. -->\n\n"
TYPES = (STRING, BOOL, INT, FLOAT, decimal_type(18, 2), TIMESTAMP, DATE)
GROUPS = {
    "PK0": "The file: YAML, size, depth",
    "PK1": "Shape and names",
    "PK2": "Expressions and measures",
    "PK3": "Windows, lateness and emission",
    "PK4": "Sources and sinks",
    "PK5": "Plan and compatibility",
    "PK6": "Tests",
}


def pages() -> dict[str, str]:
    """Every page of docs/reference by its file's name."""
    made = {
        "findings.md": findings(),
        "functions.md": functions(),
        "measures.md": measures(),
        "spec.md": spec_keys(),
        "verbs.md": verbs(),
    }
    return {name: HEAD + text.rstrip("\n") + "\n" for name, text in made.items()}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines)
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


# --- findings -----------------------------------------------------------------------------------


def findings() -> str:
    """All codes with why they hurt and an example of each side."""
    parts = [
        "# Findings\n\nWhat `pipelinekit validate` may say, as `pipelinekit explain CODE` prints "
        "it. The examples are fragments.\n"
    ]
    for prefix, title in GROUPS.items():
        mine = [page for code, page in finding_pages().items() if code.startswith(prefix)]
        if mine:
            parts.append(f"## {prefix}xx: {title}\n")
        parts += [
            f"### {page.code}: {page.title}\n\n{page.why}\n\n{_before(page)}Not so:\n\n"
            f"```text\n{page.bad}\n```\n\nBut so:\n\n```text\n{page.good}\n```\n{_silenced(page)}"
            for page in mine
        ]
    return "\n".join(parts)


def _silenced(page: Page) -> str:
    if not silenced(page):
        return ""
    return (
        "\nA warning: [a comment](../analyst/language.md#warnings-that-are-meant) can silence it.\n"
    )


def _before(page: Page) -> str:
    return "" if page.before is None else f"Before:\n\n```text\n{page.before}\n```\n\n"


# --- measures -----------------------------------------------------------------------------------


def measures() -> str:
    """The measures with the types that they take and give."""
    rows = [
        (
            f"`{_usage(measure)}`",
            measure.summary,
            _measure_types(measure),
            "yes" if measure.is_nullable() else "no",
            _needs(measure),
        )
        for measure in all_measures().values()
    ]
    head = ("Measure", "Gives", "Argument → result", "May be null", "Needs")
    return (
        "# Measures\n\nWhat may stand in `measures:`. Nulls are passed over; any split and order "
        f"of the same events gives the same value.\n\n{table(head, rows)}"
    )


def _usage(measure: Measure) -> str:
    names = list(measure.signature.arguments)
    optional = measure.signature.optional_arguments
    if optional == len(names):
        return f"{measure.name}()` or `{measure.name}({', '.join(names)})"
    if optional:
        names = [*names[: len(names) - optional], "…"]
    example = f"`, such as `{measure.signature.example}" if measure.signature.example else ""
    return f"{measure.name}({', '.join(names)}){example}"


def _needs(measure: Measure) -> str:
    needs = []
    if measure.signature.needs_id:
        needs.append("`id` of the source")
    if measure.signature.needs_max_values:
        needs.append("`max_values`")
    return ", ".join(needs)


def _measure_types(measure: Measure) -> str:
    results: dict[Type, Type] = {}
    for kind in TYPES:
        try:
            results[kind] = measure.result_type([kind])
        except TypeError:
            continue
    if len(results) == len(TYPES) and len(set(results.values())) == 1:
        return f"any type → `{next(iter(results.values()))}`"
    if all(result == list_type(counted_type(given)) for given, result in results.items()):
        return "any type T → list of `{ value: T, count: int }`"
    if all(given == result for given, result in results.items()):
        return "the type of the argument: " + ", ".join(f"`{kind}`" for kind in results)
    return ", ".join(f"`{given}` → `{result}`" for given, result in results.items())


# --- functions ----------------------------------------------------------------------------------


def functions() -> str:
    """The functions and casts of the expression language."""
    rows = [
        (f"`{function.usage}`", _arguments(function), _function_types(function), _written(function))
        for function in FUNCTIONS.values()
    ]
    casts = [
        (f"`{source.value}`", ", ".join(f"`{target.value}`" for target in targets) or "nothing")
        for source, targets in CASTS.items()
    ]
    head = ("Function", "Arguments", "Types → result", "Written out")
    return (
        "# Functions\n\nWhat an expression may call; the rest of the language is in "
        f"[the language](../analyst/language.md#expressions).\n\n{table(head, rows)}\n"
        '"Written out" names the arguments, from 1, that must be literals.\n\n'
        f"`date_trunc` takes {_listed(TRUNCATE_UNITS)}; `extract` takes {_listed(EXTRACT_PARTS)}."
        f"\n\n## Casts\n\n`cast(x as type)`:\n\n{table(('From', 'To'), casts)}"
    )


def _arguments(function: Function) -> str:
    if function.maximum is None:
        return f"{function.minimum} or more"
    if function.minimum == function.maximum:
        return str(function.minimum)
    return f"{function.minimum} to {function.maximum}"


def _function_types(function: Function) -> str:
    accepted: dict[tuple[Type, ...], Type] = {}
    for given in product(TYPES, repeat=function.minimum):
        try:
            accepted[given] = function.result(given)
        except Mismatch:
            continue
    alike = {given: r for given, r in accepted.items() if len(set(given)) == 1}
    if len(accepted) <= len(TYPES):
        shown = accepted
    else:  # of one type, or of types that have a common one
        return "values of one type: " + ", ".join(f"`{given[0]}`" for given in alike)
    return ", ".join(
        f"{', '.join(f'`{kind}`' for kind in given)} → `{result}`"
        for given, result in shown.items()
    )


def _written(function: Function) -> str:
    return ", ".join(str(place + 1) for place in function.literals)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


# --- spec keys ----------------------------------------------------------------------------------


def spec_keys() -> str:
    """Every key of every kind of file, and what is reserved."""
    parts = [
        "# Spec keys\n\nEvery key of each kind of file, from the JSON Schemas that "
        "`pipelinekit schema KIND` prints. A *duration* is a whole number and one of "
        "`ms s m h d w`. What the keys mean is in [the language](../analyst/language.md).\n\n"
        f"Formats of messages: {_listed(tuple(all_codecs()))}.\n"
    ]
    shown: set[str] = set()
    for kind in KINDS:
        schema = json_schema(kind)
        definitions = schema.get("$defs", {})
        parts.append(f"## {kind}\n")
        if "properties" in schema:
            parts.append(_keys(schema))
        for name, definition in definitions.items():
            model = _model(definition)
            if model is None or name in shown:
                continue
            shown.add(name)
            about = model.get("description", "").split("\n")[0]
            parts.append(f"### {name}\n\n{about}\n\n{_keys(model)}".replace("\n\n\n\n", "\n\n"))
    parts.append("## Reserved\n\n" + _reserved())
    return "\n".join(parts)


def _model(definition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for candidate in (definition, *definition.get("anyOf", ())):
        if "properties" in candidate:
            return dict(candidate)
    return None


def _keys(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"`{key}`",
            _shown_type(value),
            "required" if key in required else _default(value),
        )
        for key, value in schema["properties"].items()
    ]
    return table(("Key", "Value", "Default"), rows)


def _is_duration(schema: Mapping[str, Any]) -> bool:
    options = (schema, *schema.get("anyOf", ()))
    return any("(ms|s|m|h|d|w)" in option.get("pattern", "") for option in options)


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    match default:
        case None | "" | [] | {}:
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case int() if _is_duration(schema):
            return f"`{format_duration(default)}`"
        case dict():
            items = ", ".join(f"{k}: {v}" for k, v in default.items() if v is not None)
            return f"`{{ {items} }}`" if items else ""
        case _:
            return f"`{default}`"


def _shown_type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for combined in ("anyOf", "oneOf"):
        if combined in schema:
            options = [_shown_type(s) for s in schema[combined] if s.get("type") != "null"]
            return " or ".join(dict.fromkeys(options))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if _is_duration(schema):
        return "duration"
    return _plain_type(schema)


def _plain_type(schema: Mapping[str, Any]) -> str:
    match schema.get("type"):
        case "array":
            return f"list of {_shown_type(schema.get('items', {}))}"
        case "object":
            values = schema.get("additionalProperties")
            inner = _shown_type(values) if isinstance(values, dict) and values else "any values"
            return f"mapping of names to {inner}"
        case "string":
            is_type = schema.get("description", "").startswith("string, bool")
            return "type" if is_type else "text"
        case "integer":
            return "whole number" + _range(schema)
        case "number":
            return "number"
        case "boolean":
            return "`true` or `false`"
        case _:
            return "any value"


def _range(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    return f", at least {least:,}" if least is not None else ""


def _reserved() -> str:
    rows = [
        (kind, f"`{dotted(path)}`", what)
        for kind, keys in NOT_BUILT.items()
        for path, what in keys.items()
    ]
    rows += [
        (kind, f"`{dotted(path)}: {value}`", what)
        for (kind, path), values in NOT_BUILT_VALUES.items()
        for value, what in values.items()
    ]
    rows += [(kind, f"`kind: {kind}`", what) for kind, what in NOT_BUILT_KINDS.items()]
    return (
        "Keys and values that the language has and this version refuses with finding "
        f"[PK110](findings.md):\n\n{table(('File', 'Key', 'Would be'), rows)}"
    )


# --- verbs --------------------------------------------------------------------------------------


def verbs() -> str:
    """Every verb with its arguments and options."""
    parts = [
        "# Verbs\n\nAll verbs take `-h`, `--help`. Exit codes: 0 fine; 1 findings, failed tests, "
        "or a difference under `--check`; 2 wrong use, or nothing to work on; 3 something outside "
        "does not answer or refuses; 4 a bug of pipelinekit.\n"
    ]
    context = click.Context(cli)
    for name in VERBS:
        command = cli.get_command(context, name)
        assert command is not None
        parts.append(_verb(name, command))
    return "\n".join(parts)


def _verb(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join([f"pipelinekit {name}", *(["[OPTIONS]"] if options else []),
                      *(_argument(a) for a in arguments)])  # fmt: skip
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    parts = [f"## {name}\n", f"```text\n{usage}\n```\n", text + "\n"]
    if options:
        rows = [
            (
                ", ".join(f"`{o}`" for o in option.opts),
                _values(option),
                _option_default(option),
                option.help or "",
            )
            for option in options
        ]
        parts.append(table(("Option", "Value", "Default", "Meaning"), rows))
    return "\n".join(parts)


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    name = (argument.name or "").upper()
    if isinstance(argument.type, click.Choice):
        name = "|".join(map(str, argument.type.choices))
    return name if argument.required else f"[{name}]"


def _values(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    if isinstance(option.type, click.IntRange) and option.type.max is not None:
        return f"{option.type.min} to {option.type.max}"
    return option.metavar or option.type.name.upper()


def _option_default(option: click.Option) -> str:
    default = option.default
    is_plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    return f"`{default}`" if is_plain and not option.is_flag else ""


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
