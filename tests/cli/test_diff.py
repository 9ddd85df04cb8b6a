"""`pipelinekit diff` over folders and git revisions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.projects import FILES, METRIC

COMMAND = [sys.executable, "-m", "pipelinekit.cli.main", "diff"]
BASE = METRIC.split("tests:")[0]
REPLAY = BASE.replace("kind = 'view'", "kind = 'click'")


def write(folder: Path, metric: str) -> Path:
    for name, text in {**FILES, "metrics/views.yaml": metric}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def git(folder: Path, *words: str) -> None:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}
    subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, env=os.environ | identity
    )


def test_folders_and_the_verdict_to_fail_on(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", BASE), write(tmp_path / "new", REPLAY)
    done = run(old, new, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "metric views: replay" in done.stdout
    assert run(old, new, "--fail-on", "replay", cwd=tmp_path).returncode == 1
    assert run(old, old, "--fail-on", "replay", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("revisions", ["HEAD~1..HEAD", "HEAD~1"])
def test_revisions_of_git(tmp_path: Path, revisions: str) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    for metric in (BASE, REPLAY):
        write(tmp_path / "specs", metric)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", "a change")
    done = run(revisions, "specs", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "replay" in json.dumps(found)
    assert not list(tmp_path.glob("pipelinekit-diff-*"))


def test_an_unknown_revision_and_a_folder_alone_are_wrong_use(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", BASE)
    assert run(folder, cwd=tmp_path).returncode == 2
    git(tmp_path, "init", "-q")
    done = run("nowhere..HEAD", "specs", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_pull_request_gets_a_comment(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", BASE), write(tmp_path / "new", REPLAY)
    done = run(old, new, "--format", "github", cwd=tmp_path)
    assert "| " in done.stdout
    assert "replay" in done.stdout


def test_an_unversioned_shape_is_a_finding_and_exit_1(tmp_path: Path) -> None:
    old = write(tmp_path / "old", BASE)
    new = write(tmp_path / "new", BASE.replace("tumbling: 1m", "tumbling: 5m"))
    done = run(old, new, cwd=tmp_path)
    assert done.returncode == 1
    assert "PK500" in done.stdout
