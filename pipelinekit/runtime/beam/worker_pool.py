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
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from apache_beam.portability.api import beam_fn_api_pb2

_LOG = logging.getLogger("pool")
# A new spare's imports would take the processor from the worker that is needed now.
SPARE_DELAY_S = 3.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.1


@dataclass(slots=True)
class Worker:
    """A process of worker_boot; spare while it has no id."""

    process: subprocess.Popen[bytes]
    id: str | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def order(self, order: dict[str, str]) -> bool:
        """Give it its work; False if it is dead."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        self.id = order["id"]
        return True

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class WorkerPool:
    """The service that Flink's task managers call. All methods may be called from any thread."""

    def __init__(self, spares: int, status: Path | None = None) -> None:
        self._spares = spares
        self._status = status
        self._lock = threading.RLock()
        self._workers: list[Worker] = []
        self._next_spare = 0.0

    def StartWorker(self, request: beam_fn_api_pb2.StartWorkerRequest, _: object) -> object:  # noqa: N802
        from apache_beam.portability.api import beam_fn_api_pb2

        order = {
            "id": request.worker_id,
            "logging_endpoint": request.logging_endpoint.url,
            "provision_endpoint": request.provision_endpoint.url,
            "control_endpoint": request.control_endpoint.url,
        }
        with self._lock:
            spares = [worker for worker in self._workers if worker.id is None and worker.is_alive]
            worker = next((spare for spare in spares if spare.order(order)), None)
            if worker is None:
                worker = self._spawn()
                worker.order(order)
            self._next_spare = time.monotonic() + SPARE_DELAY_S
            self._write_status()
        _LOG.info("worker %s is process %d", worker.id, worker.process.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: beam_fn_api_pb2.StopWorkerRequest, _: object) -> object:  # noqa: N802
        from apache_beam.portability.api import beam_fn_api_pb2

        with self._lock:
            stopped = [worker for worker in self._workers if worker.id == request.worker_id]
            self._workers = [worker for worker in self._workers if worker not in stopped]
            self._write_status()
        for worker in stopped:
            worker.stop()
            _LOG.info("worker %s stopped (process %d)", worker.id, worker.process.pid)
        return beam_fn_api_pb2.StopWorkerResponse()

    def keep(self) -> None:
        """One round: bury the dead, make the spares that are due."""
        with self._lock:
            dead = [worker for worker in self._workers if not worker.is_alive]
            for worker in dead:
                self._workers.remove(worker)
                _LOG.warning(
                    "%s ended by itself (process %d, exit code %d)",
                    "a spare" if worker.id is None else f"worker {worker.id}",
                    worker.process.pid,
                    worker.process.returncode,
                )
                if worker.id is None:  # the next one may end the same way
                    self._next_spare = time.monotonic() + SPARE_DELAY_S
            spares = sum(worker.id is None for worker in self._workers)
            if spares < self._spares and time.monotonic() >= self._next_spare:
                self._spawn()
            elif not dead:
                return
            self._write_status()

    def stop(self) -> None:
        with self._lock:
            workers, self._workers = self._workers, []
            self._spares = 0
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.stop()

    def _spawn(self) -> Worker:
        command = [sys.executable, "-m", "pipelinekit.runtime.beam.worker_boot"]
        worker = Worker(subprocess.Popen(command, stdin=subprocess.PIPE))
        self._workers.append(worker)
        return worker

    def _write_status(self) -> None:
        if self._status is None:
            return
        status = {
            "workers": {worker.id: worker.process.pid for worker in self._workers if worker.id},
            "spares": [worker.process.pid for worker in self._workers if worker.id is None],
        }
        scratch = self._status.with_suffix(".new")
        scratch.write_text(json.dumps(status))
        scratch.replace(self._status)


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
