"""`test --update`: expectations that say what there is, in the text of their file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelinekit.plan.model import Plan
from pipelinekit.runtime.expectation import Difference
from pipelinekit.runtime.scenario import Failure, Result, run_test
from pipelinekit.spec.document import Document, Entries, Path, dotted, plain
from pipelinekit.spec.edits import CannotEdit, Edit, Places, edited, flow
from pipelinekit.spec.models.testing import TestSpec
from pipelinekit.spec.project import LoadedTest
from pipelinekit.spec.reading import read


@dataclass(frozen=True, slots=True)
class Update:
    """What an update of a project's tests comes to.

    `texts`: by file its new text. `changed`: a line for each value, row and letter. `refused`: the
    tests that stay as they are, and why.
    """

    texts: Mapping[str, str]
    changed: Sequence[str]
    refused: Sequence[str]


def update(results: Sequence[tuple[Result, LoadedTest, Plan]]) -> Update:
    """The update that makes the failed ones of these tests pass; no file is written.

    A test of which a step can't be run stays as it is, and so does one that would fail still.
    """
    documents: dict[str, Document] = {}
    changed: list[str] = []
    refused: list[str] = []
    for result, loaded, plan in results:
        if result.passed:
            continue
        file = loaded.document.file
        try:
            document = _updated(documents.get(file, loaded.document), loaded, result)
            _require_pass(document, loaded, plan)
        except CannotEdit as error:
            refused.append(f"{result.metric}: {result.name}: {error}")
            continue
        documents[file] = document
        changed += _lines(result, loaded)
    texts = {file: document.text for file, document in documents.items()}
    return Update(texts, changed, refused)


def _updated(document: Document, loaded: LoadedTest, result: Result) -> Document:
    """The document with the test's expectations as they would hold."""
    differences = [(_list(loaded, f), _difference(loaded, f)) for f in result.failures]
    places = Places(document)
    values = [
        places.value((*path, place, name), value)
        for path, difference in differences
        for place, wrong in difference.wrong.items()
        for name, value in (wrong or {}).items()
    ]
    document = _applied(document, values)  # before the lists, which move their items' text
    places = Places(document)
    items = [
        edit
        for path, difference in differences
        for edit in places.items(path, _removed(difference), difference.unexpected)
        if _removed(difference) or difference.unexpected
    ]
    return _applied(document, items)


def _applied(document: Document, edits: Sequence[Edit]) -> Document:
    if not edits:
        return document
    changed = read(edited(document.text, edits).encode(), document.file)
    if changed.findings:
        raise CannotEdit(f"the new text would not be read: {changed.findings[0].message}")
    return changed


def _require_pass(document: Document, loaded: LoadedTest, plan: Plan) -> None:
    node = document.node(loaded.path)
    result = run_test(plan, TestSpec.model_validate(node and plain(node)))
    if not result.passed:
        raise CannotEdit(f"it would fail still: {result.failures[0].text}")


def _difference(loaded: LoadedTest, failure: Failure) -> Difference:
    if failure.difference is None:
        where = dotted((*loaded.path, *failure.path))
        raise CannotEdit(f"{where} can't be run: {failure.text}")
    return failure.difference


def _list(loaded: LoadedTest, failure: Failure) -> Path:
    """The place of the failed expectation's rows or letters."""
    path = (*loaded.path, *failure.path)
    if isinstance(failure.path[-1], int):  # a step: what it expects lies below
        step = loaded.document.node(path)
        assert isinstance(step, Entries)
        path = (*path, next(iter(step.nodes)))
    held = loaded.document.node(path)
    return (*path, "contains") if isinstance(held, Entries) else path


def _removed(difference: Difference) -> list[int]:
    return [place for place, values in difference.wrong.items() if values is None]


def _lines(result: Result, loaded: LoadedTest) -> Iterator[str]:
    """What changes, for people; lines are those of the text before."""
    document = loaded.document
    for failure in result.failures:
        path, difference = _list(loaded, failure), _difference(loaded, failure)
        for place, wrong in difference.wrong.items():
            row = (*path, place)
            if wrong is None:
                yield f"{_place(document, row)}: - {_written(document, row)}"
            for name, value in (wrong or {}).items():
                old = _written(document, (*row, name))
                yield f"{_place(document, (*row, name))}: {name}: {old} → {flow(value)}"
        for item in difference.unexpected:
            yield f"{_place(document, path)}: + {flow(item)}"


def _place(document: Document, path: Path) -> str:
    return f"{document.file}:{document.span(path).line}"


def _written(document: Document, path: Path) -> str:
    node = document.node(path)
    value: Any = None if node is None else plain(node)
    return flow(value)
