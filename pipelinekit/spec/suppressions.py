"""Warnings that a comment in the spec silences, with its reason; and comments that silence none.

    lateness: { allowed: 1s }    # pipelinekit: ignore PK306 because the sender sorts its events

The comment stands at the end of the line that the warning is about, or alone on the line before it.
Errors can't be silenced, and a comment that does nothing is a finding itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipelinekit.diagnostics import Diagnostic, Report, Severity, Span, Suppressed
from pipelinekit.spec.document import Document, Entries, Items, Node

_COMMENT = re.compile(
    r"(?:^|(?<=\s))#+[ \t]*pipelinekit[ \t]*:[ \t]*"
    r"(?P<rest>(?:ignore|disable|suppress|silence|skip|allow|noqa)\b.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_FORM = re.compile(
    r"ignore[ \t]+(?P<codes>PK\d{3}(?:[ \t]*,[ \t]*PK\d{3})*)(?P<reason>(?:[ \t]+because\b.*)?)"
)
_CODE = re.compile(r"PK\d{3}")
_REASON = re.compile(r"[ \t]+because[ \t]+(?P<words>\S.*)")
_LETTERS_MIN = 3
_EXAMPLE = "# pipelinekit: ignore PK305 because REASON"
_OWN = "PK06"
UNUSED = "PK064"


class Suppression(NamedTuple):
    """One code that a comment silences on `line`; `place` is the code's own, in the comment."""

    code: str
    reason: str
    line: int
    place: Span


def suppress(report: Report, documents: Mapping[str, Document]) -> None:
    """Move silenced warnings from the report's findings to `suppressed`; note useless comments.

    That a comment silences nothing is only said where no error may have hidden what it is for.
    """
    found = [s for document in documents.values() for s in _suppressions(document, report)]
    wanted = {(s.place.file, s.line, s.code): s for s in found}
    used = set()
    kept = []
    for finding in report.findings:
        where = (finding.span.file, finding.span.line, finding.code)
        if where in wanted and finding.severity is Severity.WARNING:
            used.add(where)
            report.suppressed.append(Suppressed(finding, wanted[where].reason))
        else:
            kept.append(finding)
    report.findings = kept
    if not report.has_errors:
        report.add(*(_unused(s, report) for key, s in wanted.items() if key not in used))


def _suppressions(document: Document, report: Report) -> Iterator[Suppression]:
    """Those of a document that are written well; what is wrong with others is noted."""
    if document.root is None or "pipelinekit:" not in document.text.replace(" :", ":").lower():
        return
    lines = document.text.split("\n")
    for match in _COMMENT.finditer(document.text):
        number = document.text.count("\n", 0, match.start()) + 1
        column = match.start() - document.text.rfind("\n", 0, match.start())
        if _is_in_a_value(document.root, number, column):
            continue
        line = number if lines[number - 1][: column - 1].strip() else _next_line(lines, number)
        start = column + match.start("rest") - match.start()
        rest = match["rest"].rstrip()
        whole = Span(document.file, number, column, number, start + len(rest))
        form = _FORM.match(rest)
        if form is None:
            message = "the comment silences nothing: it names no code of a finding"
            report.add(_warning("PK060", message, whole, f"write {_EXAMPLE}"))
            continue
        reason = _REASON.fullmatch(rest[form.end("codes") :])
        if reason is None or sum(c.isalpha() for c in reason["words"]) < _LETTERS_MIN:
            message = "the comment silences nothing: it gives no reason"
            help = f"say why it is meant: # pipelinekit: ignore {form['codes']} because …"
            report.add(_warning("PK061", message, whole, help))
            continue
        for code in _CODE.finditer(form["codes"]):
            at = start + form.start("codes") + code.start()
            place = Span(document.file, number, at, number, at + len(code[0]))
            if (why := _not_silenced(code[0], place)) is not None:
                report.add(why)
            else:
                yield Suppression(code[0], reason["words"], line, place)


def _next_line(lines: list[str], number: int) -> int:
    """The line that a comment alone on its line is about: the next that is no comment."""
    while number < len(lines) and lines[number].lstrip().startswith("#"):
        number += 1
    return number + 1


def _not_silenced(code: str, place: Span) -> Diagnostic | None:
    """Why no comment can silence findings of the code, or None."""
    from pipelinekit.spec.findings import pages  # read where there is such a comment only

    known = pages()
    if code not in known:
        close = difflib.get_close_matches(code, known, n=1)
        help = f"did you mean {close[0]}?" if close else "list the codes: pipelinekit explain"
        return _warning("PK062", f"there is no finding {code}", place, help)
    if known[code].severity != "warning" or code.startswith(_OWN):
        message = f"{code} can't be silenced: {known[code].title}"
        return _warning("PK063", message, place, f"mend it: pipelinekit explain {code}")
    return None


def _unused(suppression: Suppression, report: Report) -> Diagnostic:
    code, place = suppression.code, suppression.place
    lines = sorted(
        f.span.line for f in report.findings if f.code == code and f.span.file == place.file
    )
    help = "delete the comment"
    if lines:
        help = f"{code} is found in line {lines[0]}: move the comment there, or above it"
    return _warning(UNUSED, f"there is no {code} in line {suppression.line}", place, help)


def _warning(code: str, message: str, place: Span, help: str) -> Diagnostic:
    return Diagnostic(code, message, place, help, severity=Severity.WARNING)


def _is_in_a_value(node: Node, line: int, column: int) -> bool:
    """Whether the place lies inside a text, where # is no comment."""
    match node:
        case Entries(nodes=nodes, keys=keys):
            inside = any(_holds(span, line, column) for span in keys.values())
            return inside or any(_is_in_a_value(n, line, column) for n in nodes.values())
        case Items(nodes=items):
            return any(_is_in_a_value(n, line, column) for n in items)
        case _:
            return _holds(node.span, line, column)


def _holds(span: Span, line: int, column: int) -> bool:
    return (span.line, span.column) <= (line, column) < (span.end_line, span.end_column)
