from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pipelinekit.cli.down import down
from pipelinekit.cli.up import SERVICE_NAMES, up
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.devstack.ports import free_port
from pipelinekit.devstack.stack import SERVICES, Stack
from pipelinekit.errors import UsageError
from tests.spec.projects import make_project


@pytest.fixture
def runner(tmp_path):
    yield CliRunner()
    Stack(tmp_path).down(SERVICES)


def test_names_are_those_of_the_stack() -> None:
    assert set(SERVICE_NAMES) == set(SERVICES)


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_json_is_the_addresses_and_nothing_else(runner, tmp_path, kafka, clickhouse) -> None:
    """`kafka` and `clickhouse` are asked for only so that a machine without them skips this."""
    ports = {name: free_port() for name in ("kafka", "clickhouse")}
    options = ["--state", str(tmp_path), *(f"--port={name}={port}" for name, port in ports.items())]

    first = runner.invoke(up, [*options, "--format", "json"])
    second = runner.invoke(up, ["--state", str(tmp_path)])
    stopped = runner.invoke(down, ["--state", str(tmp_path)])

    assert json.loads(first.stdout) == {
        "kafka": {"bootstrap": f"127.0.0.1:{ports['kafka']}"},
        "clickhouse": {"url": f"http://127.0.0.1:{ports['clickhouse']}"},
    }
    assert first.stdout.count("\n") == 1
    assert "starting kafka …" in first.stderr
    assert second.stdout.count("was running") == 2
    assert stopped.stderr.count("stopped (process ") == 2
    assert [first.exit_code, second.exit_code, stopped.exit_code] == [0, 0, 0]


@pytest.mark.clickhouse
def test_another_port_is_kept_and_what_the_project_has_to_say_is_said(
    runner, tmp_path, clickhouse, monkeypatch
) -> None:
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    port = free_port()
    options = ["clickhouse", "--state", str(tmp_path)]
    note = (
        "pipelinekit.yaml, environment local: for this clickhouse let it say "
        f'CLICKHOUSE: "http://127.0.0.1:{port}", not http://127.0.0.1:8123\n'
    )

    first = runner.invoke(up, [*options, f"--port=clickhouse={port}"])
    runner.invoke(down, ["--state", str(tmp_path)])
    file = tmp_path / "pipelinekit.yaml"
    file.write_text(file.read_text().replace("127.0.0.1:8123", f"localhost:{port}"))
    second = runner.invoke(up, options)

    assert first.stderr.endswith(note)
    assert f"http://127.0.0.1:{port}" in second.stdout
    assert second.stderr == f"starting clickhouse on port {port}, as last time …\n"


@pytest.mark.clickhouse
def test_the_usual_port_can_be_had_again(tmp_path, clickhouse, monkeypatch) -> None:
    monkeypatch.setattr(ClickHouse, "default_port", free_port())
    stack = Stack(tmp_path)
    for port in (free_port(), ClickHouse.default_port):
        stack.up(["clickhouse"], {"clickhouse": port}, lambda line: None)
        stack.down(["clickhouse"], progress=lambda line: None)
    lines: list[str] = []

    [last] = stack.up(["clickhouse"], {}, lines.append)
    stack.down(["clickhouse"], progress=lambda line: None)

    assert (last.service.port, lines) == (ClickHouse.default_port, ["starting clickhouse …"])


def test_a_taken_port_names_its_holder_and_the_option(runner, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        result = runner.invoke(
            up, ["clickhouse", f"--port=clickhouse={port}", "--state", str(tmp_path), "-q"]
        )

    assert isinstance(result.exception, UsageError)
    assert f"port {port}, wanted for clickhouse, is held by process" in result.exception.message
    assert "--port clickhouse=" in (result.exception.help or "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["postgres"], "'postgres' is not one of 'kafka', 'clickhouse', 'flink'"),
        (["--port", "kafka"], '"kafka" is not SERVICE=PORT'),
        (["--port", "kafka=0"], '"kafka=0" is not SERVICE=PORT'),
        (["--port", "kafka=70000"], "a port from 1 to 65535"),
        (["kafka", "--port", "clickhouse=1"], "clickhouse is not among the services"),
        (["kafka", "--task-managers", "3"], "flink is not among the services"),
    ],
)
def test_wrong_use_exits_2_and_says_the_rule(runner, arguments, text) -> None:
    result = runner.invoke(up, arguments)

    assert result.exit_code == 2
    assert text in result.stderr


def test_down_without_anything_running_is_fine(runner, tmp_path) -> None:
    result = runner.invoke(down, ["--state", str(tmp_path)])

    assert result.exit_code == 0
    assert result.stderr == f"nothing runs: there is no stack in {tmp_path / 'stack'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["up", "down"])
def test_importing_the_verb_loads_no_service(verb) -> None:
    program = (
        f"import sys, pipelinekit.cli.{verb}; "
        "print([m for m in ('psutil', 'chdb', 'pyarrow', 'pipelinekit.devstack.stack') "
        "if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "[]\n"
