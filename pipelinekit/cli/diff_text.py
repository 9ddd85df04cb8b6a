"""A diff as text for a terminal, as JSON, and as a pull request's comment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from pipelinekit.cli.render import rendered
from pipelinekit.diagnostics import Diagnostic, Report
from pipelinekit.plan.diff import Diff
from pipelinekit.plan.verdicts import Change, Item, Verdict
from pipelinekit.spec.document import Document

_SHOWN_MAX = 160
_FINDINGS_MAX, _ROWS_MAX, _DDL_MAX = 12_000, 30_000, 15_000  # characters of a comment
_GRAVITY = (
    *(Verdict.BREAKING, Verdict.NEW_TABLE, Verdict.REPLAY, Verdict.REMOVED, Verdict.ADDED),
    *(Verdict.IN_PLACE, Verdict.UNCHANGED),
)
_MARKER = "<!-- pipelinekit diff -->"  # lets a workflow find its own comment
_MEANING = {
    Verdict.IN_PLACE: "holds from now on",
    Verdict.REPLAY: "rows that stand there were made by other rules",
    Verdict.NEW_TABLE: "rows go to tables of their own",
    Verdict.BREAKING: "who reads the rows must change what they read",
    Verdict.ADDED: "new",
    Verdict.REMOVED: "gone",
}


def text(diff: Diff, documents: Mapping[str, Document]) -> str:
    """The diff for a terminal: changed items, their statements, then the findings."""
    lines = []
    for item in _changed(diff):
        lines.append(f"{item.kind} {item.name}: {item.verdict.value}")
        lines += [f"  {change.verdict.value:<9}  {_change(change)}" for change in item.changes]
        lines += [f"  {line}" for line in _touched(item)]
    if unchanged := _unchanged(diff):
        lines.append(f"unchanged: {unchanged}")
    for found in diff.statements:
        lines.append(f"-- sink {found.sink}")
        if found.refused is not None:
            lines.append(f"-- none: {_cut(found.refused)}")
        lines += [_cut(" ".join(statement.split())) for statement in found.statements]
    findings = rendered("text", Report(list(diff.findings)), documents)
    return "\n".join(lines) + "\n" + findings


def as_json(diff: Diff, documents: Mapping[str, Document]) -> str:
    """The whole diff as one JSON document; unchanged items are there too."""
    items = [
        {
            "kind": item.kind,
            "name": item.name,
            "verdict": item.verdict.value,
            "changes": [
                {"what": c.what, "old": c.old, "new": c.new, "verdict": c.verdict.value}
                for c in item.changes
            ],
            "tables": list(item.tables),
            "left": list(item.left),
            "state": item.state or None,
        }
        for item in diff.items
    ]
    ddl = [
        {"sink": s.sink, "statements": list(s.statements), "refused": s.refused}
        for s in diff.statements
    ]
    found = json.loads(rendered("json", Report(list(diff.findings)), documents))["findings"]
    return json.dumps({"items": items, "ddl": ddl, "findings": found}, ensure_ascii=False) + "\n"


def github(diff: Diff, documents: Mapping[str, Document]) -> str:
    """The diff as Markdown, for a comment on a pull request: the gravest first.

    A comment has at most 65,536 characters; what would go beyond is counted.
    """
    changed = sorted(_changed(diff), key=lambda item: _GRAVITY.index(item.verdict))
    counts = Counter(item.verdict for item in changed)
    head = ", ".join(f"{counts[v]} {v.value}" for v in Verdict if v in counts) or "no change"
    lines = [_MARKER, f"### pipelinekit diff: {head}", ""]
    findings = [f"{_quoted(finding)}\n" for finding in diff.findings]
    lines += _within(findings, _FINDINGS_MAX, "> … and {} more findings\n")
    if changed:
        lines += ["| | Verdict | Because |", "|---|---|---|"]
        lines += _within([_row(item) for item in changed], _ROWS_MAX, "| … and {} more | | |")
        lines += ["", *(f"- `{v.value}`: {_MEANING[v]}" for v in Verdict if v in counts)]
    if unchanged := _unchanged(diff):
        lines += ["", f"Unchanged: {unchanged}."]
    for found in diff.statements:
        body = [f"-- none: {found.refused}"] if found.refused is not None else []
        body += [f"{statement};" for statement in found.statements]
        body = _within(body, _DDL_MAX // len(diff.statements), "-- … and {} more statements")
        fence = _fence("\n".join(body), 3)
        lines += ["", f"<details><summary>DDL of sink {found.sink}</summary>", ""]
        lines += [f"{fence}sql", *body, fence, "", "</details>"]
    return "\n".join(lines) + "\n"


def _quoted(finding: Diagnostic) -> str:
    place = _code(f"{finding.span.file}:{finding.span.line}")
    said = f"{_escaped(finding.message)}; {_escaped(finding.help or '')}"
    return f"> **{finding.code}** {place}: {said}"


def _row(item: Item) -> str:
    said = [
        f"{_escaped(c.what)}: {_value(c.old)} → {_value(c.new)} ({c.verdict.value})"
        for c in item.changes
    ]
    reasons = "<br>".join([*said, *map(_escaped, _touched(item))])
    return f"| {item.kind} {_code(item.name)} | **{item.verdict.value}** | {reasons} |"


def _within(lines: Sequence[str], limit: int, more: str) -> list[str]:
    """As many of the lines as have room, and a line that counts the others."""
    kept: list[str] = []
    for place, line in enumerate(lines):
        limit -= len(line) + 1
        if limit < 0:
            return [*kept, more.format(len(lines) - place)]
        kept.append(line)
    return kept


RENDERERS: dict[str, Callable[[Diff, Mapping[str, Document]], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
}


def _changed(diff: Diff) -> Iterator[Item]:
    return (item for item in diff.items if item.verdict is not Verdict.UNCHANGED)


def _unchanged(diff: Diff) -> str:
    counts = Counter(i.kind for i in diff.items if i.verdict is Verdict.UNCHANGED)
    return ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items())


def _change(change: Change) -> str:
    return f"{change.what}: {_shown(change.old)} → {_shown(change.new)}"


def _touched(item: Item) -> Iterator[str]:
    if item.tables:
        yield f"tables {', '.join(item.tables)}"
    if item.left:
        yield f"tables that stay, no longer written: {', '.join(item.left)}"
    if item.state:
        yield f"state {item.state}"


def _shown(value: str | None) -> str:
    if value is None:
        return "none"
    seen = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in value)
    return _cut(seen)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def _value(value: str | None) -> str:
    return "none" if value is None else _code(_shown(value))


def _code(text: str) -> str:
    """A code span, whatever the text holds; a bar would end a table's cell."""
    fence = _fence(text, 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def _fence(text: str, least: int) -> str:
    runs = [len(run) for run in "".join(c if c == "`" else " " for c in text).split()]
    return "`" * max(least, *(n + 1 for n in runs), least)


def _escaped(text: str) -> str:
    for character in "\\`*_<>|[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
