"""Findings as text, as JSON, and as annotations of a GitHub workflow; others: render_ci."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from pipelinekit.diagnostics import Diagnostic, Report, Severity
from pipelinekit.spec.document import Document, Scalar

FORMATS = ("text", "json", "github", "sarif", "junit")
_LINE_MAX = 160
# A line of a source, sink or project file that may hold a secret is not quoted.
_SECRET = re.compile(r"pass|secret|token|://[^/\s]*@", re.IGNORECASE)


def rendered(format: str, report: Report, documents: Mapping[str, Document]) -> str:
    """All findings in the format; ends with a newline unless it is empty."""
    match format:
        case "json":
            return _json(report)
        case "github":
            return "".join(_github(f) + "\n" for f in report.sorted())
        case "sarif" | "junit":
            from pipelinekit.cli import render_ci

            return render_ci.sarif(report) if format == "sarif" else render_ci.junit(report)
        case _:
            return "".join(_text(f, documents.get(f.span.file)) for f in report.sorted())


def summary(report: Report) -> str:
    """One line for people: what was found in how much."""
    findings = report.sorted()
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    found = (
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}" if findings else "all good"
    )
    silenced = len(report.sorted_suppressed())
    if silenced:
        found += f", {counted(silenced, 'warning')} silenced by comments"
    return f"{found} in {counted(report.files, 'file')}, {counted(report.metrics, 'metric')}"


def counted(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _text(finding: Diagnostic, document: Document | None) -> str:
    span = finding.span
    head = f"{span.file}:{span.line}:{span.column}: {finding.severity.value}[{finding.code}]: "
    lines = [_seen(head + finding.message)]
    if document is not None and (line := _line(finding, document)) is not None:
        end = span.end_column if span.end_line == span.line else len(line) + 1
        number = f"{span.line:>4}"
        text, marks = _excerpt(line, span.column - 1, min(end - 1, len(line)))
        lines += [f"{number} | {text}", f"{' ' * len(number)} | {marks}"]
    if finding.help:
        lines.append(_seen(f"  help: {finding.help}"))
    return "\n".join(lines) + "\n"


def _line(finding: Diagnostic, document: Document) -> str | None:
    """The line that the finding is about, if there is one and it holds no secret."""
    lines = _lines(document.text)
    if not document.text or not 1 <= finding.span.line <= len(lines):
        return None
    line = lines[finding.span.line - 1].rstrip("\r").replace("\t", " ")
    kind = document.node(("kind",))
    is_metric = isinstance(kind, Scalar) and kind.value in ("metric", "test")
    return line if is_metric or not _SECRET.search(line) else None


@lru_cache(maxsize=1)  # findings come file by file
def _lines(text: str) -> list[str]:
    return text.split("\n")


def _excerpt(line: str, start: int, end: int) -> tuple[str, str]:
    """What is shown of the line, and the marks below the characters from `start` to `end`."""
    first = 0 if start < _LINE_MAX // 2 else start - _LINE_MAX // 4
    last = min(len(line), first + _LINE_MAX)
    before = ("…" if first else "") + _seen(line[first:start])
    marked = _seen(line[start : min(end, last)])
    after = _seen(line[max(start, min(end, last)) : last]) + ("…" if last < len(line) else "")
    return before + marked + after, " " * _width(before) + "^" * max(1, _width(marked))


def _seen(text: str) -> str:
    """The text without what would move a terminal's cursor or can't be seen."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _width(text: str) -> int:
    """The columns that a terminal gives the text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _json(report: Report) -> str:
    document = {
        "findings": [_fields(f) for f in report.sorted()],
        "suppressed": [
            {**_fields(s.finding), "reason": s.reason} for s in report.sorted_suppressed()
        ],
        "checked": {"files": report.files, "metrics": report.metrics},
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _fields(finding: Diagnostic) -> dict[str, object]:
    span = finding.span
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "help": finding.help,
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "path": finding.path,
    }


def _github(finding: Diagnostic) -> str:
    span = finding.span
    message = finding.message + (f" — {finding.help}" if finding.help else "")
    place = f"file={_property(span.file)},line={span.line},col={span.column}"
    ends = f"endLine={span.end_line},endColumn={span.end_column}"
    head = f"::{finding.severity.value} {place},{ends},title={finding.code}"
    return f"{head}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
