"""Findings on a spec, noted at the characters that they are about."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelinekit.diagnostics import Diagnostic, Span
from pipelinekit.spec.document import Path, Scalar, dotted
from pipelinekit.spec.expressions.parse import parse_expression
from pipelinekit.spec.expressions.problems import Problem
from pipelinekit.spec.expressions.tree import Expression
from pipelinekit.spec.project import Loaded
from pipelinekit.types import BOOL, Type


@dataclass(slots=True, eq=False)
class Notes:
    """The findings on one metric so far; `add` notes one more."""

    loaded: Loaded[Any]
    findings: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        code: str,
        message: str,
        path: Path,
        help: str | None = None,
        span: Span | None = None,
    ) -> None:
        place = span or self.loaded.span(path)
        self.findings.append(Diagnostic(code, message, place, help, dotted(path)))

    def expression(self, text: str, types: Mapping[str, Type], path: Path) -> Expression | None:
        """The text typed, or None and its problems noted."""
        parsed = parse_expression(text, types)
        for problem in parsed.problems:
            self.problem(problem, path)
        return parsed.expression

    def condition(
        self, text: str | None, types: Mapping[str, Type], path: Path
    ) -> Expression | None:
        """The text typed as a filter, or None: there is none, or its problems are noted."""
        if text is None:
            return None
        expression = self.expression(text, types, path)
        if expression is not None and expression.type != BOOL:
            message = f"a filter is a condition, and this is {expression.type}"
            self.add("PK203", message, path, "compare it: country = 'BE', amount > 0")
            return None
        return expression

    def problem(self, problem: Problem, path: Path) -> None:
        """Note a problem of an expression's text, at its characters."""
        span = self.inside(path, problem.start, problem.end)
        self.add(problem.code, problem.message, path, problem.help, span)

    def inside(self, path: Path, start: int, end: int) -> Span:
        """The place of some characters of a text value."""
        node = self.loaded.document.node(path)
        if not isinstance(node, Scalar) or node.span.line != node.span.end_line:
            return self.loaded.span(path)
        written = node.span.end_column - node.span.column
        quotes = 0 if node.is_plain else 1
        if written != len(node.text) + 2 * quotes:  # escapes inside: the whole value it is
            return node.span
        return node.span.slice(start + quotes, max(end, start + 1) + quotes)


def nearest(name: str, known: Collection[str], what: str, *, else_: str) -> str:
    """The help on a name that is not there: the one that was meant, or those there are."""
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean {close[0]}?"
    return f"the {what}s are {', '.join(known)}" if known else else_
