"""The texts beside a compiled job: its plan, the DDL it expects, the manifests of its runner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from pipelinekit.launch.artifact import Artifact
from pipelinekit.launch.templates import render as filled
from pipelinekit.plan.model import Plan
from pipelinekit.plan.render import render
from pipelinekit.runtime.outside import ddl_from_nothing


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
    return filled(
        "kubernetes/flink/cluster.yaml.j2",
        job=made.plan.job,
        name=name,
        settings=made.settings,
        checkpoints=variables.get("FLINK_CHECKPOINTS", "file:///checkpoints"),
        flink_image=variables.get("FLINK_IMAGE", f"pipelinekit-flink:{version('pipelinekit')}"),
        worker_image=variables.get("WORKER_IMAGE", f"pipelinekit-workers:{version('pipelinekit')}"),
        secrets=secrets_of(made.plan),
    )


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
