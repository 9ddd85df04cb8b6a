from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelinekit.devstack.clickhouse import ClickHouse, running_clickhouse

pytestmark = pytest.mark.clickhouse


def execute(clickhouse: ClickHouse, statement: str) -> str:
    with urllib.request.urlopen(clickhouse.url, statement.encode(), timeout=10) as answer:
        return str(answer.read().decode())


def test_data_outlives_a_stop_and_a_kill(tmp_path) -> None:
    with running_clickhouse(tmp_path) as clickhouse:
        execute(clickhouse, "CREATE DATABASE d")
        execute(clickhouse, "CREATE TABLE d.t (n Int64) ENGINE = MergeTree ORDER BY n")
        execute(clickhouse, "INSERT INTO d.t FORMAT TSV\n1\n2\n")
        first = clickhouse.pid

        clickhouse.kill()
        clickhouse.start()
        after_kill = execute(clickhouse, "SELECT sum(n) FROM d.t")
        execute(clickhouse, "INSERT INTO d.t FORMAT TSV\n3\n")
        clickhouse.stop()
        clickhouse.start()
        after_stop = execute(clickhouse, "SELECT sum(n) FROM d.t")

        assert (after_kill, after_stop) == ("3\n", "6\n")
        assert clickhouse.pid != first
        log = clickhouse.log.read_text()
        assert log.count("development only") == 3
        assert log.count("ended in order") == 1


def test_a_stop_lets_the_running_query_end(tmp_path) -> None:
    with running_clickhouse(tmp_path) as clickhouse, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(execute, clickhouse, "SELECT sleep(1)")
        running = "SELECT count() > 1 FROM system.processes WHERE query LIKE '%sleep(1)%'"
        while not answer.done() and execute(clickhouse, running) != "1\n":
            pass

        clickhouse.stop()

        assert answer.result() == "0\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_the_program_that_runs_it(tmp_path, number) -> None:
    program = f"""
import time
from pathlib import Path
from pipelinekit.devstack.clickhouse import running_clickhouse
with running_clickhouse(Path({str(tmp_path)!r})):
    print("inside", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"inside\n"
        clickhouse = ClickHouse.found(tmp_path)
        assert clickhouse is not None

        parent.send_signal(number)
        parent.communicate(timeout=30)

    assert not clickhouse.is_alive
    assert "ended in order" in clickhouse.log.read_text()
