"""The processes of the local cluster, each one startable, killable and restartable by itself."""

from __future__ import annotations

import secrets
import socket
import sys
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipelinekit.devstack import class_archive, ports
from pipelinekit.devstack.flink import archive, distribution, settings
from pipelinekit.devstack.flink.rest import answer
from pipelinekit.devstack.service import Progress, Service

JOBS_FOLDER = "jobs"  # job graphs and pointers to checkpoints; ZooKeeper knows which


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen, on the loopback; the same for all lives of a cluster.

    `rest` and `rpc` are of each job manager; `metrics` of the Prometheus reporters: the job
    managers', then the task managers'.
    """

    rest: tuple[int, ...]
    rpc: tuple[int, ...]
    zookeeper: int
    job: int
    artifact: int
    worker_pool: int
    metrics: tuple[int, ...]

    @property
    def master(self) -> str:
        return f"{ports.HOST}:{self.rest[0]}"

    @property
    def task_managers(self) -> int:
        return len(self.metrics) - len(self.rest)


def prepare(progress: Progress) -> None:
    """Fill the cache if it isn't filled (distribution.py, archive.py)."""
    distribution.fetch(progress)
    archive.make(progress)


class Part(Service):
    """A process of the cluster, on a folder of its own below the cluster's."""

    default_port: ClassVar[int] = 0

    def __init__(self, folder: Path, port: int, cluster: Ports) -> None:
        super().__init__(folder, port)
        self.cluster = cluster

    @property
    def address(self) -> dict[str, str]:
        return {"address": f"{ports.HOST}:{self.port}"}

    def prepare(self, progress: Progress) -> None:
        prepare(progress)

    @abstractmethod
    def command(self) -> list[str]: ...

    def is_answering(self) -> bool:
        return _accepts(self.port)

    def configure(self, values: dict[str, str]) -> Path:
        """The configuration folder, written anew."""
        conf, temporary = self.folder / "conf", self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        common = {
            "rest.port": str(self.cluster.rest[0]),
            "rest.bind-port": str(self.cluster.rest[0]),
            "jobmanager.rpc.port": str(self.cluster.rpc[0]),
            "state.checkpoints.dir": (self.folder.parent / "checkpoints").as_uri(),
            "state.savepoints.dir": (self.folder.parent / "savepoints").as_uri(),
            "io.tmp.dirs": str(temporary),
            "web.tmpdir": str(temporary),
            **self._coming_back(),
        }
        settings.write(conf, common | values)
        return conf

    def _coming_back(self) -> dict[str, str]:
        return settings.coming_back(
            f"{ports.HOST}:{self.cluster.zookeeper}", (self.folder.parent / JOBS_FOLDER).as_uri()
        )


class ZooKeeper(Part):
    """Where the job manager notes its jobs and their checkpoints, for its next life."""

    name: ClassVar[str] = "zookeeper"
    title: ClassVar[str] = "ZooKeeper"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def command(self) -> list[str]:
        conf = settings.write_zookeeper(self.folder, self.data, self.port)
        options = ["-Xmx48m", "-XX:TieredStopAtLevel=1"]
        java = settings.java(self.folder, distribution.class_path(), *_archived(), *options)
        main = "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer"
        return [*java, main, "--zkConfigFile", str(conf), "--peerId", "1"]


class JobManager(Part):
    """One leads, the others stand by. `number` counts from 1."""

    name: ClassVar[str] = "jobmanager"
    title: ClassVar[str] = "Flink's job manager"
    port_name: ClassVar[str] = "flink"

    def __init__(self, folder: Path, cluster: Ports, number: int) -> None:
        super().__init__(folder, cluster.rest[number - 1], cluster)
        self.number = number

    def command(self) -> list[str]:
        rpc = str(self.cluster.rpc[self.number - 1])
        conf = self.configure(
            {
                "rest.port": str(self.port),
                "rest.bind-port": str(self.port),
                "jobmanager.rpc.port": rpc,
                "high-availability.jobmanager.port": rpc,
                "metrics.reporter.prom.port": str(self.cluster.metrics[self.number - 1]),
            }
        )
        options = ["-Xmx512m", "-XX:MaxMetaspaceSize=256m", "-XX:TieredStopAtLevel=1"]
        java = settings.java(conf, _class_path(), *_archived(), *options)
        return [*java, archive.JOB_MANAGER, "--configDir", str(conf)]

    def is_answering(self) -> bool:
        return answer(self.port, "/overview") is not None


class TaskManager(Part):
    """One slot. `number` counts from 1."""

    name: ClassVar[str] = "taskmanager"
    title: ClassVar[str] = "a task manager of Flink"

    def __init__(self, folder: Path, cluster: Ports, number: int) -> None:
        super().__init__(folder, ports.free_port(), cluster)
        self.number = number

    def command(self) -> list[str]:
        # Another name each time: the job manager can't take it for the one that died.
        name = f"{self.folder.name}-{secrets.token_hex(3)}"
        conf = self.configure(
            {
                "taskmanager.resource-id": name,
                "taskmanager.rpc.port": str(self.port),
                "metrics.reporter.prom.port": str(
                    self.cluster.metrics[len(self.cluster.rest) + self.number - 1]
                ),
            }
        )
        (self.folder / "name").write_text(name)
        options = [*_archived(), *settings.task_manager_options()]
        java = settings.java(conf, _class_path(), *options)
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        return [*java, main, "--configDir", str(conf)]

    def is_answering(self) -> bool:
        """Whether the job manager has it and its slot."""
        name = (self.folder / "name").read_text()
        found = (answer(self.cluster.rest[0], "/taskmanagers") or {}).get("taskmanagers", [])
        return any(manager["id"] == name and manager["slotsNumber"] for manager in found)


class JobServer(Part):
    name: ClassVar[str] = "jobserver"
    title: ClassVar[str] = "Beam's job server"

    def command(self) -> list[str]:
        conf = self.configure({})
        options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dpipelinekit.on-cluster=true"]
        return [
            *settings.java(conf, _class_path(), *_archived(), *options),
            "pipelinekit.flink.JobServer",
            f"--flink-master={self.cluster.master}",
            f"--job-host={ports.HOST}",
            f"--job-port={self.cluster.job}",
            f"--artifact-port={self.cluster.artifact}",
            "--expansion-port=0",  # it can't be left out; any free one
            "--artifacts-dir",  # in one word with its value it takes no space
            str(self.folder / "artifacts"),
            f"--flink-conf-dir={self._client()}",
        ]

    def _client(self) -> Path:
        """What jobs are told; with standby job managers also that they go to the one that leads."""
        client = self.folder / "client"
        settings.write_client(client, self._coming_back() if len(self.cluster.rest) > 1 else {})
        return client

    def is_answering(self) -> bool:
        return _accepts(self.cluster.artifact) and _accepts(self.cluster.job)


class WorkerPool(Part):
    name: ClassVar[str] = "workerpool"
    title: ClassVar[str] = "the pool of Python workers"

    @property
    def status(self) -> Path:
        return self.folder / "workers.json"

    def command(self) -> list[str]:
        self.status.unlink(missing_ok=True)
        pool = [sys.executable, "-m", "pipelinekit.runtime.beam.worker_pool"]
        return [*pool, "--port", str(self.port), "--status", str(self.status)]


def _class_path() -> str:
    return f"{distribution.class_path()}:{distribution.job_server()}"


def _archived() -> list[str]:
    return class_archive.options(archive.place())


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((ports.HOST, port), 1):
            return True
    except OSError:
        return False
