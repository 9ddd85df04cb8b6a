"""SARIF and JUnit, as other programs read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.spec.projects import METRIC, make_project

COMMAND = [sys.executable, "-m", "pipelinekit.cli.main"]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    metric = METRIC.replace("n: count()", "n: cout()").replace("tumbling: 1m", "tumbling: 61s")
    return make_project(tmp_path / "specs", metric=metric)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)


def test_sarif_points_at_each_finding_and_explains_its_rule(broken: Path) -> None:
    done = run("validate", broken, "--format", "sarif")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["version"] == "2.1.0"
    (found,) = document["runs"]
    rules = found["tool"]["driver"]["rules"]
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        file = place["artifactLocation"]["uri"].removeprefix("file://")
        line = Path(file).read_text().splitlines()[place["region"]["startLine"] - 1]
        assert line[place["region"]["startColumn"] - 1 :].strip()
    assert "PK204" in {r["ruleId"] for r in found["results"]}
    assert all(rule["shortDescription"]["text"] for rule in rules)


def test_silenced_warnings_are_suppressions_and_skipped_cases(tmp_path: Path) -> None:
    lateness = "lateness: { allowed: 1s } # pipelinekit: ignore PK306 because events come sorted"
    metric = METRIC.replace("lateness: { allowed: 10m }", lateness)
    folder = make_project(tmp_path / "specs", metric=metric)
    done = run("validate", folder, "--format", "sarif")
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    assert result["ruleId"] == "PK306"
    suppression = {"kind": "inSource", "justification": "events come sorted"}
    assert result["suppressions"] == [suppression]
    suite = ET.fromstring(run("validate", folder, "--format", "junit").stdout)[0]
    assert (suite.attrib["tests"], suite.attrib["skipped"]) == ("1", "1")
    skipped = suite.find("testcase/skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "events come sorted"


def test_junit_fails_a_case_for_each_error(broken: Path, tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    run("validate", broken, "--report", f"junit={report}")
    suite = ET.parse(report).getroot()[0]
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) > 0


def test_junit_of_a_clean_project_has_a_case_that_passed(tmp_path: Path) -> None:
    done = run("validate", make_project(tmp_path / "specs"), "--format", "junit")
    assert done.returncode == 0
    suite = ET.fromstring(done.stdout)[0]
    assert suite.attrib["failures"] == "0"


def test_tests_with_time_are_cases_and_a_failed_one_shows_its_table(tmp_path: Path) -> None:
    wrong = METRIC.replace("BE, n: 1", "BE, n: 2")
    done = run("test", make_project(tmp_path / "specs", metric=wrong), "--format", "junit")
    assert done.returncode == 1
    suite = ET.fromstring(done.stdout)[0]
    (case,) = suite.findall("testcase")
    failure = case.find("failure")
    assert failure is not None
    assert "actual" in (failure.text or "")
