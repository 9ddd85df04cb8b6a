"""Findings for other programs: SARIF 2.1.0 for code scanning, JUnit for test reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from pipelinekit.diagnostics import Diagnostic, Report, Severity

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(report: Report) -> str:
    """One run; a rule for each code that was found, with its page."""
    from pipelinekit.spec.findings import pages

    found = report.sorted()
    silenced = report.sorted_suppressed()
    known = pages()
    codes = sorted({f.code for f in (*found, *(s.finding for s in silenced))})
    rules = []
    for code in codes:
        rule: dict[str, object] = {"id": code}
        if (page := known.get(code)) is not None:
            rule["shortDescription"] = {"text": page.title}
            rule["fullDescription"] = {"text": page.why}
            rule["help"] = {"text": f"pipelinekit explain {code}"}
        rules.append(rule)
    driver = {"name": "pipelinekit", "version": version("pipelinekit"), "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            *(_result(f, codes.index(f.code)) for f in found),
            *(
                {
                    **_result(s.finding, codes.index(s.finding.code)),
                    "suppressions": [{"kind": "inSource", "justification": s.reason}],
                }
                for s in silenced
            ),
        ],
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def junit(report: Report) -> str:
    """A test case for each finding, failed by an error; one that passed if there is none.

    Warnings that comments silence are skipped cases.
    """
    found, silenced = report.sorted(), report.sorted_suppressed()
    errors = sum(f.severity is Severity.ERROR for f in found)
    suite = ET.Element(
        "testsuite",
        name="pipelinekit validate",
        tests=str(len(found) + len(silenced) or 1),
        failures=str(errors),
        errors="0",
        skipped=str(len(silenced)),
    )
    if not found and not silenced:
        ET.SubElement(suite, "testcase", classname="specs", name=f"{report.files} files")
    for finding in found:
        _case(suite, finding)
    for one in silenced:
        ET.SubElement(_case(suite, one.finding), "skipped", message=printable(one.reason))
    return xml(suite)


def xml(suite: ET.Element) -> str:
    """A JUnit document of one suite."""
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def printable(text: str) -> str:
    """The text without what XML can't hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)


def _result(finding: Diagnostic, rule: int) -> dict[str, object]:
    span = finding.span
    text = finding.message + (f" ({finding.help})" if finding.help else "")
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    place = {"artifactLocation": {"uri": _uri(span.file)}, "region": region}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": "error" if finding.severity is Severity.ERROR else "warning",
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    from urllib.parse import quote

    return Path(file).as_uri() if Path(file).is_absolute() else quote(Path(file).as_posix())


def _case(suite: ET.Element, finding: Diagnostic) -> ET.Element:
    place = f"{finding.span.file}:{finding.span.line}:{finding.span.column}"
    case = ET.SubElement(
        suite, "testcase", classname=printable(finding.span.file), name=f"{finding.code} {place}"
    )
    text = printable("\n".join([finding.message, *([finding.help] if finding.help else [])]))
    if finding.severity is Severity.ERROR:
        failure = ET.SubElement(case, "failure", message=printable(finding.message))
        failure.text = text
    else:
        ET.SubElement(case, "system-out").text = text
    return case


def tests_junit(cases: Sequence[tuple[str, str, float, str | None]]) -> str:
    """Tests with time as JUnit: (metric, name, seconds, what failed or None)."""
    suite = ET.Element(
        "testsuite",
        name="pipelinekit test",
        tests=str(len(cases)),
        failures=str(sum(why is not None for *_, why in cases)),
        errors="0",
        time=f"{sum(seconds for _, _, seconds, _ in cases):.3f}",
    )
    for metric, name, seconds, why in cases:
        case = ET.SubElement(
            suite, "testcase", classname=metric, name=printable(name), time=f"{seconds:.3f}"
        )
        if why is not None:
            failure = ET.SubElement(case, "failure", message=printable(why.splitlines()[0]))
            failure.text = printable(why)
    return xml(suite)
