"""What a rule is: one concern, over a resolved project, that gives findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pipelinekit.diagnostics import Diagnostic, Severity, Span
from pipelinekit.spec.document import Path, dotted
from pipelinekit.spec.project import Loaded
from pipelinekit.spec.resolve import Resolved, ResolvedMetric, ResolvedStage


class Rule(Protocol):
    """A check across fields or specs; `code` is what it reports."""

    code: str

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]: ...


class Place(NamedTuple):
    """Where findings of a spec go; `error` and `warning` make them."""

    code: str
    loaded: Loaded  # type: ignore[type-arg]

    def error(
        self, message: str, path: Path, help: str | None = None, *, key: bool = False
    ) -> Diagnostic:
        return self._made(message, path, help, key, Severity.ERROR)

    def warning(
        self, message: str, path: Path, help: str | None = None, *, key: bool = False
    ) -> Diagnostic:
        return self._made(message, path, help, key, Severity.WARNING)

    def _made(
        self, message: str, path: Path, help: str | None, key: bool, severity: Severity
    ) -> Diagnostic:
        span: Span = self.loaded.span(path, key=key)
        return Diagnostic(self.code, message, span, help, dotted(path), severity)


def at(code: str, metric: ResolvedMetric | ResolvedStage) -> Place:
    """Where findings of a metric go."""
    return Place(code, metric.loaded)
