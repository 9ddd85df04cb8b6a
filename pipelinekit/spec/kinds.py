"""What a file is by its `kind`, and a sink by its `type`; whether a file lies and is named so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Document
from pipelinekit.spec.layout import FOLDERS, KINDS, is_test_file, stem
from pipelinekit.spec.models.sink import SINK_MODELS, SinkSpec
from pipelinekit.spec.models.values import NAME
from pipelinekit.spec.unbuilt import NOT_BUILT_KINDS, NOT_BUILT_VALUES, unbuilt


def kind_of(document: Document, folder: str) -> str | Diagnostic:
    """The file's kind, if files of that kind lie in the folder."""
    data = document.data()
    kind = data.get("kind")
    place = document.span(("kind",))
    if isinstance(kind, str) and kind in NOT_BUILT_KINDS:
        return unbuilt(document, ("kind",), NOT_BUILT_KINDS[kind], kind)
    if not isinstance(kind, str) or kind not in KINDS:
        message = '"kind" is missing'
        if "kind" in data:
            message = f"{_quoted(kind)} is not a kind of file"
        help = f"the kinds are {', '.join(KINDS)}"
        return Diagnostic("PK100", message, place, help, "kind")
    if kind not in FOLDERS[folder]:
        right = next(name for name, kinds in FOLDERS.items() if kind in kinds)
        message = f"a {kind} does not lie in {folder}/"
        return Diagnostic("PK113", message, place, f"move it to {right}/", "kind")
    return kind


def misnamed(document: Document, kind: str, path: FilePath) -> Diagnostic | None:
    """A finding unless the spec is named as its file is; tests are in `<metric>.test.yaml`."""
    key = "metric" if kind == "test" else "name"
    name = document.data().get(key)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return None  # said of the name itself
    if name == stem(path) and is_test_file(path) == (kind == "test"):
        return None
    of = "tests are of the metric" if kind == "test" else f"the {kind} is named"
    suffix = ".test.yaml" if kind == "test" else ".yaml"
    message = f'{of} "{name[:60]}", the file is named "{path.name[:80]}"'
    help = f"name the file {name[:60]}{suffix}"
    if kind != "test":
        help += f", or the {kind} {stem(path)}"
    return Diagnostic("PK108", message, document.span((key,)), help, key)


def sink_model(document: Document, data: Mapping[str, Any]) -> type[SinkSpec] | Diagnostic:
    """The model of the sink's type; `data` is the document's, with its variables filled."""
    kind = data.get("type")
    if isinstance(kind, str) and kind in SINK_MODELS:
        return SINK_MODELS[kind]
    not_built = NOT_BUILT_VALUES["sink", ("type",)]
    if isinstance(kind, str) and kind in not_built:
        return unbuilt(document, ("type",), not_built[kind], kind)
    place = document.span(("type",)) if "type" in data else document.span(("kind",), key=True)
    message = '"type" is missing'
    if "type" in data:
        message = f"{_quoted(kind)} is not a type of sink"
    help = f"the types are {', '.join(SINK_MODELS)}"
    return Diagnostic("PK403", message, place, help, "type")


def _quoted(given: object) -> str:
    return f'"{given[:60]}"' if isinstance(given, str) else "this"
