"""The texts beside a compiled job: its plan, the DDL it expects, the manifests of its runner."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from pipelinekit.errors import UsageError
from pipelinekit.launch.artifact import Artifact
from pipelinekit.launch.templates import render as filled
from pipelinekit.plan.model import Plan
from pipelinekit.plan.render import render
from pipelinekit.runtime import flink_cluster
from pipelinekit.runtime.outside import ddl_from_nothing

_MEMORY = {
    "jobmanager.memory.process.size": "1600m",
    "taskmanager.memory.process.size": "2048m",
    # The gRPC channels to the Python workers.
    "taskmanager.memory.task.off-heap.size": "256m",
    # RocksDB's, if a job asks for it; the rest is heap.
    "taskmanager.memory.managed.size": "128m",
}
_OPTION = re.compile(r"[a-z][a-z0-9_-]*(\.[a-zA-Z0-9_-]+)+")
# Flink's image has a plug-in for each object store, by the scheme of a URI.
_STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "abfs": "azure", "abfss": "azure"}


def texts_of(made: Artifact, variables: Mapping[str, Any]) -> dict[str, str]:
    """Text by its path in the folder. `variables` of the environment name images and folders."""
    plan = made.plan
    texts = {f"{plan.job}.plan.txt": render(plan)}
    for sink, statements in ddl_from_nothing(plan).items():
        texts[f"ddl/{plan.job}.{sink}.sql"] = "".join(f"{s};\n" for s in statements)
    if made.runner == "flink":
        texts[f"kubernetes/{plan.job}.yaml"] = _kubernetes(made, variables)
    else:
        texts[f"dataflow/{plan.job}.metadata.json"] = filled(
            "dataflow/metadata.json.j2",
            name=f"pipelinekit {plan.job}",
            description=f"{len(plan.metrics)} metrics of {plan.source.topic}",
        )
    return texts


def secrets_of(plan: Plan) -> list[str]:
    """The names of the secrets that workers must find in their environment."""
    settings = [plan.source.security or {}, *(sink.settings for sink in plan.sinks)]
    return sorted(set(_secrets(settings)))


def _kubernetes(made: Artifact, variables: Mapping[str, Any]) -> str:
    name = f"pipelinekit-{made.plan.job}".replace("_", "-")
    checkpoints = str(variables.get("FLINK_CHECKPOINTS", "file:///checkpoints")).rstrip("/")
    scheme, separator, folder = checkpoints.partition("://")
    if not separator:
        raise UsageError(
            f'FLINK_CHECKPOINTS is "{checkpoints}", which is no URI',
            help="write s3://bucket/folder, or file:///folder for one that all pods mount",
        )
    cluster = {
        "parallelism.default": made.settings.parallelism,
        **_flink_options(name, checkpoints, str(variables.get("FLINK_OPTIONS", ""))),
    }
    return filled(
        "kubernetes/flink/cluster.yaml.j2",
        job=made.plan.job,
        name=name,
        settings=made.settings,
        cluster=cluster,
        jobs=flink_cluster.JOBS,
        # Pods read their configuration when they start: another one needs other pods.
        digest=sha256(json.dumps([cluster, flink_cluster.JOBS]).encode()).hexdigest()[:16],
        java_flags=flink_cluster.JAVA_FLAGS,
        folder=folder if scheme == "file" else None,
        plugin=f"flink-{_STORES[scheme]}-fs-hadoop-{flink_cluster.VERSION}.jar"
        if scheme in _STORES
        else None,
        flink_image=variables.get("FLINK_IMAGE", f"pipelinekit-flink:{version('pipelinekit')}"),
        worker_image=variables.get("WORKER_IMAGE", f"pipelinekit-workers:{version('pipelinekit')}"),
        secrets=secrets_of(made.plan),
    )


def _flink_options(name: str, checkpoints: str, more: str) -> dict[str, str]:
    """What the cluster is told; `more` wins."""
    return {
        "jobmanager.rpc.address": f"{name}-jobmanager",
        **_MEMORY,
        **flink_cluster.OPTIONS,
        # A job manager that is started again goes on with the jobs of the one before.
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"{checkpoints}/jobs",
        "high-availability.jobmanager.port": "6123",
        "kubernetes.cluster-id": name,
        # The dead one leads for so long; 15 s by default. The leader asks the API server each
        # second, and gives up what it can't renew for 5 s.
        "high-availability.kubernetes.leader-election.lease-duration": "6 s",
        "high-availability.kubernetes.leader-election.renew-deadline": "5 s",
        "high-availability.kubernetes.leader-election.retry-period": "1 s",
        "state.checkpoints.dir": checkpoints,
        "state.savepoints.dir": f"{checkpoints}/savepoints",
        "metrics.reporter.prom.port": "9249",
        # The image's own file has them too, but ours takes its place.
        "env.java.opts.all": " ".join(flink_cluster.JAVA_FLAGS),
        **_options(more),
    }


def _options(text: str) -> dict[str, str]:
    """Flink's options by name, one a line. Raises UsageError for a line that is none."""
    options = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(": ")
        if not colon or not _OPTION.fullmatch(name) or not value.strip():
            raise UsageError(
                f'FLINK_OPTIONS has the line "{line}", which is no option of Flink',
                help='write one a line, by its whole name: "s3.endpoint: https://store:9000"',
            )
        options[name] = value.strip()
    return options


def _secrets(value: object) -> Iterator[str]:
    """Every `{"secret": NAME}` in it, however deep."""
    if isinstance(value, Mapping):
        if set(value) == {"secret"}:
            yield str(value["secret"])
        else:
            for item in value.values():
                yield from _secrets(item)
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for item in value:
            yield from _secrets(item)
