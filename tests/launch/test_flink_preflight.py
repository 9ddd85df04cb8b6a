"""What `submit` looks at before it hands a job to Flink."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelinekit.devstack.ports import free_port
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.launch.flink import FlinkCluster, preflight
from tests.launch.fake_flink import FakeFlink


@pytest.fixture
def job_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def task_manager_at(flink: FakeFlink, host: str) -> None:
    path = f"pekko.tcp://flink@{host}:45115/user/rpc/taskmanager_0"
    flink.answers["/taskmanagers"] = {
        "taskmanagers": [{"id": f"{host}:45115-763f45", "path": path}]
    }


def cluster(flink: FakeFlink, job_server: str, checkpoints: str) -> FlinkCluster:
    pool = f"127.0.0.1:{free_port()}"  # nobody listens there
    return FlinkCluster(flink.url, job_server, job_server, pool, checkpoints)


def test_a_pool_of_this_machine_must_answer(
    flink: FakeFlink, job_server: str, tmp_path: Path
) -> None:
    task_manager_at(flink, "127.0.0.1")

    with pytest.raises(Unreachable, match="the worker pool at"):
        preflight(cluster(flink, job_server, tmp_path.as_uri()), "another", 1)


def test_a_folder_of_this_machine_must_be_writable(
    flink: FakeFlink, job_server: str, tmp_path: Path
) -> None:
    task_manager_at(flink, "127.0.0.1")
    (tmp_path / "file").write_bytes(b"")
    where = cluster(flink, job_server, f"{tmp_path.as_uri()}/file")
    pool = FlinkCluster(where.rest, job_server, job_server, job_server, where.checkpoints)

    with pytest.raises(Refused, match="checkpoints can't be written"):
        preflight(pool, "another", 1)


def test_of_task_managers_elsewhere_neither_loopback_nor_folders_are_looked_at_here(
    flink: FakeFlink, job_server: str, tmp_path: Path
) -> None:
    task_manager_at(flink, "10.22.0.38")
    folder = tmp_path / "checkpoints"

    found = preflight(cluster(flink, job_server, folder.as_uri()), "another", 1)

    assert found[1] == f"checkpoints in {folder.as_uri()}"
    assert not folder.exists()
