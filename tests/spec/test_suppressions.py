"""Comments that silence warnings, and what is found in those that don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.cli.common import check as check_command
from pipelinekit.diagnostics import Report
from pipelinekit.spec.formatting import formatted
from tests.spec.projects import METRIC, SOURCE, make_project

LATE = "lateness: { allowed: 1s }"
SLOW = METRIC.replace("lateness: { allowed: 10m }", LATE)
WHY = "because the sender sorts its events"


def reported(folder: Path, metric: str = METRIC, **files: str | bytes | None) -> Report:
    return check_command([make_project(folder, metric=metric, **files)], "local").report


def found(report: Report) -> list[tuple[str, int, int]]:
    return [(f.code, f.span.line, f.span.column) for f in report.sorted()]


@pytest.mark.parametrize(
    "lines",
    [
        f"{LATE}   # pipelinekit: ignore PK306 {WHY}",
        f"# pipelinekit: ignore PK306 {WHY}\n{LATE}",
        f"# pipelinekit: ignore PK306 {WHY}\n# and it is so since May\n{LATE}",
        f"#pipelinekit:ignore PK306 {WHY}\n{LATE}",
    ],
)
def test_warning_is_silenced_at_its_line_and_above_it(tmp_path: Path, lines: str) -> None:
    report = reported(tmp_path, SLOW.replace(LATE, lines))
    assert found(report) == []
    (silenced,) = report.suppressed
    assert silenced.finding.code == "PK306"
    assert silenced.reason == "the sender sorts its events"


def test_one_comment_silences_several_codes_of_its_line(tmp_path: Path) -> None:
    source = SOURCE.replace("dead_letters: { topic: dead }\n", "")
    source = f"# pipelinekit: ignore PK411 because nothing is ever refused\n{source}"
    twice = f"{LATE} # pipelinekit: ignore PK306, PK305 {WHY}"
    report = reported(tmp_path, SLOW.replace(LATE, twice), source=source)
    assert [s.finding.code for s in report.sorted_suppressed()] == ["PK306", "PK411"]
    assert [f.code for f in report.sorted()] == ["PK064"]  # there is no PK305 in that line


@pytest.mark.parametrize(
    ("comment", "code", "at"),
    [
        ("# pipelinekit: ignore", "PK060", "# pipe"),
        ("# pipelinekit: ignore all because it is so", "PK060", "# pipe"),
        ("# pipelinekit: disable PK306 because it is so", "PK060", "# pipe"),
        ("# pipelinekit: ignore PK306", "PK061", "# pipe"),
        ("# pipelinekit: ignore PK306 because", "PK061", "# pipe"),
        ("# pipelinekit: ignore PK306 because ...", "PK061", "# pipe"),
        ("# pipelinekit: ignore PK306: it is so", "PK061", "# pipe"),
        ("# pipelinekit: ignore PK396 because it is so", "PK062", "PK396"),
        ("# pipelinekit: ignore PK300 because it is so", "PK063", "PK300"),
        ("# pipelinekit: ignore PK064 because it is so", "PK063", "PK064"),
        ("# pipelinekit: ignore PK305 because it is so", "PK064", "PK305"),
    ],
)
def test_comment_that_silences_nothing_is_found(
    tmp_path: Path, comment: str, code: str, at: str
) -> None:
    metric = SLOW.replace(LATE, f"{LATE} {comment}")
    report = reported(tmp_path, metric)
    assert sorted(f.code for f in report.findings) == sorted([code, "PK306"])
    place = next(f.span for f in report.findings if f.code == code)
    assert metric.split("\n")[place.line - 1][place.column - 1 :].startswith(at)
    assert not report.has_errors


def test_an_unused_comment_names_the_line_where_its_warning_is(tmp_path: Path) -> None:
    metric = SLOW.replace("sink: store", f"sink: store # pipelinekit: ignore PK306 {WHY}")
    unused = next(f for f in reported(tmp_path, metric).findings if f.code == "PK064")
    line = metric.split("\n").index(LATE) + 1
    assert unused.help == f"PK306 is found in line {line}: move the comment there, or above it"


def test_what_looks_like_a_comment_inside_a_text_is_none(tmp_path: Path) -> None:
    texts = (
        f"description: 'a # pipelinekit: ignore PK306 {WHY}'\n",
        "description: |\n  # pipelinekit: ignore\n  b\n",
        "# of pipelinekit: it ignores nothing\n",
    )
    for number, text in enumerate(texts):
        report = reported(tmp_path / str(number), METRIC.replace("sink:", f"{text}sink:"))
        assert found(report) == []


def test_comment_after_a_text_of_several_lines_is_one(tmp_path: Path) -> None:
    lines = f"description: |\n  a\n\n# pipelinekit: ignore PK306 {WHY}\n{LATE}"
    assert found(reported(tmp_path, SLOW.replace(LATE, lines))) == []


def test_no_comment_is_called_idle_while_errors_hide_what_it_is_for(tmp_path: Path) -> None:
    metric = SLOW.replace(LATE, f"{LATE} # pipelinekit: ignore PK306 {WHY}")
    metric = metric.replace("n: count()", "n: cout()")
    assert [f.code for f in reported(tmp_path, metric).findings] == ["PK204"]


def test_comments_in_the_project_file_silence_what_defaults_cause(tmp_path: Path) -> None:
    project = f"spec_version: 1\ndefaults:\n  {LATE}  # pipelinekit: ignore PK306 {WHY}\n"
    metric = METRIC.replace("lateness: { allowed: 10m }\n", "")
    report = reported(tmp_path, metric, project=project)
    assert found(report) == []
    assert len(report.suppressed) == 1


def test_comments_go_with_their_keys_when_the_file_is_put_in_form(tmp_path: Path) -> None:
    slow = f"# pipelinekit: ignore PK305 {WHY}\nslo: {{ latency_p99: 100ms }}\n"
    late = f"lateness: {{ allowed: 1000ms }}   # pipelinekit: ignore PK306 {WHY}\n"
    metric = slow + late + SLOW.replace(f"{LATE}\n", "")
    form = formatted(metric, "views.yaml")
    assert form.index("slo:") > form.index("lateness: { allowed: 1s }   # pipe") > 0
    for number, text in enumerate((metric, form)):
        report = reported(tmp_path / str(number), text)
        assert found(report) == []
        assert [s.finding.code for s in report.suppressed] == ["PK305", "PK306"]
