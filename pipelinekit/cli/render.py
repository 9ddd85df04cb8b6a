"""Findings as text, as JSON, and as annotations of a GitHub workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipelinekit.diagnostics import Diagnostic, Report, Severity
from pipelinekit.spec.document import Document

FORMATS = ("text", "json", "github")
_LINE_MAX = 160
_UNQUOTED = ("PK407",)  # the line holds a password


def rendered(format: str, report: Report, documents: Mapping[str, Document]) -> str:
    """All findings in the format; ends with a newline unless it is empty."""
    match format:
        case "json":
            return _json(report)
        case "github":
            return "".join(_github(f) + "\n" for f in report.sorted())
        case _:
            return "".join(_text(f, documents.get(f.span.file)) for f in report.sorted())


def summary(report: Report) -> str:
    """One line for people: what was found in how much."""
    findings = report.sorted()
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    found = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}" if findings else "all good"
    return f"{found} in {_count(report.files, 'file')}, {_count(report.metrics, 'metric')}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _text(finding: Diagnostic, document: Document | None) -> str:
    span = finding.span
    head = f"{span.file}:{span.line}:{span.column}: {finding.severity.value}[{finding.code}]: "
    lines = [head + finding.message]
    if document is not None and document.text and finding.code not in _UNQUOTED:
        source = document.text.split("\n")
        if 1 <= span.line <= len(source):
            text = source[span.line - 1].rstrip("\r").replace("\t", " ")[:_LINE_MAX]
            end = span.end_column if span.end_line == span.line else len(text) + 1
            marks = "^" * max(1, min(end, len(text) + 1) - span.column)
            number = f"{span.line:>4}"
            lines.append(f"{number} | {text}")
            lines.append(f"{' ' * len(number)} | {' ' * (span.column - 1)}{marks}")
    if finding.help:
        lines.append(f"  help: {finding.help}")
    return "\n".join(lines) + "\n"


def _json(report: Report) -> str:
    findings = [
        {
            "code": f.code,
            "severity": f.severity.value,
            "message": f.message,
            "help": f.help,
            "file": f.span.file,
            "line": f.span.line,
            "column": f.span.column,
            "end_line": f.span.end_line,
            "end_column": f.span.end_column,
            "path": f.path,
        }
        for f in report.sorted()
    ]
    checked = {"files": report.files, "metrics": report.metrics}
    return json.dumps({"findings": findings, "checked": checked}, ensure_ascii=False) + "\n"


def _github(finding: Diagnostic) -> str:
    span = finding.span
    message = finding.message + (f" — {finding.help}" if finding.help else "")
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = f"file={span.file},line={span.line},col={span.column}"
    ends = f"endLine={span.end_line},endColumn={span.end_column}"
    return f"::{finding.severity.value} {place},{ends},title={finding.code}::{escaped}"
