"""A Python worker that has imported everything before it is asked for.

The pool starts it and keeps the other end of its standard input. One line of JSON there is the
order: id, logging_endpoint, provision_endpoint, control_endpoint; with it this process becomes
Beam's SDK harness. The end of that input says that the pool is gone, and this process goes too.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping

# Of the 2 to 4 s that a start takes, these are nearly all.
WARM = (
    "apache_beam",
    "apache_beam.runners.worker.sdk_worker_main",
    "numpy",
    "polars",
    "pyarrow",
    "pipelinekit.engine.compile",
    "pipelinekit.engine.ingest",
    "pipelinekit.engine.panes",
    "pipelinekit.engine.rows",
    "pipelinekit.runtime.beam.graph",
)
_PROVISION_TIMEOUT_S = 30.0


def main() -> int:
    logging.basicConfig(
        format="%(asctime)s worker %(process)d %(levelname)s %(name)s: %(message)s",
        level=logging.ERROR,  # while importing: Beam warns of optional packages
    )
    # A worker is one slot's share of a machine, and its columns are short.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    for module in WARM:
        with contextlib.suppress(ModuleNotFoundError):  # a worker that needs it says so itself
            importlib.import_module(module)
    # The harness lowers the root logger's level, for what goes to the runner. This log is for what
    # can't: errors. Options of Java's side are warned of at each start.
    logging.getLogger().handlers[0].setLevel(logging.ERROR)
    order = sys.stdin.buffer.readline()
    if not order:
        return 0
    threading.Thread(target=_end_with_the_pool, name="pool-watch", daemon=True).start()
    _become_worker(json.loads(order))
    return 0


def _end_with_the_pool() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _become_worker(order: Mapping[str, str]) -> None:
    """Runs the harness until the runner lets it go."""
    from apache_beam.runners.worker import sdk_worker_main
    from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

    # Read from the environment when the module is imported, which was before the order.
    WorkerIdInterceptor._worker_id = order["id"]
    os.environ["WORKER_ID"] = order["id"]
    os.environ.update(_provision(order))
    sdk_worker_main.main([])


def _provision(order: Mapping[str, str]) -> dict[str, str]:
    """What the harness reads from its environment, asked of the runner's provision service."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor
    from google.protobuf import json_format

    with grpc.insecure_channel(order["provision_endpoint"]) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(
            grpc.intercept_channel(channel, WorkerIdInterceptor(order["id"]))
        )
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = stub.GetProvisionInfo(request, timeout=_PROVISION_TIMEOUT_S).info
    logging_endpoint = info.logging_endpoint.url or order["logging_endpoint"]
    control_endpoint = info.control_endpoint.url or order["control_endpoint"]
    return {
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{logging_endpoint}"',
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{control_endpoint}"',
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


if __name__ == "__main__":
    sys.exit(main())
