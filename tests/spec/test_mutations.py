"""A valid project with a piece of it replaced: findings inside the file, never an exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelinekit.cli.render import FORMATS, rendered
from pipelinekit.diagnostics import Report
from pipelinekit.spec.findings import pages
from tests.spec.projects import FILES, check, make_project

PIECES = (
    "", "null", "true", "[]", "{}", "[a, b]", "{ a: 1 }", "- a\n", "1", "-1", "0.5", "1e400", "''",
    '"\\u0000"', '"\\e[31m"', "9" * 50, "0x" + "f" * 30, "x" * 300, "${X}", "${X:-1}", "a: b: c",
    "kind", "name", "measures", "key", "expr", "ratio", "filter", "count()", "sum(sum(load))", "1d",
    "(", ")", "{", "}", "[", "]", "'", '"', ": ", ", ", "\n", "\n  ", " #", "#", "&a ", "*a",
    "!!x ", "é", "日本", "\u2028", "\t", "\r", "---\n", "contains", "__other__", "12:00",
    "2024-13-01",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, str]:
    file = draw(st.sampled_from(sorted(FILES)))
    text = FILES[file]
    for _ in range(draw(st.integers(1, 3))):
        tokens = sorted({0, len(text), *(i for i, c in enumerate(text) if not c.isalnum())})
        start = draw(st.sampled_from(tokens))
        end = draw(st.sampled_from([t for t in tokens if start <= t <= start + 40]))
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[end:]
    return {file: text}


@settings(deadline=None)
@given(mutated())
def test_no_mutation_raises_and_findings_lie_in_their_file(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        resolved, findings = check(make_project(Path(folder), **files))
        documents = resolved.project.documents
        for finding in findings:
            lines = documents[finding.span.file].text.count("\n") + 1
            assert 1 <= finding.span.line <= lines
            assert finding.span.column >= 1
            assert finding.code in pages()
        for format in FORMATS:
            rendered(format, Report(findings), documents)
