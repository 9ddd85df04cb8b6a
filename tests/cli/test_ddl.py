"""`ddl --drop-retired`: what it prints, and of which project."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelinekit.cli.ddl import ddl
from pipelinekit.cli.main import main
from pipelinekit.plan.build import build
from pipelinekit.plan.tables import sink_schemas
from pipelinekit.runtime.outside import make_sink
from pipelinekit.runtime.retired import drop_retired
from tests.spec.projects import METRIC, PROJECT, SINK, check, make_project

OTHER = METRIC.replace("name: views", "name: others")


def asked(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(ddl, [str(folder), "--drop-retired", *arguments])


@pytest.fixture
def folder(tmp_path: Path, clickhouse, database: str) -> Path:
    """A project of two metrics whose tables are there."""
    project = PROJECT.replace("http://127.0.0.1:8123", clickhouse.url)
    sink = SINK.replace("database: analytics", f"database: {database}")
    folder = make_project(tmp_path, project=project, sink=sink, **{"metrics/others.yaml": OTHER})
    resolved, findings = check(folder)
    assert findings == []
    (plan,) = build(resolved)
    store = make_sink(plan.sinks[0])
    store.apply(store.ddl(sink_schemas(plan)["store"]))
    store.close()
    return folder


@pytest.mark.clickhouse
def test_only_what_no_spec_names_any_more_is_printed_and_nothing_is_run(
    folder: Path, database: str
) -> None:
    assert (asked(folder).output, asked(folder).exit_code) == ("", 0)
    (folder / "metrics/others.yaml").unlink()
    first, second = asked(folder), asked(folder)
    assert first.exit_code == 0
    assert first.output == second.output
    first_line, view, *drops = first.output.splitlines()
    assert first_line == "-- sink store: made by pipelinekit, and of no metric of this project"
    assert view.startswith(f"CREATE OR REPLACE VIEW `{database}`.`minly_aggs`")
    assert drops == [
        f"DROP VIEW IF EXISTS `{database}`.`others`;",
        f"DROP TABLE IF EXISTS `{database}`.`others_1m`;",
    ]


@pytest.mark.clickhouse
def test_a_project_that_has_no_metric_left_drops_them_all(folder: Path, database: str) -> None:
    for file in (folder / "metrics").iterdir():
        file.unlink()
    drops = [line for line in asked(folder).output.splitlines() if line.startswith("DROP")]
    assert [drop.split("`")[3] for drop in drops] == ["others", "views", "others_1m", "views_1m"]


@pytest.mark.clickhouse
def test_what_is_printed_runs_as_it_is_and_leaves_what_ddl_wants(folder: Path) -> None:
    (folder / "metrics/others.yaml").unlink()
    resolved, _ = check(folder)
    (plan,) = build(resolved)
    store = make_sink(plan.sinks[0])
    for statement in asked(folder).output.split("\n", 1)[1].split(";\n"):
        if statement:
            store.apply([statement])
    assert asked(folder).output == ""
    assert store.ddl(sink_schemas(plan)["store"]) == []
    store.close()


@pytest.mark.clickhouse
def test_sinks_of_one_database_share_what_is_wanted(folder: Path) -> None:
    sink = (folder / "sinks/store.yaml").read_text()
    (folder / "sinks/again.yaml").write_text(sink.replace("name: store", "name: again"))
    other = folder / "metrics/others.yaml"
    other.write_text(OTHER.replace("sink: store", "sink: again"))
    assert asked(folder).output == ""


def test_a_part_of_the_project_is_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path, **{"metrics/others.yaml": OTHER})
    done = CliRunner().invoke(ddl, [str(folder / "metrics/views.yaml"), "--drop-retired"])
    assert "looks at the whole project" in str(done.exception)


def test_a_project_with_errors_drops_nothing(tmp_path: Path) -> None:
    done = asked(make_project(tmp_path, metric=METRIC.replace("count()", "cout()")))
    assert (done.exit_code, "PK204" in done.output, "DROP" in done.output) == (1, True, False)


@pytest.mark.parametrize("other", ["--apply", "--check"])
def test_it_neither_runs_nor_checks(tmp_path: Path, other: str) -> None:
    done = asked(make_project(tmp_path), other)
    assert "prints statements" in str(done.exception)


def test_a_store_that_does_not_answer_is_said_with_exit_code_3(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = PROJECT.replace("127.0.0.1:8123", "127.0.0.1:1")
    folder = make_project(tmp_path, project=project)
    monkeypatch.setattr("sys.argv", ["pipelinekit", "ddl", str(folder), "--drop-retired"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "ClickHouse at http://127.0.0.1:1" in capsys.readouterr().err


def test_without_sinks_there_is_nothing_to_ask() -> None:
    assert drop_retired((), ()) == {}
