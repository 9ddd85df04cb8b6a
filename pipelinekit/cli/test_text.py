"""Results of tests with time as text, JSON and JUnit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelinekit.runtime.coverage import Branch
    from pipelinekit.runtime.scenario import Result
    from pipelinekit.spec.project import LoadedTest


@dataclass(slots=True)
class Run:
    """Tests with how they ended; by metric what they reached, if that was asked."""

    results: list[tuple[Result, LoadedTest]] = field(default_factory=list)
    coverage: dict[str, Mapping[Branch, int]] = field(default_factory=dict)

    @property
    def failed(self) -> Sequence[Result]:
        return [result for result, _ in self.results if not result.passed]


def one(result: Result, loaded: LoadedTest) -> str:
    """A test's line, and below it what failed."""
    lines = [f"{'passed' if result.passed else 'FAILED'}  {result.metric}: {result.name}"]
    for failure in result.failures:
        span = loaded.document.span((*loaded.path, *failure.path))
        lines.append(f"  {span.file}:{span.line}")
        lines += [f"    {line}" for line in failure.text.splitlines()]
    return "\n".join(lines) + "\n"


def coverage_text(run: Run) -> str:
    """The coverage of each metric."""
    from pipelinekit.runtime import coverage

    return "".join(coverage.text(name, reached) for name, reached in run.coverage.items())


def as_json(run: Run) -> str:
    """One JSON document: `tests`, and `coverage` if it was asked."""
    from pipelinekit.runtime import coverage

    found: dict[str, object] = {"tests": [_document(r, t) for r, t in run.results]}
    if run.coverage:
        found["coverage"] = [coverage.document(n, reached) for n, reached in run.coverage.items()]
    return json.dumps(found, ensure_ascii=False) + "\n"


def junit(run: Run) -> str:
    """A test suite with a case for each test."""
    from pipelinekit.cli.render_ci import tests_junit

    return tests_junit([(r.metric, r.name, r.seconds, _why(r)) for r, _ in run.results])


RENDERERS: dict[str, Callable[[Run], str]] = {"json": as_json, "junit": junit}


def _why(result: Result) -> str | None:
    return "\n".join(f.text for f in result.failures) or None


def _document(result: Result, loaded: LoadedTest) -> dict[str, object]:
    return {
        "metric": result.metric,
        "name": result.name,
        "passed": result.passed,
        "seconds": round(result.seconds, 4),
        "file": loaded.document.file,
        "line": loaded.document.span(loaded.path).line,
        "failures": [
            {"line": loaded.document.span((*loaded.path, *f.path)).line, "text": f.text}
            for f in result.failures
        ],
    }
