from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pipelinekit.devstack.kafka import Kafka
from pipelinekit.devstack.ports import free_port
from pipelinekit.devstack.stack import SERVICES, Stack, state_folder
from pipelinekit.errors import UsageError
from pipelinekit.runtime.local.checkpoint import CheckpointStore

pytestmark = pytest.mark.clickhouse


@pytest.fixture
def stack(tmp_path):
    stack = Stack(tmp_path)
    yield stack
    stack.down(SERVICES)


@pytest.fixture
def lines() -> list[str]:
    return []


def execute(url: str, statement: str) -> str:
    with urllib.request.urlopen(url, statement.encode(), timeout=10) as answer:
        return str(answer.read().decode())


def test_a_second_up_finds_what_runs(stack, tmp_path, lines) -> None:
    port = free_port()

    [first] = stack.up(["clickhouse"], {"clickhouse": port}, lines.append)
    [second] = Stack(tmp_path).up(["clickhouse"], {}, lines.append)

    assert (first.was_running, second.was_running) == (False, True)
    assert second.service.pid == first.service.pid
    assert second.service.address == {"url": f"http://127.0.0.1:{port}"}
    assert lines == ["starting clickhouse …"]


def test_a_dead_one_is_started_anew_on_its_data(stack, lines) -> None:
    port = {"clickhouse": free_port()}
    [first] = stack.up(["clickhouse"], port, lines.append)
    execute(first.service.address["url"], "CREATE DATABASE kept")
    first.service.kill()

    [second] = stack.up(["clickhouse"], port, lines.append)

    assert not second.was_running
    assert execute(second.service.address["url"], "EXISTS DATABASE kept") == "1\n"


def test_down_keeps_the_data_unless_told_otherwise(stack, tmp_path, lines) -> None:
    [up] = stack.up(["clickhouse"], {"clickhouse": free_port()}, lines.append)
    folder = up.service.folder

    stack.down(["clickhouse"], progress=lines.append)
    kept = (folder / "data").exists()
    stack.down(["clickhouse"], delete_data=True, progress=lines.append)

    assert kept
    assert not folder.exists()
    assert not up.service.is_alive
    assert lines[1:] == [
        f"clickhouse stopped (process {up.service.pid})",
        "clickhouse does not run",
        f"clickhouse: data deleted ({folder})",
    ]


def test_another_port_for_one_that_runs_is_refused(stack, lines) -> None:
    [up] = stack.up(["clickhouse"], {"clickhouse": free_port()}, lines.append)

    with pytest.raises(UsageError, match=f"runs already, on port {up.service.port}") as caught:
        stack.up(["clickhouse"], {"clickhouse": free_port()}, lines.append)

    assert caught.value.help == "stop it first: pipelinekit down clickhouse"
    assert up.service.is_alive


def test_when_one_fails_those_started_with_it_stop_and_those_found_stay(
    stack, tmp_path, lines, monkeypatch
) -> None:
    def fail(self: Kafka, progress: object) -> None:
        raise UsageError("no Kafka here")

    monkeypatch.setattr(Kafka, "prepare", fail)
    with pytest.raises(UsageError, match="no Kafka here"):
        stack.up(["clickhouse", "kafka"], {"clickhouse": free_port()}, lines.append)
    started = stack.find("clickhouse")

    stack.up(["clickhouse"], {"clickhouse": free_port()}, lines.append)
    with pytest.raises(UsageError, match="no Kafka here"):
        stack.up(["clickhouse", "kafka"], {}, lines.append)
    found = stack.find("clickhouse")

    assert started is None
    assert found is not None
    stopped = "clickhouse stopped again: this call had started it"
    starts = ["starting clickhouse …", "starting kafka …"]
    assert lines == [*starts, stopped, *starts]  # what was found stays


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing(tmp_path, number) -> None:
    """Interrupted while a service that was spawned doesn't answer yet."""
    program = f"""
from pathlib import Path
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.devstack.stack import Stack
ClickHouse.is_answering = lambda self: print("waiting", flush=True)
Stack(Path({str(tmp_path)!r})).up(["clickhouse"], {{"clickhouse": {free_port()}}})
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as up:
        assert up.stdout is not None
        assert up.stdout.readline() == b"waiting\n"
        found = Stack(tmp_path).find("clickhouse")
        assert found is not None

        os.kill(up.pid, number)
        up.communicate(timeout=30)

    assert up.returncode != 0
    assert not found.is_alive
    assert Stack(tmp_path).find("clickhouse") is None


@pytest.mark.parametrize(
    ("state", "environment", "start", "expected"),
    [
        (None, "local", "project/metrics/team", "project/.pipelinekit/local"),
        (None, "staging", "project", "project/.pipelinekit/staging"),
        (None, "local", "elsewhere", "elsewhere/.pipelinekit/local"),
        (None, "local", "shop/specs/metrics", "shop/.pipelinekit/local"),
        (None, "local", "shop", "shop/.pipelinekit/local"),
        ("named", "local", "project", "named"),
    ],
)
def test_where_state_lies(tmp_path, state, environment, start, expected) -> None:
    (tmp_path / start).mkdir(parents=True)
    for project in ("project", "shop/specs"):
        (tmp_path / project).mkdir(parents=True, exist_ok=True)
        (tmp_path / project / "pipelinekit.yaml").touch()
    named = None if state is None else tmp_path / state

    assert state_folder(named, environment, tmp_path / start) == tmp_path / expected


def test_an_environment_cannot_lead_out_of_the_state_folder() -> None:
    with pytest.raises(UsageError, match=r'"\.\./x" is not a name'):
        state_folder(None, "../x", Path("/"))


def test_down_without_a_stack_makes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    Stack(tmp_path).down(["kafka"], progress=said.append)
    assert said == [f"nothing runs: there is no stack in {tmp_path / 'stack'}"]
    assert list(tmp_path.iterdir()) == []


def test_deleted_topics_take_the_states_of_their_runs_with_them(tmp_path: Path) -> None:
    for folder in ("stack/kafka", "clicks", "jobs", "notes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "clicks/manifest.json").touch()
    Stack(tmp_path).down(["clickhouse"], delete_data=True, progress=lambda line: None)
    assert (tmp_path / "clicks").exists()
    held = CheckpointStore(tmp_path / "running")
    (tmp_path / "running/manifest.json").touch()
    said: list[str] = []
    Stack(tmp_path).down(["kafka"], delete_data=True, progress=said.append)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes", "running", "stack"]
    assert any("running is in use by process" in line for line in said)
    held.close()
