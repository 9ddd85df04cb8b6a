"""The command as a user meets it: exit codes, formats, what is imported, what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipelinekit.cli.main import VERBS, cli
from tests.spec.projects import METRIC, make_project

HEAVY = ("polars", "pyarrow", "numpy", "msgspec", "confluent_kafka", "apache_beam", "chdb",
         "clickhouse_connect", "google", "jinja2", "jsonschema", "rich")  # fmt: skip
# What a check of specs has no use for, though it would cost little each.
IDLE = ("pipelinekit.data", "pipelinekit.plan", "pipelinekit.engine", "pipelinekit.runtime",
        "pipelinekit.connectors", "pipelinekit.codecs.json", "pipelinekit.measures.histogram",
        "pipelinekit.spec.findings", "pipelinekit.spec.json_schema", "xml", "asyncio", "http",
        "traceback", "pkgutil", "importlib.metadata", "email", "socket", "csv",
        "zipfile")  # fmt: skip
# Whose modules a check of specs loads, beside the standard library's and our own.
FOREIGN = {"click", "pydantic", "pydantic_core", "annotated_types", "typing_extensions",
           "typing_inspection", "ruamel", "cython_runtime"}  # fmt: skip
# Each compiles some methods when its module is loaded: on the way of a start, about a millisecond.
DATACLASSES_MAX = 22


def run(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipelinekit.cli.main", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})},
        timeout=60,
    )  # fmt: skip


def test_validate_of_a_good_project_says_so_and_exits_0(tmp_path: Path) -> None:
    done = run("validate", cwd=make_project(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "all good in 4 files, 1 metric" in done.stderr


def test_finding_is_printed_with_its_line_and_marks(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.replace("count()", "cout()"))
    done = run("validate", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == (
        'metrics/views.yaml:7:6: error[PK204]: unknown measure "cout"\n'
        "   7 |   n: cout()\n"
        "     |      ^^^^\n"
        "  help: did you mean count()?\n"
    )


def test_findings_as_json_and_github(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.replace("count()", "cout()"))
    done = run("validate", "--format", "json", "--report", "github=out.txt", cwd=folder)
    document = json.loads(done.stdout)
    (finding,) = document["findings"]
    assert (finding["code"], finding["line"], finding["column"]) == ("PK204", 7, 6)
    assert finding["path"] == "measures.n"
    assert document["checked"] == {"files": 4, "metrics": 1}
    annotation = (folder / "out.txt").read_text()
    assert annotation.startswith("::error file=metrics/views.yaml,line=7,col=6,")


def test_warnings_pass_unless_asked_to_fail(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.split("tests:")[0])
    assert run("validate", cwd=folder).returncode == 0
    assert run("validate", "-W", "error", cwd=folder).returncode == 1


def test_one_file_is_checked_alone(tmp_path: Path) -> None:
    bad = METRIC.replace("name: views", "name: bad").replace("count()", "cout()")
    folder = make_project(tmp_path, **{"metrics/bad.yaml": bad})
    assert run("validate", "metrics/views.yaml", cwd=folder).returncode == 0
    assert run("validate", "metrics/bad.yaml", cwd=folder).returncode == 1


def test_no_project_is_wrong_use(tmp_path: Path) -> None:
    done = run("validate", cwd=tmp_path)
    assert done.returncode == 2
    assert "no pipelinekit.yaml" in done.stderr
    assert "pipelinekit init" in done.stderr


def test_unknown_environment_names_those_there_are(tmp_path: Path) -> None:
    done = run("validate", "-e", "prod", cwd=make_project(tmp_path))
    assert done.returncode == 2
    assert "local" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    options = [p for p in command.params if isinstance(p, click.Option)]
    silent = [o.opts[0] for o in options if not (o.help or "").split("[default")[0].strip()]
    assert [name for name in silent if name != "--format"] == []  # its choices say it


def test_load_sends_nowhere_when_the_environment_is_unknown(tmp_path: Path) -> None:
    done = run("load", "-e", "prod", "--count", "1", cwd=make_project(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert 'the project has no environment "prod"' in done.stderr


@pytest.mark.parametrize("verb", ["validate", "list", "plan", "explain", "--help"])
def test_light_verbs_import_nothing_heavy(tmp_path: Path, verb: str) -> None:
    assert imported(verb, HEAVY, make_project(tmp_path)) == []


def test_validate_imports_only_what_it_uses(tmp_path: Path) -> None:
    loaded, _ = started("validate", make_project(tmp_path, metric=METRIC + LETTERS))
    assert loaded.isdisjoint(IDLE)
    packages = {name.partition(".")[0] for name in loaded if not name.startswith("_")}
    assert packages - sys.stdlib_module_names - {"pipelinekit"} == FOREIGN


def test_validate_of_a_broken_spec_imports_no_more(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC + LETTERS)
    good, _ = started("validate", folder)
    (folder / "metrics/zz.yaml").write_text("kind: metric\nmetric: zz\nfrm: events\n")
    assert started("validate", folder, code=1)[0] <= good


def test_validate_makes_few_dataclasses(tmp_path: Path) -> None:
    _, made = started("validate", make_project(tmp_path, metric=METRIC + LETTERS))
    assert 0 < len(made) <= DATACLASSES_MAX, made


LETTERS = """\
  - name: one too late
    steps:
      - events: [{ t: "12:00:05", kind: view }]
      - watermark: "13:00"
      - events: [{ t: "12:00:05", kind: view }]
    expect_dead_letters: [{ reason: too_late }]
"""


def imported(verb: str, names: tuple[str, ...], folder: Path) -> list[str]:
    """Which of the modules the verb loads."""
    loaded, _ = started(verb, folder)
    return [name for name in names if name in loaded]


def started(verb: str, folder: Path, *, code: int = 0) -> tuple[set[str], list[str]]:
    """The modules that the verb loads, and the dataclasses of ours among what they make."""
    script = (
        "import sys\n"
        "before = {*sys.modules}\n"
        "from pipelinekit.cli.main import _exit_code\n"
        f"sys.argv = ['pipelinekit', {verb!r}]\n"
        "code = _exit_code()\n"
        "loaded = {n: m for n, m in sys.modules.items() if n not in before}\n"
        "made = {f'{m}.{n}' for m in loaded if m.startswith('pipelinekit.')\n"
        "        for n, v in vars(loaded[m]).items() if isinstance(v, type)\n"
        "        and v.__module__ == m and '__dataclass_fields__' in vars(v)}\n"
        "import json\n"
        "print(json.dumps([[*loaded], sorted(made)]), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    loaded, made = json.loads(done.stderr.splitlines()[-1])
    return set(loaded), made


def test_list_shows_a_line_a_metric(tmp_path: Path) -> None:
    done = run("list", "--format", "json", cwd=make_project(tmp_path))
    (row,) = json.loads(done.stdout)["metrics"]
    assert (row["metric"], row["key"], row["window"], row["tests"]) == ("views", "country", "1m", 1)


STAGE = """\
kind: metric
name: by_hour
from: views
measures: { minutes: count() }
window: { tumbling: 1h }
tests:
  - name: two minutes
    steps:
      - events: [{ t: "12:00:05", kind: view }, { t: "12:01:05", kind: view }]
    expect: [{ window: "12:00", minutes: 2 }]
"""


def test_metric_over_rows_is_listed_planned_and_tested_with_what_it_is_over(tmp_path: Path) -> None:
    project = make_project(tmp_path, **{"metrics/by_hour.yaml": STAGE})
    file = project / "metrics/by_hour.yaml"

    listed = json.loads(run("list", ".", "--format", "json", cwd=project).stdout)
    assert {m["metric"]: m["source"] for m in listed["metrics"]} == {
        "by_hour": "views (metric)",
        "views": "events",
    }
    planned = run("plan", "metrics/by_hour.yaml", cwd=project).stdout
    assert "metric views version 1" in planned
    assert "metric by_hour over the rows of views" in planned
    assert "view by_hour: to store" in planned
    tested = run("test", "metrics/by_hour.yaml", cwd=project)
    assert (tested.returncode, "1 passed" in tested.stdout) == (0, True)
    file.write_text(STAGE.replace("minutes: 2", "minutes: 3"))
    assert run("test", "metrics/by_hour.yaml", "--update", cwd=project).returncode == 0
    assert file.read_text() == STAGE


def test_plan_is_the_same_text_every_time_and_holds_no_secret(tmp_path: Path) -> None:
    sink = "kind: sink\nname: store\ntype: clickhouse\nurl: ${CLICKHOUSE}\ndatabase: d\n"
    sink += "password: { secret: TOP_SECRET }\n"
    folder = make_project(tmp_path, sink=sink)
    first = run("plan", cwd=folder, env={"TOP_SECRET": "hunter2"})
    second = run("plan", cwd=folder)
    assert first.stdout == second.stdout
    assert "metric views version 1" in first.stdout
    assert "TOP_SECRET" in first.stdout
    assert "hunter2" not in first.stdout


def test_tests_pass_and_a_wrong_expectation_fails_with_a_table(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    assert run("test", cwd=folder).returncode == 0
    wrong = METRIC.replace("country: BE, n: 1", "country: BE, n: 2")
    done = run("test", cwd=make_project(tmp_path, metric=wrong))
    assert done.returncode == 1
    assert "FAILED  views: one view" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["expected", "12:00", "BE", "2"] in rows
    assert ["actual", "12:00:00", "BE", "1"] in rows


def test_unexpected_row_fails_a_test(tmp_path: Path) -> None:
    wrong = METRIC.replace('    expect: [{ window: "12:00", country: BE, n: 1 }]', "    expect: []")
    done = run("test", cwd=make_project(tmp_path, metric=wrong))
    assert done.returncode == 1
    assert "unexpected" in done.stdout


def test_explain_prints_the_page_and_suggests(tmp_path: Path) -> None:
    assert "an unknown measure" in run("explain", "pk204", cwd=tmp_path).stdout
    done = run("explain", "PK999", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no finding" in done.stderr


@pytest.mark.parametrize("kind", ["source", "sink", "metric", "test", "project"])
def test_schema_accepts_the_example_project_and_refuses_unknown_keys(kind: str) -> None:
    import jsonschema
    from ruamel.yaml import YAML

    root = Path(__file__).parents[2]
    schema = json.loads(run("schema", kind, cwd=root).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    pattern = "pipelinekit.yaml" if kind == "project" else f"{kind}s/**/*.yaml"
    for path in (root / "specs").glob(pattern):
        document = YAML(typ="safe").load(path)
        assert list(validator.iter_errors(document)) == [], path
        assert list(validator.iter_errors({**document, "unknwon": 1}))


@pytest.mark.parametrize("words", [("init", "file/shop"), ("up", "--state", "file/x")])
def test_place_that_cannot_be_written_is_named_and_no_bug(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "bug" not in done.stderr


def test_init_makes_a_project_that_validates_and_passes(tmp_path: Path) -> None:
    assert run("init", "shop", cwd=tmp_path).returncode == 0
    assert run("validate", "-W", "error", cwd=tmp_path / "shop").returncode == 0
    assert run("test", cwd=tmp_path / "shop").returncode == 0
    done = run("init", "shop", cwd=tmp_path)
    assert done.returncode == 2
    assert "there already" in done.stderr


def test_run_without_a_broker_exits_3_with_the_address_and_the_next_step(tmp_path: Path) -> None:
    addresses = '{ KAFKA: "127.0.0.1:1", CLICKHOUSE: "http://127.0.0.1:1" }'
    project = f"spec_version: 1\nenvironments: {{ local: {addresses} }}\n"
    done = run("run", cwd=make_project(tmp_path, project=project))
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "pipelinekit up kafka" in done.stderr


def test_missing_secret_is_said_by_name(tmp_path: Path) -> None:
    from pipelinekit.errors import UsageError
    from pipelinekit.runtime.outside import resolve_secret

    with pytest.raises(UsageError, match="NOT_SET_ANYWHERE"):
        resolve_secret("NOT_SET_ANYWHERE", "store")


def test_unknown_verb_suggests_the_nearest(tmp_path: Path) -> None:
    done = run("vaildate", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean validate?" in done.stderr


def test_help_lists_every_verb(tmp_path: Path) -> None:
    from pipelinekit.cli.main import VERBS

    text = run("--help", cwd=tmp_path).stdout
    assert all(verb in text for verb in VERBS)
