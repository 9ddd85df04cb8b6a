"""Flink's REST interface: what we ask of it, as plain values."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelinekit.errors import Refused, Unreachable

_TIMEOUT_S = 10.0
_POLL_S = 0.2
# A job manager that was started again answers some seconds before it leads.
_LEADERLESS = 503
_LED_WITHIN_S = 15.0
_HELP = "start it with `pipelinekit up flink`, or set FLINK_REST to one that runs"


@dataclass(frozen=True, slots=True)
class FlinkRest:
    """A cluster's JobManager at `url`."""

    url: str

    def overview(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", "/overview")
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs the cluster remembers: jid, name, state, start-time, tasks."""
        jobs: list[dict[str, Any]] = self._ask("GET", "/jobs/overview")["jobs"]
        return jobs

    def job(self, job: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", f"/jobs/{job}")
        return answer

    def checkpoints(self, job: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", f"/jobs/{job}/checkpoints")
        return answer

    def exceptions(self, job: str) -> list[dict[str, Any]]:
        """Why the job restarted or failed, newest first."""
        answer = self._ask("GET", f"/jobs/{job}/exceptions")
        entries: list[dict[str, Any]] = answer.get("exceptionHistory", {}).get("entries", [])
        return entries

    def job_metrics(self, job: str, *names: str) -> dict[str, float]:
        return _numbers(self._ask("GET", f"/jobs/{job}/metrics?get={','.join(names)}"))

    def watermark_ms(self, job: str, vertex: str) -> int | None:
        """The least input watermark of a vertex's subtasks; None before the first."""
        marks = [
            int(m["value"]) for m in self._ask("GET", f"/jobs/{job}/vertices/{vertex}/watermarks")
        ]
        least = min(marks, default=None)
        return None if least is None or least <= -(2**62) else least

    def counters(self, job: str, vertex: str, ending: str) -> float | None:
        """The sum over subtasks of the user metrics whose names end as the pattern says."""
        base = f"/jobs/{job}/vertices/{vertex}/metrics"
        found = [m["id"] for m in self._ask("GET", base) if re.search(f"{ending}$", m["id"])]
        if not found:
            return None
        return sum(_numbers(self._ask("GET", f"{base}?get={','.join(found)}")).values())

    def cancel(self, job: str) -> None:
        self._ask("PATCH", f"/jobs/{job}?mode=cancel")

    def stop_with_savepoint(self, job: str, folder: str, timeout_s: float) -> str:
        """Stop the job; gives where its savepoint lies. Raises Refused with Flink's reason."""
        body = {"targetDirectory": folder, "drain": False}
        trigger = self._ask("POST", f"/jobs/{job}/stop", body)["request-id"]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            answer = self._ask("GET", f"/jobs/{job}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    location: str = operation["location"]
                    return location
                cause = operation.get("failure-cause", {}).get("stack-trace", "no reason given")
                raise Refused(
                    f"Flink could not write a savepoint to {folder}: {_first_lines(cause)}",
                    help="the job goes on; mend the cause and stop it again",
                )
            time.sleep(_POLL_S)
        raise Unreachable(
            f"the savepoint of job {job} was not there after {timeout_s:g} s",
            help="look at the job in Flink's web interface; it may still come",
        )

    def wait(self, job: str, states: frozenset[str], timeout_s: float) -> str:
        """Until the job is in one of the states; gives the state it is in at the end."""
        deadline = time.monotonic() + timeout_s
        while True:
            state: str = self.job(job)["state"]
            if state in states or time.monotonic() > deadline:
                return state
            time.sleep(_POLL_S)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url.rstrip("/") + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        deadline = time.monotonic() + _LED_WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                    return json.loads(answer.read() or b"{}")
            except urllib.error.HTTPError as error:
                reason = _reason(error)
                if error.code != _LEADERLESS:
                    raise Refused(
                        f"Flink at {self.url} refused {method} {path}: {reason}"
                    ) from error
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"Flink at {self.url} has no job manager that leads: {reason}",
                        help="look at the job managers' logs, and at ZooKeeper's",
                    ) from error
            except (OSError, ValueError) as error:
                raise Unreachable(
                    f"Flink at {self.url} does not answer: {error}", help=_HELP
                ) from error
            time.sleep(_POLL_S)


def _numbers(metrics: list[dict[str, Any]]) -> dict[str, float]:
    return {m["id"]: float(m["value"]) for m in metrics if "value" in m}


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        errors: list[str] = json.loads(error.read())["errors"]
    except (ValueError, KeyError):
        return str(error)
    return _first_lines(" ".join(errors))


def _first_lines(text: str) -> str:
    """A Java stack trace without its frames."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("\tat ")]
    return " ".join(lines)[:400]
