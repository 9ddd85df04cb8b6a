"""Where a job left its newest checkpoint: the cluster is asked, and if it forgot, its folder."""

from __future__ import annotations

import re
from typing import Any

from pipelinekit.errors import Refused
from pipelinekit.launch.flink_rest import FlinkRest

_CHECKPOINT = re.compile(r"chk-(\d+)")


def newest_checkpoint(rest: FlinkRest, checkpoints: str, job: str) -> str | None:
    """Its URI; None for a job that completed none. `checkpoints` is the URI of all jobs' folder.

    Raises Refused where neither can tell: to begin without it would count from somewhere else.
    """
    told = _told(rest, job)
    if told is None:
        try:
            told = _listed(checkpoints, job)
        except (OSError, ValueError) as error:  # pyarrow's are one or the other
            raise Refused(
                f"nobody knows the newest checkpoint of job {job}: Flink at {rest.url} has "
                f"forgotten the job, and {checkpoints}/{job} can't be seen from here: {error}",
                help="look there and name it, --from-savepoint URI; or begin anew, --from earliest",
            ) from error
    return told or None


def _told(rest: FlinkRest, job: str) -> str | None:
    """What Flink says: a URI, "" for none, None if it doesn't know the job."""
    try:
        latest: dict[str, Any] = rest.checkpoints(job).get("latest") or {}
    except Refused:
        return None
    # A job manager that took the job over knows which one it went on from.
    found = [c for name in ("completed", "restored") if (c := latest.get(name))]
    return str(max(found, key=lambda c: int(c["id"]))["external_path"]) if found else ""


def _listed(checkpoints: str, job: str) -> str:
    """What lies in the job's folder: a URI, "" for none.

    Object stores by pyarrow, with the credentials that their own tools would find. Raises OSError
    or ValueError for a folder that can't be seen from here.
    """
    from pyarrow import fs

    store, root = fs.FileSystem.from_uri(f"{checkpoints}/{job}")
    numbered = sorted(
        (int(match[1]), entry.path)
        for entry in store.get_file_info(fs.FileSelector(root))
        if (match := _CHECKPOINT.fullmatch(entry.base_name))
    )
    for number, path in reversed(numbered):
        if store.get_file_info(f"{path}/_metadata").type == fs.FileType.File:
            return f"{checkpoints}/{job}/chk-{number}"
    return ""
