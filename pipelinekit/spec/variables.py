"""`${NAME}` and `${NAME:-default}` as whole values, filled from the environment that was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Document, Path, dotted

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(slots=True, eq=False)
class Filled:
    """A document's data with variables filled, as texts, and where they stood.

    `places` has the text of each, None where the name is known nowhere: there `${NAME}` stays.
    """

    data: dict[str, Any]
    places: dict[Path, str | None] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)


def filled(document: Document, variables: Mapping[str, Any]) -> Filled:
    """The data of a source or sink with its variables filled."""
    done = Filled({})
    data = _fill(document, variables, done, document.data(), ())
    assert isinstance(data, dict)
    done.data = data
    return done


def refused(document: Document, data: Mapping[str, Any]) -> list[Diagnostic]:
    """A finding for each variable in a file that takes none."""
    return [
        Diagnostic(
            "PK405",
            "variables are filled in sources and sinks only",
            document.span(path),
            "write the value, or let the source or sink hold what differs by environment",
            dotted(path),
        )
        for path in _places_of_variables(data, ())
    ]


def is_open(value: object) -> bool:
    """Whether the value is a variable that no environment filled."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None


def open_names(texts: Iterable[str]) -> list[str]:
    """The names of variables in the texts that no environment filled."""
    return sorted({found[1] for text in texts for found in _VARIABLE.finditer(text)})


def _fill(
    document: Document, variables: Mapping[str, Any], done: Filled, value: Any, path: Path
) -> Any:
    if isinstance(value, dict):
        return {k: _fill(document, variables, done, v, (*path, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(document, variables, done, v, (*path, i)) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = _VARIABLE.fullmatch(value)
    if not found:
        message = f'"{value[:60]}" is not one whole ${{NAME}}'
        help = "let the environment hold the whole value"
        place = document.span(path)
        done.findings.append(Diagnostic("PK405", message, place, help, dotted(path)))
        return value
    name, default = found.groups()
    text = _text(variables[name]) if name in variables else default
    done.places[path] = text
    return value if text is None else text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _places_of_variables(value: Any, path: Path) -> list[Path]:
    match value:
        case dict():
            return [p for k, v in value.items() for p in _places_of_variables(v, (*path, k))]
        case list():
            return [p for i, v in enumerate(value) for p in _places_of_variables(v, (*path, i))]
        case str() if _VARIABLE.search(value):
            return [path]
        case _:
            return []
