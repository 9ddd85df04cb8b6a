from __future__ import annotations

import pytest

from pipelinekit.devstack.flink import Flink, distribution
from pipelinekit.errors import Refused, Unreachable


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    """A PATH on which only the programs linked into this folder are found, and an empty cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return programs


def install(folder, *programs: str) -> None:
    for program in programs:
        (folder / program).write_text("#!/bin/sh\necho 'no route to the repository'; exit 1\n")
        (folder / program).chmod(0o755)


@pytest.mark.parametrize(
    ("installed", "missing", "help"),
    [
        ([], "java", "apt install openjdk-17-jdk-headless"),
        (["java"], "javac", "apt install openjdk-17-jdk-headless"),
        (["java", "javac"], "mvn", "apt install maven"),
    ],
)
def test_a_missing_program_is_named_with_the_next_step(
    tmp_path, bare_path, installed, missing, help
) -> None:
    install(bare_path, *installed)

    with pytest.raises(Refused, match=f'needs the program "{missing}"') as caught:
        Flink(tmp_path / "flink", 1).start()

    assert help in (caught.value.help or "")


def test_once_the_job_server_is_built_only_java_is_needed(bare_path) -> None:
    install(bare_path, "java")
    distribution.job_server().parent.mkdir(parents=True)
    distribution.job_server().touch()

    assert distribution.missing_program() is None


def test_a_failed_fetch_leaves_no_cache_and_quotes_pip(bare_path, monkeypatch) -> None:
    install(bare_path, "java", "javac", "mvn")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    lines: list[str] = []

    with pytest.raises(Unreachable, match="pip did not fetch apache-flink-libraries"):
        distribution.fetch(lines.append)

    assert not distribution.is_fetched()
    assert [entry.name for entry in distribution.home().parent.iterdir()] == ["flink-1.19.3.lock"]
    assert "230 MB" in lines[0]


def test_a_failed_build_leaves_no_cache_and_quotes_maven(bare_path) -> None:
    install(bare_path, "java", "javac", "mvn")
    (distribution.home() / "lib").mkdir(parents=True)

    with pytest.raises(Unreachable, match="no route to the repository"):
        distribution.fetch(lambda line: None)

    assert not distribution.job_server().parent.exists()
