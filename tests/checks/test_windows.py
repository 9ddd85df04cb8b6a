"""Windows, rollups, lateness and emission that fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, check, make_project


def found(tmp_path: Path, window: str, more: str = "") -> list[str]:
    metric = METRIC.replace("{ tumbling: 1m }", f"{{ {window} }}") + more
    metric = metric.split("tests:")[0] + more
    folder = make_project(tmp_path, metric=metric)
    return [f.code for f in check(folder)[1] if f.code != "PK600"]


@pytest.mark.parametrize(
    ("window", "rollups"),
    [
        ("tumbling: 1m", "1h"),
        ("tumbling: 10s", "1m, 1h, 1d, 1w, 1mo"),
        ("tumbling: 60s", "1440m, 7d, 1mo"),
        ("tumbling: 1d, timezone: Europe/Brussels", "{ size: 1w, timezone: Europe/Brussels }"),
        ("tumbling: 1h", "{ size: 1d, timezone: Europe/Brussels }"),
        ("tumbling: 30m", "{ size: 1d, timezone: Asia/Kolkata }"),
        ("tumbling: 15m", "{ size: 1d, timezone: Asia/Kathmandu }"),
        ("tumbling: 1m", "1w, { size: 1mo, timezone: Europe/Brussels }"),
    ],
)
def test_rollups_of_whole_windows_are_fine(tmp_path: Path, window: str, rollups: str) -> None:
    assert found(tmp_path, window, f"rollups: [{rollups}]\n") == []


@pytest.mark.parametrize(
    ("window", "rollups", "code"),
    [
        ("tumbling: 1m", "90s", "PK302"),
        ("tumbling: 1h", "10m", "PK302"),
        ("tumbling: 1m", "1h, 10m", "PK302"),
        ("tumbling: 1w", "1mo", "PK302"),
        ("tumbling: 1d", "{ size: 1mo, timezone: Europe/Brussels }", "PK302"),
        ("tumbling: 1h", "{ size: 1d, timezone: Asia/Kolkata }", "PK302"),
        ("tumbling: 1h", "{ size: 1d, timezone: Australia/Lord_Howe }", "PK302"),
        ("tumbling: 1m", "1m", "PK111"),
        ("tumbling: 1m", "1d, { size: 24h, timezone: Europe/Brussels }", "PK111"),
    ],
)
def test_rollups_that_would_cut_a_window_are_found(
    tmp_path: Path, window: str, rollups: str, code: str
) -> None:
    assert code in found(tmp_path, window, f"rollups: [{rollups}]\n")


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("tumbling: 7m", "PK301"), ("tumbling: 2d", "PK301"), ("tumbling: 0s", "PK301"),
        ("tumbling: 25h", "PK301"), ("tumbling: 2mo", "PK300"), ("tumbling: soon", "PK300"),
        ("tumbling: 400d", "PK300"), ("tumbling: 1m, timezone: UTC", "PK303"),
        ("tumbling: 1d, timezone: Mars/Base", "PK303"),
    ],
)  # fmt: skip
def test_window_that_can_not_be_is_found(tmp_path: Path, window: str, code: str) -> None:
    assert found(tmp_path, window) == [code]


@pytest.mark.parametrize(
    ("emit", "codes"),
    [
        ("early: 50ms, late: 50ms", []),
        ("early: 49ms", ["PK304"]),
        ("late: 0s", ["PK304"]),
        ("early: 1m", []),
        ("early: 61s", ["PK304"]),
    ],
)
def test_emission_has_bounds(tmp_path: Path, emit: str, codes: list[str]) -> None:
    assert found(tmp_path, "tumbling: 1m", f"emit: {{ {emit} }}\n") == codes


def test_objective_below_the_pause_between_rows_is_a_warning(tmp_path: Path) -> None:
    assert found(tmp_path, "tumbling: 1m", "slo: { latency_p99: 200ms }\n") == ["PK305"]
    assert found(tmp_path, "tumbling: 1m", "slo: { latency_p99: 201ms }\n") == []


@pytest.mark.parametrize(("allowed", "codes"), [("0s", []), ("1s", ["PK306"]), ("2s", [])])
def test_lateness_below_the_disorder_is_a_warning_unless_it_is_none(
    tmp_path: Path, allowed: str, codes: list[str]
) -> None:
    folder = make_project(tmp_path, metric=METRIC.replace("allowed: 10m", f"allowed: {allowed}"))
    assert [f.code for f in check(folder)[1]] == codes
