"""A file's bytes → its text, or findings: what can't be read, and what a reader wouldn't see."""

from __future__ import annotations

import re

from pipelinekit.diagnostics import Diagnostic, Span

BYTES_MAX = 256 * 1024

# Controls, what libyaml takes for a line break and YAML 1.2 doesn't, and marks that turn the
# direction of text: a reader would see another file than the parser does.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|\r(?!\n)"
)
_UNSEEN_MAX = 20


def decoded(data: bytes, file: str) -> tuple[str, tuple[Diagnostic, ...]]:
    """The text; with findings it is not to be parsed, and may hold replacements."""
    text, finding = _decoded(data, file)
    return (text, (finding,)) if finding is not None else (text, _unseen(text, file))


def _decoded(data: bytes, file: str) -> tuple[str, Diagnostic | None]:
    if len(data) > BYTES_MAX:
        message = f"the file has more than {BYTES_MAX:,} bytes"
        return "", Diagnostic("PK002", message, Span(file), "split it: one metric a file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:3] == b"\xef\xbb\xbf":
        message = "the file starts with a byte order mark"
        return "", Diagnostic("PK001", message, Span(file), "save it as UTF-8 without a mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start]
        column = len(before.decode("utf-8")) + 1
        place = Span(file, line, column, line, column + 1)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        text = data.decode("utf-8", "replace")
        return text, Diagnostic("PK001", message, place, "save the file as UTF-8")
    return text, None


def _unseen(text: str, file: str) -> tuple[Diagnostic, ...]:
    findings = []
    for found in _UNSEEN.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        code = f"U+{ord(found[0]):04X}"
        findings.append(
            Diagnostic(
                "PK011",
                f"a character that can't be seen ({code}) stands here",
                Span(file, line, column, line, column + 1),
                f'delete it; where it is meant, write "\\u{ord(found[0]):04x}" in double quotes',
            )
        )
        if len(findings) == _UNSEEN_MAX:
            break
    return tuple(findings)
