"""The manifests on a real Kubernetes cluster: applied, a job submitted, its parts killed.

Runs where PIPELINEKIT_KUBERNETES names an empty namespace of the cluster that `kubectl` speaks to.
docs/contributor/kubernetes.md says what that cluster must have, and how a small one is made.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipelinekit.devstack.ports import free_port
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.launch.flink_rest import FlinkRest
from tests.system.recount import recount
from tests.system.test_flink import FlinkJob

NAMESPACE = os.environ.get("PIPELINEKIT_KUBERNETES")
NAME = "pipelinekit-clicks"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NAMESPACE, reason="PIPELINEKIT_KUBERNETES names no namespace"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH"),
]
# What a pod that was told to end still writes.
_LAST_GASP_MS = 2_500
_FIRST_WORKER = """
import json, os, signal
pids = json.load(open("/tmp/workers.json"))["workers"].values()
os.kill(next(iter(pids)), signal.SIGKILL)
"""


def kubectl(*words: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", "-n", str(NAMESPACE), *words],
        input=given, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
    return done.stdout


def pods(component: str) -> list[dict[str, Any]]:
    labels = f"app={NAME},component={component}"
    found: list[dict[str, Any]] = json.loads(kubectl("get", "pods", "-l", labels, "-o", "json"))[
        "items"
    ]
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


class Forward:
    """`kubectl port-forward` of a service, begun again whenever its pod is gone."""

    def __init__(self, service: str, ports: dict[int, int]) -> None:
        pairs = [f"{here}:{there}" for here, there in ports.items()]
        self._command = ["kubectl", "-n", str(NAMESPACE), "port-forward", f"svc/{service}", *pairs]
        self._is_over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._is_over.is_set():
            with subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as self._process:
                assert self._process.stdout is not None
                for line in self._process.stdout:
                    if b"lost connection" in line or b"error" in line:
                        self._process.kill()  # it would go on listening
            self._is_over.wait(0.2)

    def close(self) -> None:
        self._is_over.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join(10)


@dataclass(frozen=True)
class Address:
    bootstrap: str = ""
    url: str = ""


@dataclass(frozen=True)
class Cluster:
    """What FlinkJob wants of one."""

    rest: str
    address: dict[str, str]


class KubernetesJob(FlinkJob):
    manifest = ""

    def leading_rest(self) -> FlinkRest:
        return self.rest  # the forward finds a pod that is there, and each answers for the leader

    def pod_that_leads(self) -> str:
        """The job manager that Flink's ConfigMap names."""
        data = json.loads(kubectl("get", "cm", f"{NAME}-cluster-config-map", "-o", "json"))["data"]
        ip = re.search(r"@([\d.]+):", data["org.apache.flink.k8s.leader.dispatcher"])
        assert ip is not None
        return _pod_at(ip[1], "jobmanager")

    def pod_that_works(self, job: str) -> str:
        """The task manager that has the job's panes."""
        return _pod_at(self.working_manager(job).partition(":")[0], "taskmanager")

    def kill(self, kind: str, job: str) -> float:
        """Gives since when rows are fresh, in ms."""
        now_ms = time.time() * 1000
        if kind == "worker":
            pod = self.pod_that_works(job)
            kubectl("exec", pod, "-c", "workers", "--", "python", "-c", _FIRST_WORKER)
        elif kind == "workerpool":
            pod = self.pod_that_works(job)
            kubectl("exec", pod, "-c", "workers", "--", "python", "-c", "import os; os.kill(1, 15)")
        else:
            pod = self.pod_that_leads() if kind == "jobmanager" else self.pod_that_works(job)
            kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        if kind == "jobmanager":
            now_ms = self.deployed_again_ms(job, now_ms)
        return now_ms

    def state(self, job: str) -> str:
        """Once the forward has found a pod that is there."""
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(Refused, Unreachable):
                return str(self.rest.job(job)["state"])
            assert time.monotonic() < deadline, "no job manager answers"
            time.sleep(0.2)

    def wait_until_whole(self) -> None:
        """Every pod there again, and ready."""
        for part in ("jobmanager", "taskmanager", "jobserver"):
            kubectl("rollout", "status", f"deploy/{NAME}-{part}", "--timeout=180s")


def _pod_at(ip: str, component: str) -> str:
    return next(p["metadata"]["name"] for p in pods(component) if p["status"].get("podIP") == ip)


def _small(manifest: str) -> str:
    """Without the processors that a production node has."""
    documents = list(YAML(typ="safe").load_all(io.StringIO(manifest)))
    for document in documents:
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for container in [*pod.get("initContainers", ()), *pod.get("containers", ())]:
            container["resources"]["requests"]["cpu"] = "20m"
    return "".join(json.dumps(d) + "\n---\n" for d in documents)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[KubernetesJob]:
    rest, endpoint, artifacts = free_port(), free_port(), free_port()
    where = {
        "rest": f"http://127.0.0.1:{rest}",
        "job_endpoint": f"127.0.0.1:{endpoint}",
        "artifact_endpoint": f"127.0.0.1:{artifacts}",
        "worker_pool": "127.0.0.1:18096",
    }
    made = KubernetesJob(
        tmp_path,
        Address(bootstrap=os.environ["PIPELINEKIT_KUBERNETES_KAFKA"]),
        Address(url=os.environ["PIPELINEKIT_KUBERNETES_CLICKHOUSE"]),
        Cluster(where["rest"], where),
        f"k{os.getpid()}",
    )
    made.environment["FLINK_CHECKPOINTS"] = os.environ.get(
        "FLINK_CHECKPOINTS", "file:///checkpoints"
    )
    # The topic must be there before the job reads it.
    made.verb("load", "--brokers", made.kafka, "--topic", made.topic, "--count", "10")
    made.compile("--runner", "flink")
    made.manifest = _small((tmp_path / "out/kubernetes/clicks.yaml").read_text())
    with contextlib.ExitStack() as stack:
        # What Flink itself made there: the next test's cluster must not find this one's jobs.
        stack.callback(kubectl, "delete", "cm", "-l", "configmap-type=high-availability")
        stack.callback(kubectl, "delete", "-f", "-", "--wait", given=made.manifest)
        kubectl("apply", "-f", "-", given=made.manifest)
        made.wait_until_whole()
        for forward in (
            Forward(f"{NAME}-jobmanager", {rest: 8081}),
            Forward(f"{NAME}-jobserver", {endpoint: 8099, artifacts: 8098}),
        ):
            stack.callback(forward.close)
        yield made
        made.stop_loads()
        with contextlib.suppress(Refused, Unreachable):
            made.cancel()


def _submit(job: KubernetesJob) -> str:
    """Once the forwards listen."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return job.submit()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@pytest.mark.timeout(1800)
def test_parts_are_killed_and_nothing_is_lost_or_doubled(job: KubernetesJob) -> None:
    parts = "worker taskmanager workerpool jobmanager"
    kinds = os.environ.get("PIPELINEKIT_KUBERNETES_PARTS", parts).split()
    kinds *= int(os.environ.get("PIPELINEKIT_KUBERNETES_KILLS", "1"))
    rng = random.Random(41)
    rng.shuffle(kinds)
    flink_job = _submit(job)
    load = job.load(int(os.environ.get("PIPELINEKIT_KUBERNETES_RATE", "2000")), None, 41)
    fresh: dict[str, list[float]] = defaultdict(list)
    for kind in kinds:
        time.sleep(rng.uniform(4, 10))
        killed_ms = time.time() * 1000
        since_ms = job.kill(kind, flink_job)
        while job.newest_write_ms() <= since_ms + _LAST_GASP_MS:
            assert time.time() * 1000 - killed_ms < 180_000, f"no fresh row after a {kind} died"
            time.sleep(0.1)
        fresh[kind].append(time.time() * 1000 - killed_ms)
        print(f"{kind}: first fresh row after {fresh[kind][-1] / 1000:.1f} s", flush=True)
        job.wait_until_whole()
    load.send_signal(signal.SIGINT)
    assert load.wait(60) == 0
    job.wait_until_read()
    expected = recount(job.kafka, job.topic)
    print(f"{expected.messages:,} messages, {len(expected.tables):,} rows")
    for kind, times in sorted(fresh.items()):
        times.sort()
        print(f"{kind}: {len(times)}, p50 {times[len(times) // 2] / 1000:.1f} s")
    job.assert_equals(expected)


@pytest.mark.timeout(600)
def test_a_job_goes_on_from_a_savepoint_and_from_a_checkpoint(job: KubernetesJob) -> None:
    _submit(job)
    load = job.load(2_000, 50, 42)
    time.sleep(10)
    location = job.verb("stop", "--savepoint").strip()
    assert location.partition(":")[0] == job.environment["FLINK_CHECKPOINTS"].partition(":")[0]
    job.submit()
    time.sleep(15)
    job.verb("stop")  # its newest checkpoint lies where only the pods, or a store's clients, see it
    job.submit()
    assert load.wait(120) == 0
    job.wait_until_read()
    job.assert_equals(recount(job.kafka, job.topic))


@pytest.mark.timeout(900)
def test_new_pods_and_a_second_apply_take_the_job_along(job: KubernetesJob) -> None:
    flink_job = _submit(job)
    load = job.load(2_000, None, 43)
    for change in ("taskmanager", "jobmanager", "everything"):
        time.sleep(8)
        changed_ms = time.time() * 1000
        if change == "everything":
            kubectl("delete", "-f", "-", "--wait", given=job.manifest)
            kubectl("apply", "-f", "-", given=job.manifest)
        else:
            kubectl("rollout", "restart", f"deploy/{NAME}-{change}")
        job.wait_until_whole()
        whole_ms = time.time() * 1000
        while job.newest_write_ms() <= whole_ms:
            assert time.time() * 1000 - whole_ms < 180_000, f"no fresh row after new pods: {change}"
            time.sleep(0.2)
        seconds = (time.time() * 1000 - changed_ms) / 1000
        print(f"{change}: new pods and fresh rows after {seconds:.0f} s", flush=True)
        assert job.state(flink_job) == "RUNNING"  # under the same id
    load.send_signal(signal.SIGINT)
    assert load.wait(60) == 0
    job.wait_until_read()
    job.assert_equals(recount(job.kafka, job.topic))
