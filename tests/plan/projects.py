"""Two versions of a small project, and what lies between them."""

from __future__ import annotations

from pathlib import Path

from pipelinekit.diagnostics import Severity
from pipelinekit.plan.diff import Diff, diff
from pipelinekit.plan.verdicts import Item
from pipelinekit.spec.resolve import Resolved
from tests.spec.projects import FILES, check, make_project

KIND_OF = {"metric": "metrics/views.yaml", "source": "sources/events.yaml",
           "sink": "sinks/store.yaml", "project": "pipelinekit.yaml"}  # fmt: skip


def resolved(folder: Path, **files: str | None) -> Resolved:
    found, findings = check(make_project(folder, **files))
    assert [f for f in findings if f.severity is Severity.ERROR] == []
    return found


def changed(folder: Path, kind: str, old: str, new: str) -> Diff:
    """What comes of replacing `old` by `new` in the project's one file of that kind."""
    text = FILES[KIND_OF[kind]]
    assert old in text
    before = resolved(folder / "old")
    return diff(before, resolved(folder / "new", **{kind: text.replace(old, new)}))


def item(of: Diff, kind: str = "metric") -> Item:
    (found,) = (i for i in of.items if i.kind == kind)
    return found
