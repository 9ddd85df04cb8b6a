"""A folder of specs → one project: defaults, variables, secrets, names, and who is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.diagnostics import Severity
from pipelinekit.errors import UsageError
from pipelinekit.spec.layout import find_root
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import resolve
from tests.spec.projects import METRIC, PROJECT, SINK, SOURCE, check, make_project

BARE = METRIC.replace("lateness: { allowed: 10m }\nsink: store\n", "")


def said(folder: Path, environment: str = "local") -> list[str]:
    """`PK404 pipelinekit.yaml:2:19` for each finding."""
    return [
        f"{f.code} {Path(f.span.file).name}:{f.span.line}:{f.span.column}"
        for f in check(folder, environment)[1]
    ]


def test_root_is_found_upwards_and_in_specs(tmp_path: Path) -> None:
    make_project(tmp_path / "specs")
    assert find_root(tmp_path) == tmp_path / "specs"
    assert find_root(tmp_path / "specs/metrics/views.yaml") == tmp_path / "specs"


def test_no_project_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pipelinekit\.yaml"):
        find_root(tmp_path)


def test_defaults_fill_what_a_metric_leaves_out(tmp_path: Path) -> None:
    project = PROJECT + "defaults: { owner: me, sink: store, lateness: { allowed: 5m } }\n"
    resolved, findings = check(make_project(tmp_path, project=project, metric=BARE))
    spec = resolved.project.metrics["views"].spec
    assert findings == []
    assert (spec.owner, spec.sink, spec.lateness.allowed) == ("me", ["store"], 300_000)


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ("sink: stor, lateness: { allowed: 10m }", "PK404 pipelinekit.yaml:4:19"),
        ("sink: [store, stor], lateness: { allowed: 10m }", "PK404 pipelinekit.yaml:4:27"),
        ("sink: store, lateness: { allowed: 1s }", "PK306 pipelinekit.yaml:4:47"),
        ("sink: store, lateness: { allowed: 10 }", "PK300 pipelinekit.yaml:4:47"),
    ],
)
def test_wrong_default_is_said_once_where_it_stands(
    tmp_path: Path, defaults: str, expected: str
) -> None:
    folder = make_project(
        tmp_path,
        project=f"{PROJECT}defaults: {{ {defaults} }}\n",
        metric=BARE,
        **{"metrics/clicks.yaml": BARE.replace("name: views", "name: clicks")},
    )
    assert said(folder) == [expected]


def test_broken_source_is_not_called_missing(tmp_path: Path) -> None:
    folder = make_project(tmp_path, source=SOURCE.replace("topic: events", "topik: events"))
    assert said(folder) == ["PK101 events.yaml:3:1"]
    folder = make_project(tmp_path, source="kind: [", sink="kind: [")
    assert said(folder) == ["PK001 store.yaml:1:8", "PK001 events.yaml:1:8"]


def test_broken_metric_of_a_test_file_is_not_called_missing(tmp_path: Path) -> None:
    tests = "kind: test\nmetric: views\ntests: [{ name: x, steps: [{ restart: {} }] }]\n"
    folder = make_project(
        tmp_path, metric=METRIC.replace("measures:", "mesures:"),
        **{"metrics/views.test.yaml": tests},
    )  # fmt: skip
    assert said(folder) == ["PK101 views.yaml:6:1"]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("metrics/clicks.yaml", SOURCE.replace("name: events", "name: clicks"), "PK113"),
        ("sources/clicks.yaml", METRIC.replace("name: views", "name: clicks"), "PK113"),
        ("metric/clicks.yaml", METRIC, "PK114"),
        ("clicks.yaml", METRIC, "PK114"),
        ("metrics/clicks.test.yaml", METRIC.replace("name: views", "name: clicks"), "PK108"),
        ("metrics/tests.yaml", "kind: test\nmetric: views\ntests: []\n", "PK108"),
    ],
)
def test_file_in_the_wrong_place_is_a_finding(
    tmp_path: Path, file: str, text: str, expected: str
) -> None:
    assert expected in [s.split()[0] for s in said(make_project(tmp_path, **{file: text}))]


def test_links_to_nothing_and_folders_named_like_specs_are_named(tmp_path: Path) -> None:
    folder = make_project(
        tmp_path, **{"metrics/team.yaml/more.yaml": METRIC.replace("views", "more")}
    )
    (folder / "metrics/gone.yaml").symlink_to("../shared/gone.yaml")
    (folder / "metrics/loop.yaml").symlink_to("loop.yaml")
    (folder / "shared.yaml").write_text(METRIC.replace("name: views", "name: linked"))
    (folder / "metrics/linked.yaml").symlink_to("../shared.yaml")
    resolved, findings = check(folder)
    assert set(resolved.project.metrics) == {"views", "more", "linked"}
    assert [(f.code, Path(f.span.file).relative_to(folder), f.message) for f in findings] == [
        ("PK001", Path("metrics/gone.yaml"), "the file can't be read: No such file or directory"),
        (
            "PK001",
            Path("metrics/loop.yaml"),
            "the file can't be read: Too many levels of symbolic links",
        ),
        ("PK114", Path("metrics/team.yaml"), "a folder is named like a spec, and isn't one"),
        (
            "PK114",
            Path("shared.yaml"),
            "nothing reads this file: it lies outside sources, sinks, metrics",
        ),
    ]


def test_other_yaml_beside_the_project_is_left_alone(tmp_path: Path) -> None:
    files = {"compose.yaml": "services: {}\n", "metric/notes.yaml": "a: 1\n"}
    assert said(make_project(tmp_path, **files)) == []


# --- variables ----------------------------------------------------------------------------------

ENVIRONMENTS = """\
spec_version: 1
environments:
  local: { KAFKA: "127.0.0.1:9092", CLICKHOUSE: "http://127.0.0.1:8123", USER: 123, RATE: 5 }
  other: { KAFKA: "kafka:9092" }
"""


def test_variable_is_read_as_the_type_of_its_key(tmp_path: Path) -> None:
    sink = SINK + "user: ${USER}\nbudget: { rows_per_second: ${RATE} }\n".replace(
        "${RATE}", '"${RATE}"'
    )
    resolved, findings = check(make_project(tmp_path, project=ENVIRONMENTS, sink=sink))
    spec = resolved.project.sinks["store"].spec
    assert findings == []
    assert (spec.user, spec.budget.rows_per_second) == ("123", 5)


def test_variable_with_a_default_and_an_open_one(tmp_path: Path) -> None:
    sink = SINK.replace("database: analytics", "database: ${DB:-stats}\nuser: ${WHO}")
    resolved, findings = check(make_project(tmp_path, project=ENVIRONMENTS, sink=sink), "other")
    spec = resolved.project.sinks["store"].spec
    assert [(f.code, f.path) for f in findings] == [("PK413", "user")]  # WHO, set nowhere
    assert (spec.url, spec.database, spec.user) == ("${CLICKHOUSE}", "stats", "${WHO}")


def test_open_variable_fits_any_type(tmp_path: Path) -> None:
    sink = SINK.replace("analytics", "${DB}") + 'budget: { rows_per_second: "${RATE}" }\n'
    source = SOURCE.replace("topic: events", "topic: ${TOPIC}")
    folder = make_project(tmp_path, project=ENVIRONMENTS, sink=sink, source=source)
    assert said(folder) == ["PK413 store.yaml:5:11", "PK413 events.yaml:3:8"]  # not set, no more


def test_variable_of_the_wrong_type_is_a_finding_at_its_place(tmp_path: Path) -> None:
    project = ENVIRONMENTS.replace("RATE: 5", "RATE: fast")
    sink = SINK + 'budget: { rows_per_second: "${RATE}" }\n'
    assert said(make_project(tmp_path, project=project, sink=sink)) == ["PK104 store.yaml:6:28"]


def test_process_environment_fills_only_what_the_environment_leaves_open(tmp_path: Path) -> None:
    folder = make_project(tmp_path, project=ENVIRONMENTS)
    given = {"KAFKA": "elsewhere:1", "CLICKHOUSE": "http://given:8123"}
    project, _ = load(folder, "other", given)
    assert project.sources["events"].spec.brokers == "kafka:9092"
    assert project.sinks["store"].spec.url == "http://given:8123"


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("metric", "source: events", "source: events\nowner: ${ME}", "PK405 views.yaml:4:8"),
        ("metric", "kind = 'view'", "kind = '${K}'", "PK405 views.yaml:4:9"),
        ("project", "9092", '9092", B: "${X}', "PK405 pipelinekit.yaml:3:40"),
    ],
)
def test_variables_elsewhere_are_findings(
    tmp_path: Path, file: str, old: str, new: str, expected: str
) -> None:
    texts = {"metric": METRIC, "project": PROJECT}
    assert said(make_project(tmp_path, **{file: texts[file].replace(old, new)})) == [expected]


def test_text_of_a_test_may_look_like_a_variable(tmp_path: Path) -> None:
    metric = METRIC.replace("country: BE }]\n", 'country: "${X}" }]\n', 1)
    metric = metric.replace("country: BE, n", 'country: "${X}", n')
    assert said(make_project(tmp_path, metric=metric)) == []


# --- secrets ------------------------------------------------------------------------------------

CLEAR = [
    "password: hunter2\n",
    "password: 20232\n",
    'password: { secret: "hunter2!" }\n',
    "password: { value: hunter2 }\n",
    "password: [hunter2]\n",
    "password: ${PW}\n",
]


@pytest.mark.parametrize("line", CLEAR)
def test_clear_password_is_found_and_never_quoted(tmp_path: Path, line: str) -> None:
    project = PROJECT.replace("8123", '8123", PW: "hunter2')
    folder = make_project(tmp_path, project=project, sink=SINK + line)
    _, findings = check(folder)
    assert [f.code for f in findings] == ["PK407"]
    assert not any("hunter2" in f"{f.message} {f.help}" or "20232" in f.message for f in findings)


def test_password_in_a_url_or_an_environment_is_found(tmp_path: Path) -> None:
    folder = make_project(tmp_path, sink=SINK.replace("${CLICKHOUSE}", "http://u:hunter2@h:1"))
    assert said(folder) == ["PK407 store.yaml:4:6"]
    project = PROJECT.replace("8123", '8123", CLICKHOUSE_PASSWORD: "hunter2')
    assert said(make_project(tmp_path, project=project, sink=SINK)) == [
        "PK407 pipelinekit.yaml:3:74"
    ]


def test_name_of_a_secret_is_fine(tmp_path: Path) -> None:
    folder = make_project(tmp_path, sink=SINK + "password: { secret: CLICKHOUSE_PASSWORD }\n")
    assert said(folder) == []


# --- shape --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("expect: [{ window: \"12:00\", country: BE, n: 1 }]", "expect: 5",
         ["a list or a mapping of keys is wanted here, and it is 5"]),
        ("expect: [{ window: \"12:00\", country: BE, n: 1 }]", "expect: [5]",
         ["a mapping of keys is wanted here, and it is 5"]),
        ("n: count()", "str: { foo: 1, measure: count() }", ['unknown key "foo"']),
        ("n: count()", "n:", ["a mapping of keys is wanted here, and it is nothing"]),
        ("sink: store", "sink: store\nversion: true",
         ["a whole number is wanted here, and it is true"]),
        ("sink: store", f"sink: store\nversion: 0x{'f' * 5000}",
         ['a whole number is wanted here, and it is "0x' + "f" * 56 + "…"]),
        ("kind: metric", "kind: [metric]", ["this is not a kind of file"]),
        ("kind: metric", "kind: { a: b }", ["this is not a kind of file"]),
    ],
)  # fmt: skip
def test_wrong_shape_is_one_finding_in_plain_words(
    tmp_path: Path, old: str, new: str, messages: list[str]
) -> None:
    metric = METRIC.replace(old, new).replace("n: 1", "total: null")
    _, findings = check(make_project(tmp_path, metric=metric))
    assert [f.message for f in findings] == messages


def test_key_that_is_there_under_another_name_is_not_missing_too(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.replace("source: events", "table: events"))
    _, findings = check(folder)
    assert [f.code for f in findings] == ["PK102", "PK101"]  # there is a sink already
    folder = make_project(tmp_path, metric=METRIC.replace("source: events", "input: events"))
    (finding,) = check(folder)[1]
    assert (finding.code, finding.help) == ("PK101", "did you mean source?")


def test_what_is_not_built_is_refused_with_what_else_is_wrong(tmp_path: Path) -> None:
    metric = METRIC.replace("window: {", "top: 3\nretain: 90d\nwindow: {", 1)
    metric = metric.replace("source: events\n", "").replace(
        "[country]", "[{ name: country, max: 5 }]"
    )
    _, findings = check(make_project(tmp_path, metric=metric))
    assert [(f.code, f.path) for f in findings] == [
        ("PK102", "source"),
        ("PK101", "key[0].max"),
        ("PK110", "top"),
        ("PK110", "retain"),
    ]
    assert all(f.help for f in findings)


def test_metric_without_tests_is_only_a_warning(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.split("tests:")[0])
    (finding,) = check(folder)[1]
    assert (finding.code, finding.severity) == ("PK600", Severity.WARNING)


def test_unknown_key_hides_nothing_else(tmp_path: Path) -> None:
    metric = METRIC.replace("key: [country]", "dimensions: [country]")
    metric = metric.replace("n: count()", "n: cout()").replace("tumbling: 1m", "tumbling: 7m")
    folder = make_project(tmp_path, metric=metric.split("tests:")[0])
    assert said(folder) == ["PK101 views.yaml:5:1", "PK204 views.yaml:7:6", "PK301 views.yaml:9:21"]


def test_scalar_for_a_mapping_is_told_its_keys(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.replace("{ allowed: 10m }", "10m"))
    (finding,) = check(folder)[1]
    assert (finding.code, finding.help) == ("PK104", "its keys are allowed")


@pytest.mark.parametrize(
    ("files", "shared"),
    [
        ({}, {"views", "clicks"}),
        ({"metric": METRIC.replace("'view'", "'click'")}, {"clicks"}),
        ({"source": SOURCE.replace("2s", "3s")}, set()),
        ({"project": PROJECT.replace("spec_version: 1", "spec_version: 1 # one")}, set()),
        ({"sinks/other.yaml": SINK.replace("store", "other")}, {"views", "clicks"}),
    ],
)
def test_what_two_versions_share_is_taken_over_and_nothing_else(
    tmp_path: Path, files: dict[str, str], shared: set[str]
) -> None:
    other = {"metrics/clicks.yaml": METRIC.replace("name: views", "name: clicks")}
    first, _ = check(make_project(tmp_path / "first", **other))
    folder = make_project(tmp_path / "second", **other, **files)
    project, report = load(folder, twin=first.project)
    second = resolve(project, first)
    alone = resolve(load(folder)[0])
    assert not report.has_errors
    assert {n for n, m in second.metrics.items() if m is first.metrics[n]} == shared
    assert [m.spec for m in second.metrics.values()] == [m.spec for m in alone.metrics.values()]
    assert [m.filter for m in second.metrics.values()] == [m.filter for m in alone.metrics.values()]


def test_metric_is_not_taken_over_when_its_sink_is_gone(tmp_path: Path) -> None:
    first, _ = check(make_project(tmp_path / "first"))
    folder = make_project(tmp_path / "second")
    (folder / "sinks/store.yaml").unlink()
    project, _ = load(folder, twin=first.project)
    second = resolve(project, first)
    assert [f.code for f in second.findings] == ["PK404"]
    assert second.metrics == {}
