"""What is deployed: the record of a job on a runner, kept beside the project's other state.

The record is what a later submission must know and no spec says: shards and buckets, epoch, from
where on each metric counts, where the state lies.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelinekit.errors import Refused
from pipelinekit.plan.codec import decode, encode
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.floors import MetricState

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """One job as it was submitted last. `runner_job` is the runner's own id of it.

    It is empty from before the hand-over until the runner has the job: a submission that is killed
    in between leaves one that only its `runner_name` finds. `savepoint` is where the state lies
    that it was stopped with, `checkpoints` the folder of the runner's own, `began_from` the
    state that it was submitted with.
    """

    job: str
    runner: str
    runner_job: str
    submitted_at_ms: int
    epoch: int
    shards: int
    buckets: int
    topic_id: str
    positions: Mapping[int, int]
    metrics: Mapping[str, MetricState]
    plan: Plan
    checkpoints: str = ""
    savepoint: str | None = None
    began_from: str | None = None


def runner_name(plan: Plan) -> str:
    """The job's name on its runner: unique on a cluster that several environments share."""
    return f"pipelinekit-{plan.environment}-{plan.job}".replace("_", "-")


def load(folder: Path, job: str) -> Deployment | None:
    """The job's record, None if it was never submitted. Raises Refused for another format."""
    path = _path(folder, job)
    if not path.exists():
        return None
    data: dict[str, Any] = json.loads(path.read_text())
    if data.pop("format") != FORMAT:
        raise Refused(
            f"{path} was written by another version",
            help="submit with that version, or start anew: --from earliest, after moving the file",
        )
    data["positions"] = {int(p): o for p, o in data["positions"].items()}
    data["metrics"] = {name: MetricState(**m) for name, m in data["metrics"].items()}
    data["plan"] = decode(base64.b64decode(data["plan"]))
    return Deployment(**data)


def save(folder: Path, deployment: Deployment) -> None:
    """Write the record; the one before is replaced at once or not at all."""
    path = _path(folder, deployment.job)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {name: getattr(deployment, name) for name in Deployment.__dataclass_fields__}
    data["metrics"] = {name: asdict(m) for name, m in deployment.metrics.items()}
    data["plan"] = base64.b64encode(encode(deployment.plan)).decode()
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"format": FORMAT, **data}, indent=1))
    os.replace(temporary, path)


def names(folder: Path) -> list[str]:
    """The jobs that have a record."""
    return sorted(p.stem for p in (folder / "jobs").glob("*.json"))


def _path(folder: Path, job: str) -> Path:
    return folder / "jobs" / f"{job}.json"
