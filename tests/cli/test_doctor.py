from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pipelinekit.cli.doctor import doctor
from pipelinekit.devstack.flink import distribution


def flink(runner: CliRunner) -> dict[str, object]:
    result = runner.invoke(doctor, ["--format", "json", "."])
    [found] = [check for check in json.loads(result.stdout)["checks"] if check["what"] == "Flink"]
    return dict(found)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH on which only the programs in this folder are found, and an empty cache."""
    pytest.importorskip("apache_beam")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return folder


def install(folder, *names: str) -> None:
    for name in names:
        (folder / name).touch(0o755)


def test_what_flink_needs_is_said_with_the_next_step(programs) -> None:
    install(programs, "java", "mvn")

    found = flink(CliRunner())

    assert found["is_fine"] is False
    assert found["detail"] == '1.19.3 needs the program "javac", not on the PATH'
    assert "apt install openjdk-17-jdk-headless" in str(found["help"])


def test_what_can_be_fetched_is_no_fault(programs) -> None:
    install(programs, "java", "javac", "mvn")

    found = flink(CliRunner())

    assert found["is_fine"] is True
    assert found["detail"] == "not fetched yet; `pipelinekit up flink` fetches it"


def test_what_is_there_is_said_with_its_place(programs) -> None:
    install(programs, "java")
    for made in (distribution.home(), distribution.job_server()):
        made.mkdir(parents=True)

    assert flink(CliRunner())["detail"] == f"1.19.3 in {distribution.home()}"
