"""Beam's pool of external workers, with spare ones that have imported everything already.

`python -m pipelinekit.runtime.beam.worker_pool --port 50000`; jobs name it with
`--environment_type=EXTERNAL --environment_config=HOST:50000`. Workers run in this environment:
artifacts that a pipeline stages are not fetched.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from apache_beam.portability.api import beam_fn_api_pb2

_LOG = logging.getLogger("pool")
# A new spare's imports would take the processor from the worker that is needed now.
SPARE_DELAY_S = 3.0
# A runner whose worker broke off has it stopped at once, or is gone itself. One that still waits
# for the worker waits for ever, so the order is given again.
AGAIN_AFTER_S = 1.0
AGAIN_TIMES = 5
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker has to connect to; `id` is its name on the runner's side."""

    id: str
    logging_endpoint: str
    provision_endpoint: str
    control_endpoint: str


@dataclass(slots=True)
class Worker:
    """A process of worker_boot; spare while it has no order. `times` it was given before."""

    process: subprocess.Popen[bytes]
    order: Order | None = None
    times: int = 0

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def take(self, order: Order, times: int) -> bool:
        """Give it its work; False if it is dead."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        self.order, self.times = order, times
        return True

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Again:
    """An order whose worker ended by itself; `due` on the monotonic clock."""

    due: float
    order: Order
    times: int


class WorkerPool:
    """The service that Flink's task managers call. All methods may be called from any thread."""

    def __init__(self, spares: int, status: Path | None = None) -> None:
        self._spares = spares
        self._status = status
        self._lock = threading.RLock()
        self._workers: list[Worker] = []
        self._again: list[Again] = []
        self._next_spare = 0.0

    def StartWorker(self, request: beam_fn_api_pb2.StartWorkerRequest, _: object) -> object:  # noqa: N802
        from apache_beam.portability.api import beam_fn_api_pb2

        order = Order(
            request.worker_id,
            request.logging_endpoint.url,
            request.provision_endpoint.url,
            request.control_endpoint.url,
        )
        with self._lock:
            self._give(order, 0)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: beam_fn_api_pb2.StopWorkerRequest, _: object) -> object:  # noqa: N802
        from apache_beam.portability.api import beam_fn_api_pb2

        name = request.worker_id
        with self._lock:
            self._again = [again for again in self._again if again.order.id != name]
            stopped = [worker for worker in self._workers if _name(worker) == name]
            self._workers = [worker for worker in self._workers if worker not in stopped]
            self._write_status()
        for worker in stopped:
            if worker.is_alive:
                worker.stop()
                _LOG.info("worker %s stopped (process %d)", name, worker.process.pid)
            else:
                _say_ended(worker)
        return beam_fn_api_pb2.StopWorkerResponse()

    def keep(self) -> None:
        """One round: bury the dead, give orders again, make the spares that are due."""
        with self._lock:
            now = time.monotonic()
            for worker in [worker for worker in self._workers if not worker.is_alive]:
                self._bury(worker, now)
            due = [again for again in self._again if again.due <= now]
            self._again = [again for again in self._again if again.due > now]
            for again in due:
                if _listens(again.order.control_endpoint):
                    self._give(again.order, again.times)
            spares = sum(worker.order is None for worker in self._workers)
            if spares < self._spares and now >= self._next_spare:
                self._spawn()
                self._write_status()

    def stop(self) -> None:
        with self._lock:
            workers, self._workers = self._workers, []
            self._again, self._spares = [], 0
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.stop()

    def _give(self, order: Order, times: int) -> None:
        """A spare takes the order, a new process if there is none."""
        spares = [worker for worker in self._workers if worker.order is None and worker.is_alive]
        worker = next((spare for spare in spares if spare.take(order, times)), None)
        if worker is None:
            worker = self._spawn()
            worker.take(order, times)
        self._next_spare = time.monotonic() + SPARE_DELAY_S
        self._write_status()
        _LOG.info("worker %s is process %d", order.id, worker.process.pid)

    def _bury(self, worker: Worker, now: float) -> None:
        self._workers.remove(worker)
        self._next_spare = now + SPARE_DELAY_S  # if it was one, the next may end the same way
        _say_ended(worker)
        if worker.order is not None and worker.times < AGAIN_TIMES:
            self._again.append(Again(now + AGAIN_AFTER_S, worker.order, worker.times + 1))
        self._write_status()

    def _spawn(self) -> Worker:
        command = [sys.executable, "-m", "pipelinekit.runtime.beam.worker_boot"]
        worker = Worker(subprocess.Popen(command, stdin=subprocess.PIPE))
        self._workers.append(worker)
        return worker

    def _write_status(self) -> None:
        if self._status is None:
            return
        status = {
            "workers": {
                worker.order.id: worker.process.pid for worker in self._workers if worker.order
            },
            "spares": [worker.process.pid for worker in self._workers if worker.order is None],
        }
        scratch = self._status.with_suffix(".new")
        scratch.write_text(json.dumps(status))
        scratch.replace(self._status)


def _say_ended(worker: Worker) -> None:
    what = "a spare" if worker.order is None else f"worker {worker.order.id}"
    pid, code = worker.process.pid, worker.process.returncode
    _LOG.warning("%s ended by itself (process %d, exit code %d)", what, pid, code)


def _listens(endpoint: str) -> bool:
    host, _, port = endpoint.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1):
            return True
    except OSError:
        return False


def _name(worker: Worker) -> str | None:
    return None if worker.order is None else worker.order.id


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="worker_pool", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--spares", type=int, default=1, help="workers that wait, imports done")
    parser.add_argument("--status", type=Path, help="file that says which process is which worker")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger().setLevel(logging.ERROR)  # while importing: Beam warns of optional packages
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2_grpc

    logging.getLogger().setLevel(logging.INFO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)
    pool = WorkerPool(options.spares, options.status)
    server = grpc.server(ThreadPoolExecutor(8))
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    if server.add_insecure_port(f"{options.host}:{options.port}") == 0:
        _LOG.error("port %d of %s is taken", options.port, options.host)
        return 3
    try:
        pool.keep()
        server.start()
        _LOG.info("listening on %s:%d", options.host, options.port)
        while True:
            time.sleep(_POLL_S)
            pool.keep()
    finally:
        pool.stop()
        server.stop(None)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
