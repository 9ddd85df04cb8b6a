"""The texts beside a compiled job: its plan, the DDL it expects, the manifests of its cluster."""

from __future__ import annotations

from pipelinekit.launch.artifact import Artifact
from pipelinekit.plan.render import render
from pipelinekit.runtime.outside import ddl_from_nothing


def texts_of(made: Artifact) -> dict[str, str]:
    """Text by its path in the folder."""
    plan = made.plan
    texts = {f"{plan.job}.plan.txt": render(plan)}
    for sink, statements in ddl_from_nothing(plan).items():
        texts[f"ddl/{plan.job}.{sink}.sql"] = "".join(f"{s};\n" for s in statements)
    return texts
