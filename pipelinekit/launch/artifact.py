"""What `compile` writes and `submit` reads: a job as files that a review can look at.

`<job>.json` is the job (plan, runner and its settings, no secret), `<job>.plan.txt` the plan for
readers, `ddl/` the tables and topics it expects, `kubernetes/` the cluster to run it on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelinekit.errors import Refused, UsageError
from pipelinekit.plan.codec import decode, encode
from pipelinekit.plan.model import Plan

FORMAT = 1
_SUFFIX = ".job.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a job runs on its runner; all of it may be reviewed with the plan.

    `shards` readers share the partitions and `buckets` divide the keys: both are part of the
    state and stay as they are at the first submission. `parallelism` may change.
    """

    parallelism: int = 1
    shards: int = 1
    buckets: int = 2
    checkpoint_every_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled job. `built_with` names the versions that it was compiled by."""

    runner: str
    plan: Plan
    settings: Settings
    built_with: Mapping[str, str]


def built_with() -> dict[str, str]:
    return {"pipelinekit": version("pipelinekit")}


def write(folder: Path, artifact: Artifact, texts: Mapping[str, str]) -> list[Path]:
    """The artifact and its texts (by path in the folder) as files; gives those written."""
    job = artifact.plan.job
    document = {
        "format": FORMAT,
        "job": job,
        "environment": artifact.plan.environment,
        "runner": artifact.runner,
        "settings": asdict(artifact.settings),
        "built_with": dict(artifact.built_with),
        "plan": base64.b64encode(encode(artifact.plan)).decode(),
    }
    files = {f"{job}{_SUFFIX}": json.dumps(document, indent=1) + "\n", **texts}
    written = []
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UsageError(f"{folder} can't be written: {error.strerror}") from error
    return written


def read(folder: Path) -> list[Artifact]:
    """The jobs of a folder. Raises UsageError if it holds none, Refused for one it can't read."""
    paths = sorted(folder.glob(f"*{_SUFFIX}"))
    if not paths:
        raise UsageError(
            f"{folder} holds no compiled job",
            help=f"make one: pipelinekit compile -o {folder} --runner flink",
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> Artifact:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise Refused(
                f"{path} has format {document['format']}, this version reads {FORMAT}",
                help="compile it again",
            )
        return Artifact(
            runner=document["runner"],
            plan=decode(base64.b64decode(document["plan"])),
            settings=Settings(**document["settings"]),
            built_with=document["built_with"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{path} can't be read: {error!r}", help="compile it again") from error
