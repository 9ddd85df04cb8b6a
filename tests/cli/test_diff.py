"""`diff` as a reviewer and CI meet it: folders, revisions, formats, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.authoring import make as make_authored
from tests.cli.test_main import HEAVY, run
from tests.spec.projects import METRIC, make_project

CLICKS = METRIC.replace("'view'", "'click'").split("tests:")[0]
LAST = METRIC.replace("n: count()", "n: count()\n  last: last(user)")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=30
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits of one project in specs/: the second has another measure."""
    git(tmp_path, "init", "-q", "-b", "main")
    make_project(tmp_path / "specs")
    (tmp_path / ".gitattributes").write_text("*.yaml export-ignore\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    git(tmp_path, "branch", "before")
    make_project(tmp_path / "specs", metric=LAST)
    git(tmp_path, "commit", "-q", "-a", "-m", "two")
    return tmp_path


def test_two_folders(tmp_path: Path) -> None:
    make_project(tmp_path / "a")
    make_project(tmp_path / "b", metric=CLICKS)
    done = run("diff", "a", "b", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "metric views: replay",
        "  replay     filter: kind = 'view' → kind = 'click'",
    ]
    assert "unchanged: 1 source, 1 sink" in lines


@pytest.mark.parametrize("text", ["before..main", "before...main", "before..", "before"])
def test_revisions_and_the_files_as_they_lie(repository: Path, text: str) -> None:
    done = run("diff", text, cwd=repository / "specs")
    assert done.returncode == 0
    assert "metric views: in_place\n  in_place   measure last: none → last(user)" in done.stdout


def test_project_is_found_by_its_path(repository: Path) -> None:
    assert "views: in_place" in run("diff", "before", "specs", cwd=repository).stdout


def test_what_is_not_committed_counts_without_a_second_revision(repository: Path) -> None:
    make_project(repository / "specs", metric=CLICKS)
    assert "filter: kind = 'view' → kind = 'click'" in run(
        "diff", "before", cwd=repository / "specs"
    ).stdout  # fmt: skip
    assert "click" not in run("diff", "before..HEAD", cwd=repository / "specs").stdout


def test_revision_without_specs_had_nothing(repository: Path) -> None:
    git(repository, "mv", "specs", "moved")
    git(repository, "commit", "-q", "-m", "moved")
    done = run("diff", "before..main", "moved", "--format", "json", cwd=repository)
    assert {i["verdict"] for i in json.loads(done.stdout)["items"]} == {"added"}


def test_finding_of_a_revision_is_named_as_git_names_it(repository: Path) -> None:
    make_project(repository / "specs", metric=METRIC.replace("[country]", "[country, user]"))
    git(repository, "commit", "-q", "-a", "-m", "three")
    done = run("diff", "before..main", cwd=repository)
    assert done.returncode == 1
    assert "main:specs/metrics/views.yaml:2:7: error[PK500]: key of views changed" in done.stdout
    assert "   2 | name: views" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere..main"], '"nowhere" is neither a folder nor a revision'),
        (["main..nowhere"], '"nowhere" is neither a folder nor a revision'),
        (["specs"], "specs is a folder: with what is it to be compared?"),
        (["specs", "nowhere"], "there is no folder nowhere"),
        (["before", "--fail-on", "worse"], '"worse" is no verdict'),
    ],
)
def test_wrong_use_says_what_is_wrong(repository: Path, arguments: list[str], says: str) -> None:
    done = run("diff", *arguments, cwd=repository)
    assert done.returncode == 2
    assert says in done.stderr


def test_outside_of_git_there_are_no_revisions(tmp_path: Path) -> None:
    done = run("diff", "HEAD", cwd=make_project(tmp_path))
    assert done.returncode == 2
    assert "lies in no git repository" in done.stderr


def test_errors_of_either_side_are_shown_and_nothing_is_compared(tmp_path: Path) -> None:
    make_project(tmp_path / "a")
    make_project(tmp_path / "b", metric=METRIC.replace("count()", "cout()"))
    for old, new, which in (("a", "b", "NEW"), ("b", "a", "OLD")):
        done = run("diff", old, new, cwd=tmp_path)
        assert done.returncode == 1
        assert "b/metrics/views.yaml:7:6: error[PK204]" in done.stdout
        assert f"{which} has errors: nothing was compared" in done.stderr


@pytest.mark.parametrize(
    ("fail_on", "code"), [("in_place", 1), ("breaking,in_place", 1), ("breaking", 0)]
)
def test_fail_on_names_the_verdicts_that_fail(repository: Path, fail_on: str, code: int) -> None:
    done = run("diff", "before", "--fail-on", fail_on, cwd=repository)
    assert done.returncode == code


def test_comment_for_a_pull_request_holds_whatever_a_spec_says(tmp_path: Path) -> None:
    make_project(tmp_path / "a")
    text = "a | b ``` <img src=x> @team"
    metric = METRIC.replace("kind: metric", f'kind: metric\ndescription: "{text}"')
    make_project(tmp_path / "b", metric=metric.replace("total: sum(amount)\n", "n_2: count()\n"))
    done = run("diff", "a", "b", "--format", "github", cwd=tmp_path)
    assert done.stdout.startswith("<!-- pipelinekit diff -->\n### pipelinekit diff: 1 breaking\n")
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("| metric"))
    assert row.replace("\\|", "").count("|") == 4
    assert "````a \\| b ``` <img src=x> @team````" in row
    assert "ADD COLUMN IF NOT EXISTS `n_2` Nullable(UInt64)" in done.stdout


def test_json_has_every_item_and_the_statements(repository: Path) -> None:
    document = json.loads(run("diff", "before", "--format", "json", cwd=repository).stdout)
    assert {(i["name"], i["verdict"]) for i in document["items"]} == {
        ("views", "in_place"), ("events", "unchanged"), ("store", "unchanged"),
    }  # fmt: skip
    assert document["ddl"][0]["sink"] == "store"
    assert document["findings"] == []


def test_nothing_heavy_is_imported(repository: Path) -> None:
    code = (
        "import sys\n"
        "from pipelinekit.cli.main import _exit_code\n"
        "sys.argv = ['pipelinekit', 'diff', 'before']\n"
        "code = _exit_code()\n"
        f"print('heavy:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert "heavy: []" in done.stderr


def test_comment_of_a_thousand_changes_has_room_in_github(tmp_path: Path) -> None:
    old = make_authored(tmp_path / "old", 1_000)
    new = make_authored(tmp_path / "new", 1_000, changed_each=1)
    for folder in (old, new):
        sink = "kind: sink\nname: console\ntype: clickhouse\nurl: http://x:1\ndatabase: d\n"
        (folder / "sinks/console.yaml").write_text(sink)
    first = new / "metrics/metric_0_of_many.yaml"
    first.write_text(first.read_text().replace("  load_ms_max: max(load_ms)\n", ""))
    second = new / "metrics/metric_1_of_many.yaml"
    second.write_text(second.read_text() + "version: 2\n")
    done = run("diff", str(old), str(new), "--format", "github", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 30_000 < len(done.stdout) < 65_536
    rows = [line for line in done.stdout.splitlines() if line.startswith("| metric ")]
    assert "`metric_0_of_many` | **breaking**" in rows[0]
    assert "`metric_1_of_many` | **new_table**" in rows[1]
    (more,) = [line for line in done.stdout.splitlines() if line.startswith("| … and ")]
    assert more == f"| … and {1_000 - len(rows)} more | | |"
