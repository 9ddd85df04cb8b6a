"""What holds for any input: findings and refusals, never another exception, and no hanging."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from pipelinekit.cli.render import FORMATS, rendered
from pipelinekit.codecs.base import Decoder, FieldSpec
from pipelinekit.codecs.json import decoder
from pipelinekit.columns import polars_type
from pipelinekit.diagnostics import Diagnostic, Report, Severity
from pipelinekit.plan.build import build
from pipelinekit.plan.codec import decode, encode
from pipelinekit.plan.render import render as render_plan
from pipelinekit.runtime.scenario import run_test
from pipelinekit.spec.decoding import BYTES_MAX
from pipelinekit.spec.document import Document, Entries, Items, Node
from pipelinekit.spec.expressions.parse import parse_expression, parse_measure
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.to_polars import to_polars
from pipelinekit.spec.expressions.to_sql import to_bigquery, to_clickhouse
from pipelinekit.spec.findings import pages
from pipelinekit.spec.formatting import NotFormatted, formatted
from pipelinekit.spec.reading import DEPTH_MAX, NODES_MAX, read
from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    decimal_type,
    list_type,
)
from tests.fuzz import inputs
from tests.spec.expressions.fields import FIELDS
from tests.spec.projects import check, make_project

_DIGITS_MAX = 40
_FINDINGS_MAX = 20_000
_EVENTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Inputs, and what holds for each of them; `seconds` is the most that one may take."""

    inputs: Callable[[Random], Any]
    holds: Callable[[Any], None]
    seconds: float = 1.0


def reads(data: bytes) -> None:
    """Any bytes give a document within the bounds, or findings at places in the file."""
    document = read(data, "f.yaml")
    _are_findings(document.findings, {"f.yaml": document})
    if document.root is None:
        assert document.findings
        return
    assert len(data) <= BYTES_MAX
    nodes = _nodes(document.root, 1)
    assert nodes <= NODES_MAX
    document.data()


def formats(data: bytes) -> None:
    """Any text is refused, or put into a form that says the same and stays as it is."""
    try:
        text = data.decode()
        form = formatted(text, "f.yaml")
    except (UnicodeDecodeError, NotFormatted):
        return
    assert formatted(form, "f.yaml") == form
    assert not read(form.encode(), "f.yaml").findings


def checks_example(data: bytes) -> None:
    """The example project with any bytes as one of its files: findings, or it can run."""
    file = sorted(inputs.EXAMPLE)[len(data) % len(inputs.EXAMPLE)]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**inputs.EXAMPLE, file: data}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _is_checked(Path(folder))


def checks_small(files: Mapping[str, bytes]) -> None:
    """A small project with values of any shape in one file: findings, or it can run."""
    with tempfile.TemporaryDirectory() as folder:
        _is_checked(make_project(Path(folder), **files))


def parses(text: str) -> None:
    """Any text gives problems at places in it, or a tree that every engine takes."""
    parsed, measure = parse_expression(text, FIELDS), parse_measure(text, FIELDS)
    for problem in (*parsed.problems, *measure.problems):
        assert 0 <= problem.start <= problem.end <= max(len(text), problem.start)
        assert problem.start <= len(text)
        assert problem.message
        assert problem.code in pages()
    expression = parsed.expression
    if expression is None:
        assert parsed.problems
        return
    assert parse_expression(render(expression), FIELDS).expression == expression
    columns = {name: f"`{name}`" for name in FIELDS}
    assert to_clickhouse(expression, columns)
    assert to_bigquery(expression, columns)
    answer = _nothing().select(answer=to_polars(expression))["answer"]
    assert answer.dtype == polars_type(expression.type)


def decodes(batch: Sequence[tuple[bytes | None, Any]]) -> None:
    """Any messages: each is a row or a refusal with a reason, whatever its neighbours are."""
    values, headers = [value for value, _ in batch], [found for _, found in batch]
    decoded = _decoder().decode(values, headers)
    refused = {row.index for row in decoded.refused}
    kept = decoded.indices
    places = list(range(len(values))) if kept is None else kept.tolist()
    assert decoded.frame.height == len(places) == len(decoded.event_times_ms)
    assert sorted([*places, *refused]) == list(range(len(values)))
    assert len(decoded.refused) == len(refused)
    assert all(row.detail.strip() for row in decoded.refused)
    assert decoded.frame.schema == {f.name: polars_type(f.type) for f in _FIELDS}
    for number, (value, found) in enumerate(batch[:8]):
        alone = _decoder().decode([value], [found])
        assert bool(alone.refused) == (number in refused)


TARGETS: dict[str, Target] = {
    "reading": Target(inputs.spec_bytes, reads),
    "formatting": Target(inputs.spec_bytes, formats),
    "example": Target(inputs.spec_bytes, checks_example, 4.0),
    "shapes": Target(inputs.structured, checks_small),
    "expressions": Target(inputs.expression_text, parses),
    "messages": Target(inputs.messages, decodes),
}


# --- the parts of a contract --------------------------------------------------------------------


def _nodes(node: Node, depth: int) -> int:
    """How many values there are; asserts the bounds of each."""
    assert depth <= DEPTH_MAX + 1
    match node:
        case Entries(nodes=nodes, keys=keys):
            assert nodes.keys() == keys.keys()
            return 1 + len(nodes) + sum(_nodes(n, depth + 1) for n in nodes.values())
        case Items(nodes=items):
            return 1 + sum(_nodes(n, depth + 1) for n in items)
        case _:
            value = node.value
            if isinstance(value, int) and not isinstance(value, bool):
                assert abs(value) < 16**_DIGITS_MAX
            if isinstance(value, float):
                assert abs(value) < float("inf")
            return 1


def _are_findings(findings: Sequence[Diagnostic], documents: Mapping[str, Document]) -> None:
    known = pages()
    assert len(findings) <= _FINDINGS_MAX
    for finding in findings:
        assert finding.code in known
        assert finding.message
        span, document = finding.span, documents.get(finding.span.file)
        lines = 1 if document is None else document.text.count("\n") + 1
        assert 1 <= span.line <= span.end_line <= lines + 1
        assert span.column >= 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)


def _is_checked(folder: Path) -> None:
    resolved, findings = check(folder)
    documents = resolved.project.documents
    _are_findings(findings, documents)
    for format in FORMATS:
        assert len(rendered(format, Report(findings), documents)) < 50_000_000
    if any(f.severity is Severity.ERROR for f in findings):
        return
    for plan in build(resolved):
        assert render_plan(decode(encode(plan))) == render_plan(plan)
    for name, tests in resolved.project.tests.items():
        plans = build(resolved, {name})
        for test in tests:
            if sum(len(s.events or ()) + len(s.raw or ()) for s in test.spec.steps) <= _EVENTS_MAX:
                run_test(plans[0], test.spec)


@lru_cache(maxsize=1)
def _nothing() -> pl.DataFrame:
    """Two rows of the fields: all null, and all there."""
    schema = {name: polars_type(kind) for name, kind in FIELDS.items()}
    empty = {name: [None, None] for name in FIELDS}
    return pl.DataFrame(empty, schema=schema)


_FIELDS = (
    FieldSpec("t", TIMESTAMP, (("t",),)),
    FieldSpec("text", STRING, (("text",), ("deep", "text")), optional=True),
    FieldSpec("flag", BOOL, (("flag",),), default=False),
    FieldSpec("whole", INT, (("whole",),), optional=True),
    FieldSpec("real", FLOAT, (("real",), ("deep", "real")), optional=True),
    FieldSpec("money", decimal_type(18, 4), (("money",),), optional=True),
    FieldSpec("much", decimal_type(38, 0), (("deep", "much"), ("much",)), default="1"),
    FieldSpec("when", TIMESTAMP, (("when",),), optional=True, unit="s"),
    FieldSpec("day", DATE, (("day",),), optional=True),
    FieldSpec("list", list_type(INT), (("list",),), optional=True),
    FieldSpec("tenant", STRING, (), header="tenant", optional=True),
    FieldSpec("size", INT, (), header="size", default=0),
)


@lru_cache(maxsize=1)
def _decoder() -> Decoder:
    return decoder(_FIELDS, "t")
