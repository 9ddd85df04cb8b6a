"""Flink's REST interface: what we ask of it, as plain values."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from pipelinekit.errors import Refused, Unreachable, UsageError

_TIMEOUT_S = 10.0
_POLL_S = 0.2
# A job manager that was started again answers some seconds before it leads. A standby that is asked
# while the leader dies never answers that question, but does the next.
_LEADERLESS = 503
_LED_WITHIN_S = 15.0
_ADDRESS = re.compile(r"https?://[^\s/,]+(/[^\s,]*)?")
_HELP = (
    "look whether it runs, and the way to it (kubectl port-forward holds on to one pod), or set "
    "FLINK_REST to another; a cluster on this machine: pipelinekit up flink"
)
# What one that has just begun to lead says of a job that it is taking over.
_NOT_YET = "UnavailableDispatcherOperationException"


class FlinkRest:
    """A cluster's job managers at `url`: one address, or several with commas between them.

    Each answers for the one that leads. The one that answered last is asked first.
    """

    def __init__(self, url: str) -> None:
        """Raises UsageError for what is no address."""
        self.url = url
        self._addresses = _addresses(url)

    def overview(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", "/overview")
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs the cluster remembers: jid, name, state, start-time, tasks."""
        jobs: list[dict[str, Any]] = self._ask("GET", "/jobs/overview")["jobs"]
        return jobs

    def task_managers(self) -> list[str]:
        """The hosts that they listen on, as the job manager knows them."""
        found = self._ask("GET", "/taskmanagers")["taskmanagers"]
        return [urllib.parse.urlsplit(str(t["path"])).hostname or "" for t in found]

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
        """The answer of the first job manager that gives one.

        A POST may have been heard by one that gave none: then no other is asked.
        """
        deadline = time.monotonic() + _LED_WITHIN_S
        while True:
            failures: dict[str, Exception] = {}
            for address in tuple(self._addresses):
                try:
                    answer = _answer(address, method, path, body)
                except (OSError, http.client.HTTPException, ValueError, _Leaderless) as error:
                    failures[address] = error
                    if method == "POST" and not _is_unheard(error):
                        help = "it may have been heard all the same: look with pipelinekit status"
                        raise self._unreachable(failures, help) from error
                else:
                    self._addresses.remove(address)
                    self._addresses.insert(0, address)
                    return answer
            # Heard and not answered, or nobody leads yet. (urllib hides the timeout of a
            # connection in an error of its own: nobody is there.)
            may_come = any(isinstance(e, TimeoutError | _Leaderless) for e in failures.values())
            if not may_come or time.monotonic() > deadline:
                raise self._unreachable(failures) from next(iter(failures.values()))
            time.sleep(_POLL_S)

    def _unreachable(self, failures: Mapping[str, Exception], help: str = _HELP) -> Unreachable:
        what = "does not answer"
        if any(isinstance(error, _Leaderless) for error in failures.values()):
            what = "has no job manager that leads"
            help = "look at the job managers' logs, and at ZooKeeper's"
        if len(self._addresses) == 1:
            reasons = str(next(iter(failures.values())))
        else:
            reasons = "; ".join(f"{address}: {error}" for address, error in failures.items())
        return Unreachable(f"Flink at {self.url} {what}: {reasons}", help=help)


class _Leaderless(Exception):
    """A job manager answered that none leads."""


def _answer(address: str, method: str, path: str, body: Mapping[str, object] | None) -> Any:
    """What the job manager answers. Raises Refused, _Leaderless, or what urllib does."""
    request = urllib.request.Request(
        address + path,
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        reason = _reason(error)
        if error.code == _LEADERLESS or _NOT_YET in reason:
            raise _Leaderless(reason) from error
        raise Refused(f"Flink at {address} refused {method} {path}: {reason}") from error


def _is_unheard(error: Exception) -> bool:
    """Whether the question can't have had an effect: it was not sent, or nobody leads."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, ConnectionRefusedError | socket.gaierror | _Leaderless)


def _addresses(url: str) -> list[str]:
    found = [address.strip().rstrip("/") for address in url.split(",")]
    for address in found:
        if not _ADDRESS.fullmatch(address):
            raise UsageError(
                f'FLINK_REST says "{url}", and "{address}" is no address of a job manager',
                help="write http://host:8081, or several with commas between them",
            )
    return list(dict.fromkeys(found))


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
