"""A Flink cluster on the loopback: ZooKeeper, the managers, job server, Python workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Self

from pipelinekit.devstack import ports
from pipelinekit.devstack.flink.parts import (
    JOBS_FOLDER,
    JobManager,
    JobServer,
    Part,
    Ports,
    TaskManager,
    WorkerPool,
    ZooKeeper,
    prepare,
)
from pipelinekit.devstack.service import Component, Progress, running, to_stderr
from pipelinekit.errors import UsageError

TASK_MANAGERS = 2
JOB_MANAGERS = 1
_PORTS_FILE = "ports.json"
_OF_SEVERAL = ("rest", "rpc", "metrics")


class Flink(Component):
    """All parts are started, found and stopped together; each may be killed and restarted."""

    name: ClassVar[str] = "flink"
    title: ClassVar[str] = "Flink"
    default_port: ClassVar[int] = 8081

    def __init__(
        self,
        folder: Path,
        port: int,
        task_managers: int = TASK_MANAGERS,
        job_managers: int = JOB_MANAGERS,
    ) -> None:
        """`port` is that of the REST interface; the others are free ones, kept for later starts."""
        super().__init__(folder, port)
        self._set_ports(_new_ports(port, task_managers, job_managers))

    @classmethod
    def found(cls, folder: Path) -> Self | None:
        try:
            stored = json.loads((folder / _PORTS_FILE).read_text())
            kept = Ports(**stored | {name: tuple(stored[name]) for name in _OF_SEVERAL})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        flink = cls(folder, kept.rest[0], kept.task_managers, len(kept.rest))
        flink._set_ports(kept)
        found = [part.attach() for part in flink.parts.values()]
        return flink if any(found) else None

    @property
    def parts(self) -> Mapping[str, Part]:
        """By name: zookeeper, jobmanager and jobmanager-2 …, taskmanager-1 …, jobserver,
        workerpool.
        """
        return self._parts

    @property
    def task_managers(self) -> int:
        return self._ports.task_managers

    @property
    def job_managers(self) -> int:
        """One leads, the others stand by."""
        return len(self._ports.rest)

    @property
    def rest(self) -> str:
        """The first job manager's."""
        return f"http://{ports.HOST}:{self.port}"

    @property
    def address(self) -> dict[str, str]:
        """`rest`: of all job managers, with commas between them."""
        return {
            "rest": ",".join(f"http://{ports.HOST}:{port}" for port in self._ports.rest),
            "job_endpoint": f"{ports.HOST}:{self._ports.job}",
            "artifact_endpoint": f"{ports.HOST}:{self._ports.artifact}",
            "worker_pool": f"{ports.HOST}:{self._ports.worker_pool}",
        }

    @property
    def log(self) -> Path:
        """Where the parts' logs are, each in a folder of its own."""
        return self.folder

    @property
    def pid(self) -> int:
        """The first job manager's."""
        return self.parts["jobmanager"].pid

    @property
    def pids(self) -> dict[str, int]:
        """The parts that run."""
        return {name: part.pid for name, part in self.parts.items() if part.is_alive}

    @property
    def worker_pids(self) -> dict[str, int]:
        """The Python processes that work for jobs, by the worker's id; no spare ones."""
        pool = self.parts["workerpool"]
        assert isinstance(pool, WorkerPool)
        try:
            workers = json.loads(pool.status.read_text())["workers"]
        except FileNotFoundError:
            return {}
        return {str(name): int(pid) for name, pid in workers.items()}

    @property
    def is_alive(self) -> bool:
        return all(part.is_alive for part in self.parts.values())

    def start(self, progress: Progress = to_stderr) -> None:
        """Start the parts that don't run; a job manager goes on with the jobs of the one before.

        Returns when all answer. Where no part runs there are no jobs to go on with.
        """
        prepare(progress)
        if not self.pids:
            self._forget_jobs()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _PORTS_FILE).write_text(json.dumps(asdict(self._ports)))
        try:
            standby = [p for p in self.parts.values() if isinstance(p, JobManager) and p.number > 1]
            # Once the others answer: of a cluster that is new, the first job manager leads.
            for parts in ([p for p in self.parts.values() if p not in standby], standby):
                for part in parts:
                    if not part.is_alive:
                        part.spawn(progress)
                for part in parts:
                    part.wait_ready()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self) -> None:
        for part in self.parts.values():
            part.wait_ready()

    def stop(self) -> None:
        """End all parts, jobs with them. Checkpoints stay in the folder."""
        for part in reversed(list(self.parts.values())):
            part.stop()

    def restart(self, name: str, progress: Progress = to_stderr) -> Part:
        """Kill the part as a crash would, if it runs, and start it on the same ports."""
        if name not in self.parts:
            raise UsageError(f'Flink has no part "{name}"; it has {", ".join(self.parts)}')
        part = self.parts[name]
        if part.is_alive:
            part.kill()
        part.start(progress)
        return part

    def _forget_jobs(self) -> None:
        """They name ports of the cluster that is gone."""
        zookeeper = self.parts["zookeeper"]
        assert isinstance(zookeeper, ZooKeeper)
        for folder in (zookeeper.data, self.folder / JOBS_FOLDER):
            shutil.rmtree(folder, ignore_errors=True)

    def _set_ports(self, kept: Ports) -> None:
        self._ports = kept
        leaders = {
            name: JobManager(self.folder / name, kept, number)
            for number, name in enumerate(_job_manager_names(len(kept.rest)), 1)
        }
        managers = {
            f"taskmanager-{number}": TaskManager(
                self.folder / f"taskmanager-{number}", kept, number
            )
            for number in range(1, kept.task_managers + 1)
        }
        self._parts: dict[str, Part] = {
            "zookeeper": ZooKeeper(self.folder / "zookeeper", kept.zookeeper, kept),
            **leaders,
            **managers,
            "jobserver": JobServer(self.folder / "jobserver", kept.job, kept),
            "workerpool": WorkerPool(self.folder / "workerpool", kept.worker_pool, kept),
        }


@contextmanager
def running_flink(
    folder: Path,
    port: int | None = None,
    task_managers: int = TASK_MANAGERS,
    job_managers: int = JOB_MANAGERS,
) -> Iterator[Flink]:
    """A cluster that answers, on free ports when none is named, stopped at the end."""
    flink = Flink(folder, port or ports.free_port(), task_managers, job_managers)
    with running(flink):
        yield flink


def _job_manager_names(count: int) -> list[str]:
    return ["jobmanager", *(f"jobmanager-{number}" for number in range(2, count + 1))]


def _new_ports(rest: int, task_managers: int, job_managers: int) -> Ports:
    free: set[int] = set()
    # REST of the standby job managers, RPC of all, four single ones, the reporters'.
    while len(free) < (job_managers - 1) + job_managers + 4 + job_managers + task_managers:
        free |= {ports.free_port()} - {rest}
    left = list(free)

    def take(count: int) -> tuple[int, ...]:
        taken, left[:] = left[:count], left[count:]
        return tuple(taken)

    zookeeper, job, artifact, worker_pool = take(4)
    return Ports(
        rest=(rest, *take(job_managers - 1)),
        rpc=take(job_managers),
        zookeeper=zookeeper,
        job=job,
        artifact=artifact,
        worker_pool=worker_pool,
        metrics=take(job_managers + task_managers),
    )
