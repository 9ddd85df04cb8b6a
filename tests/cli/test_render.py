"""Findings as text, JSON and annotations: aligned, safe on a terminal, without secrets."""

from __future__ import annotations

import json

import pytest

from pipelinekit.cli.render import rendered, summary
from pipelinekit.diagnostics import Diagnostic, Report, Severity, Span
from pipelinekit.spec.document import Document, Entries, Scalar


def document(text: str, kind: str = "metric") -> Document:
    span = Span("f.yaml")
    root = Entries({"kind": Scalar(kind, kind, True, span)}, {"kind": span}, False, span)
    return Document("f.yaml", text, root)


def text(line: str, start: int, end: int, message: str = "m", kind: str = "metric") -> list[str]:
    finding = Diagnostic("PK100", message, Span("f.yaml", 1, start, 1, end), "do it")
    return rendered("text", Report([finding]), {"f.yaml": document(line, kind)}).splitlines()


def test_marks_stand_below_the_characters() -> None:
    assert text("a: bcd e", 4, 7) == [
        "f.yaml:1:4: error[PK100]: m",
        "   1 | a: bcd e",
        "     |    ^^^",
        "  help: do it",
    ]


@pytest.mark.parametrize(
    ("line", "start", "end", "shown", "marks"),
    [
        ("a: 日本 x", 7, 8, "a: 日本 x", "        ^"),
        ("a: e\u0301 x", 7, 8, "a: \\u0301", None),
        ("\ta: b", 5, 6, " a: b", "    ^"),
        ("a: b\r", 4, 5, "a: b", "   ^"),
        ("a:", 9, 12, "a:", "  ^"),
    ],
)
def test_marks_are_aligned_whatever_the_characters(
    line: str, start: int, end: int, shown: str, marks: str | None
) -> None:
    lines = text(line, start, end)
    if marks is not None:
        assert lines[1:3] == [f"   1 | {shown}", f"     | {marks}"]


def test_long_line_is_cut_around_the_place() -> None:
    lines = text("x" * 100_000 + "HERE" + "y" * 100_000, 100_001, 100_005)
    assert max(map(len, lines)) < 200
    place = lines[2].index("^")
    assert lines[1][place : place + 4] == "HERE"
    assert lines[2].count("^") == 4


def test_what_would_move_the_cursor_is_shown_as_text() -> None:
    lines = text("a: \x1b[31m\u202e", 4, 6, message="bad \x1b[2J\nnew line")
    assert all(line.isprintable() for line in lines)
    assert lines[0] == "f.yaml:1:4: error[PK100]: bad \\u001b[2J\\u000anew line"


@pytest.mark.parametrize(
    ("line", "kind", "is_quoted"),
    [
        ("password: hunter2", "sink", False),
        ("passwrd: hunter2", "sink", False),
        ("url: http://me:hunter2@host", "sink", False),
        ("url: http://host", "sink", True),
        ("filter: passengers > 2", "metric", True),
    ],
)
def test_line_that_may_hold_a_secret_is_not_quoted(line: str, kind: str, is_quoted: bool) -> None:
    assert (line in "\n".join(text(line, 1, 4, kind=kind))) is is_quoted


def test_annotation_escapes_what_github_would_read() -> None:
    span = Span("a,b:c.yaml", 2, 3, 2, 5)
    finding = Diagnostic("PK100", "100 %\nmore", span, None, severity=Severity.WARNING)
    assert rendered("github", Report([finding]), {}) == (
        "::warning file=a%2Cb%3Ac.yaml,line=2,col=3,endLine=2,endColumn=5,title=PK100"
        "::100 %25%0Amore\n"
    )


def test_json_holds_every_finding_once_sorted() -> None:
    late, early = (Diagnostic("PK100", "m", Span("f.yaml", line)) for line in (5, 2))
    report = Report([late, early, late], files=3, metrics=2)
    made = json.loads(rendered("json", report, {}))
    assert [f["line"] for f in made["findings"]] == [2, 5]
    assert made["checked"] == {"files": 3, "metrics": 2}


def test_summary_counts_in_words() -> None:
    warning = Diagnostic("PK600", "m", Span("f.yaml"), severity=Severity.WARNING)
    report = Report([warning, Diagnostic("PK100", "m", Span("f.yaml"))], files=1, metrics=1200)
    assert summary(report) == "1 error, 1 warning in 1 file, 1,200 metrics"
