from __future__ import annotations

import json
import os
import signal
import urllib.request

import psutil
import pytest

from pipelinekit.devstack import ports
from pipelinekit.devstack.flink import Flink
from pipelinekit.devstack.stack import FlinkSize, Stack
from pipelinekit.errors import UsageError

pytestmark = pytest.mark.flink


def overview(flink: Flink) -> dict[str, int]:
    with urllib.request.urlopen(f"{flink.rest}/overview", timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
        return found


def test_the_cluster_is_whole_and_its_addresses_are_on_the_loopback(flink) -> None:
    assert overview(flink)["slots-total"] == 2
    assert sorted(flink.pids) == [
        "jobmanager",
        "jobserver",
        "taskmanager-1",
        "taskmanager-2",
        "workerpool",
        "zookeeper",
    ]
    assert all("127.0.0.1:" in address for address in flink.address.values())


def test_it_is_found_by_its_folder_with_the_same_ports_and_processes(flink) -> None:
    found = Flink.found(flink.folder)

    assert found is not None
    assert found.is_alive
    assert (found.address, found.pids) == (flink.address, flink.pids)


def test_jobs_are_told_not_to_hold_records_back_until_a_buffer_is_full(flink) -> None:
    [told] = (flink.folder / "jobserver" / "client").iterdir()
    assert told.read_text() == 'execution.buffer-timeout.interval: "0 ms"\n'
    assert f"--flink-conf-dir={told.parent}" in psutil.Process(flink.pids["jobserver"]).cmdline()


def test_metrics_of_each_process_are_there_for_prometheus(flink) -> None:
    for port in flink.parts["jobmanager"].cluster.metrics:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"flink_" in answer.read()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (FlinkSize(task_managers=3), "with 2 task managers, and 3 were asked for"),
        (FlinkSize(job_managers=2), "with 1 job managers, and 2 were asked for"),
    ],
)
def test_another_number_of_managers_than_runs_is_refused(flink, tmp_path, size, words) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "flink").symlink_to(flink.folder)

    with pytest.raises(UsageError, match=words) as caught:
        Stack(tmp_path).up(["flink"], {}, lambda line: None, flink_size=size)

    assert caught.value.help == "stop it first: pipelinekit down flink"


@pytest.mark.slow
def test_a_killed_task_manager_comes_back_on_its_port(flink) -> None:
    before = flink.pids

    part = flink.restart("taskmanager-2")

    assert part.pid != before["taskmanager-2"]
    assert flink.pids | {"taskmanager-2": 0} == before | {"taskmanager-2": 0}


@pytest.mark.slow
def test_after_a_restart_of_the_job_manager_the_task_managers_are_back(flink) -> None:
    flink.restart("jobmanager")
    flink.wait_ready()

    assert overview(flink)["taskmanagers"] == 2


@pytest.mark.slow
def test_a_cluster_started_anew_goes_on_with_no_job_of_the_one_before(tmp_path) -> None:
    first = Flink(tmp_path, ports.free_port(), task_managers=1)
    left = [tmp_path / "zookeeper" / "data" / "left", tmp_path / "jobs" / "left"]
    for file in left:
        file.parent.mkdir(parents=True)
        file.touch()

    first.start(lambda line: None)
    first.stop()

    assert not any(file.exists() for file in left)


def test_a_part_that_does_not_exist_is_refused_with_those_that_do(flink) -> None:
    with pytest.raises(UsageError, match='no part "taskmanager-9"; it has zookeeper'):
        flink.restart("taskmanager-9")


def test_a_start_starts_only_what_is_missing(flink) -> None:
    before = flink.pids
    flink.parts["workerpool"].kill()
    found = Flink.found(flink.folder)
    assert found is not None
    was_alive = found.is_alive

    found.start(lambda line: None)
    flink.parts["workerpool"].attach()

    assert not was_alive
    assert flink.is_alive
    assert {name for name in before if before[name] != flink.pids[name]} == {"workerpool"}


def test_no_worker_outlives_its_pool(flink) -> None:
    pool = flink.parts["workerpool"]
    workers = psutil.Process(pool.pid).children()
    assert workers

    os.kill(pool.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=20)
    pool.attach()
    pool.start(lambda line: None)

    assert alive == []
