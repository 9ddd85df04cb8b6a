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


@pytest.mark.parametrize(
    "window",
    [
        "sliding: 5m, every: 10s",
        "sliding: 36h, every: 1h",
        "sliding: 7d, every: 1d, timezone: Europe/Brussels",
        "sliding: 28d, every: 1w",
        "session: 30m",
        "session: 30m, max: 6h",
        "cumulative: 1h, every: 30s",
        "cumulative: 1d, every: 1m, timezone: Europe/Brussels",
        "cumulative: 1mo, every: 1d",
    ],
)
def test_windows_of_every_kind_are_fine(tmp_path: Path, window: str) -> None:
    assert found(tmp_path, window) == []


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("tumbling: 1m, sliding: 5m, every: 10s", "PK350"),
        ("every: 10s", "PK350"),
        ("sliding: 5m", "PK350"),
        ("cumulative: 1d", "PK350"),
        ("tumbling: 5m, every: 10s", "PK350"),
        ("session: 30m, every: 10s", "PK350"),
        ("session: 30m, timezone: Europe/Brussels", "PK350"),
        ("sliding: 5m, every: 7s", "PK301"),
        ("sliding: 5m, every: 5m", "PK301"),
        ("sliding: 1h, every: 1s", "PK301"),
        ("sliding: 14h, every: 7h", "PK301"),
        ("sliding: 5m, every: 0s", "PK301"),
        ("sliding: 5m, every: soon", "PK300"),
        ("sliding: 5m, every: 10s, timezone: Europe/Brussels", "PK303"),
        ("sliding: 7d, every: 1d, timezone: Mars/Olympus", "PK303"),
        ("session: 12h", "PK301"),
        ("session: 1h, max: 30m", "PK301"),
        ("cumulative: 1h, every: 7m", "PK301"),
        ("cumulative: 1h, every: 1h", "PK301"),
        ("cumulative: 1w, every: 2d", "PK301"),
        ("cumulative: 7m, every: 1m", "PK301"),
    ],
)
def test_windows_that_do_not_fit_are_found(tmp_path: Path, window: str, code: str) -> None:
    assert code in found(tmp_path, window)


def test_a_session_without_a_key_with_rollups_or_emit_is_found(tmp_path: Path) -> None:
    metric = METRIC.replace("{ tumbling: 1m }", "{ session: 30m }").split("tests:")[0]
    keyless = make_project(tmp_path / "a", metric=metric.replace("key: [country]\n", ""))
    rolled = make_project(tmp_path / "b", metric=metric + "rollups: [1h]\n")
    early = make_project(tmp_path / "c", metric=metric + "emit: { early: 1s, late: 1s }\n")
    codes = [[f.code for f in check(folder)[1]] for folder in (keyless, rolled, early)]
    assert [c.count("PK351") for c in codes] == [1, 1, 0]
    assert [c.count("PK361") for c in codes] == [0, 0, 1]


def test_a_metric_whose_window_can_not_be_read_has_findings_of_its_shape_only(
    tmp_path: Path,
) -> None:
    text = METRIC.replace("name: views", "name: others").replace("1m }", "1m, a: 1 }")
    _, findings = check(make_project(tmp_path, metric=text))
    assert sorted(f.code for f in findings) == ["PK101", "PK108"]
