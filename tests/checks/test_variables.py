"""Variables that some environment sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.diagnostics import Severity
from tests.spec.projects import PROJECT, SINK, SOURCE, check, make_project

TWO = PROJECT + "  production: { KAFKA: 'k:9092', TOPIC: events, protected: true }\n"


def found(folder: Path, environment: str = "local") -> list[str]:
    findings = check(folder, environment)[1]
    assert all(f.severity is Severity.WARNING for f in findings)
    return [f"{f.code}@{f.span.line}:{f.span.column} {f.message}; {f.help}" for f in findings]


def test_a_name_that_no_environment_sets_is_named_with_the_nearest(tmp_path: Path) -> None:
    folder = make_project(
        tmp_path,
        source=SOURCE.replace("${KAFKA}", "${KAKFA}"),
        sink=SINK.replace("${CLICKHOUSE}", "${STORE}"),
    )
    assert found(folder) == [
        "PK413@4:6 STORE is set in no environment of pipelinekit.yaml; "
        "the variables are CLICKHOUSE, KAFKA",
        "PK413@4:10 KAKFA is set in no environment of pipelinekit.yaml; did you mean KAFKA?",
    ]


@pytest.mark.parametrize("environment", ["local", "production"])
def test_what_one_environment_sets_another_may_leave_to_the_process(
    tmp_path: Path, environment: str
) -> None:
    source = SOURCE.replace("topic: events", "topic: ${TOPIC}")
    assert found(make_project(tmp_path, project=TWO, source=source), environment) == []


@pytest.mark.parametrize(
    "brokers",
    ["${KAKFA:-kafka:9092}", "${KAKFA} # pipelinekit: ignore PK413 because the pod sets it"],
)
def test_a_default_or_a_reason_is_enough(tmp_path: Path, brokers: str) -> None:
    assert found(make_project(tmp_path, source=SOURCE.replace("${KAFKA}", brokers))) == []


def test_protected_is_no_variable(tmp_path: Path) -> None:
    source = SOURCE.replace("topic: events", "topic: ${protected}")
    (only,) = found(make_project(tmp_path, project=TWO, source=source))
    assert only.startswith("PK413@3:8 protected is set in no environment")


def test_a_project_that_declares_none_leaves_all_to_the_process(tmp_path: Path) -> None:
    assert found(make_project(tmp_path, project="spec_version: 1\n")) == []


def test_a_project_file_that_cannot_be_read_is_the_only_thing_said(tmp_path: Path) -> None:
    codes = [f.code for f in check(make_project(tmp_path, project="spec_version: [\n"))[1]]
    assert "PK413" not in codes
