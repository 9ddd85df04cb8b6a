"""What is wrong with a spec, as values: a code, a place, a message and a next step."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


class Span(NamedTuple):
    """A stretch of a file; lines and columns count characters from 1, the end is exclusive."""

    file: str
    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1

    def slice(self, start: int, end: int) -> Span:
        """The part from character `start` to `end` of a one-line span (an expression's piece)."""
        if self.line != self.end_line:
            return self
        return Span(self.file, self.line, self.column + start, self.line, self.column + end)


class Diagnostic(NamedTuple):
    """One finding. `path` is the place in the spec, such as `measures.views.filter`."""

    code: str
    message: str
    span: Span
    help: str | None = None
    path: str = ""
    severity: Severity = Severity.ERROR


class Suppressed(NamedTuple):
    """A warning that a comment in the spec silences, and why."""

    finding: Diagnostic
    reason: str


@dataclass(slots=True)
class Report:
    """All findings of a run, those that comments silence, and how much was checked."""

    findings: list[Diagnostic] = field(default_factory=list)
    files: int = 0
    metrics: int = 0
    suppressed: list[Suppressed] = field(default_factory=list)

    def add(self, *findings: Diagnostic) -> None:
        self.findings.extend(findings)

    @property
    def has_errors(self) -> bool:
        return any(f.severity is Severity.ERROR for f in self.findings)

    def sorted(self) -> list[Diagnostic]:
        """By file and position, then code; each finding once."""
        unique = dict.fromkeys(self.findings)
        return sorted(unique, key=_order)

    def sorted_suppressed(self) -> list[Suppressed]:
        """By file and position, then code; each once."""
        return sorted(dict.fromkeys(self.suppressed), key=lambda s: _order(s.finding))


def _order(finding: Diagnostic) -> tuple[Span, str, str]:
    return finding.span, finding.code, finding.message
