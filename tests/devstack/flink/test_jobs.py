"""Pipelines through job server, cluster and worker pool."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("apache_beam")

from pipelinekit.devstack.flink import Flink, running_flink
from pipelinekit.devstack.flink.rest import answer
from pipelinekit.launch.flink import FlinkRest, status
from tests.devstack.flink.jobs import count_up, running_job, wait_for

pytestmark = pytest.mark.flink


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def deployed_at_ms(port: int, job: str) -> float:
    """When its first task was deployed, by the job manager there; 0 where it doesn't say."""
    found = answer(port, f"/jobs/{job}") or {"vertices": []}
    return min((float(v["start-time"]) for v in found["vertices"]), default=0)


def expected(*elements: tuple[str, int, int]) -> Counter[str]:
    return Counter(str((name, number)) for name, count, _ in elements for number in range(count))


def test_residuals_of_self_checkpoints_come_back_exactly_equal_elements_too(
    flink, tmp_path
) -> None:
    elements = [("twin", 20, 2000), ("twin", 20, 10), ("twin", 20, 10), ("other", 60, 20)]
    out = tmp_path / "out"

    with running_job(
        flink, "residuals", count_up(elements, out), "--shutdown_sources_after_idle_ms=1500"
    ) as job:
        wait_for(lambda: job.state == "FINISHED", "the job's end")

    assert Counter(lines(out)) == expected(*elements)
    assert job.failures == 0


def test_a_killed_worker_is_replaced_by_the_spare_and_the_job_goes_on(flink, tmp_path) -> None:
    elements = [("a", 80, 10), ("b", 80, 10)]
    out = tmp_path / "out"

    with running_job(flink, "killed", count_up(elements, out)) as job:
        wait_for(lambda: job.checkpoints >= 2 and len(lines(out)) > 20, "output and checkpoints")
        [(name, pid)] = flink.worker_pids.items()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: set(lines(out)) == set(expected(*elements)), "all output")
        failures = job.failures
        [(_, second)] = flink.worker_pids.items()

    assert failures == 1
    assert second != pid
    assert f"worker {name} ended by itself" in flink.parts["workerpool"].log.read_text()


def test_a_job_goes_on_by_itself_once_its_killed_job_manager_is_started_again(
    flink, tmp_path
) -> None:
    elements = [("a", 100, 10), ("b", 100, 10)]
    out = tmp_path / "out"

    with running_job(flink, "came-back", count_up(elements, out)) as job:
        wait_for(lambda: job.checkpoints >= 2 and len(lines(out)) > 40, "output and checkpoints")
        flink.parts["jobmanager"].kill()
        flink.start(lambda line: None)
        wait_for(lambda: set(lines(out)) == set(expected(*elements)), "all output")

    # From its checkpoint, not from its beginning.
    assert Counter(lines(out))[str(("a", 0))] == 1


def test_a_job_goes_on_with_the_standby_while_the_killed_job_manager_stays_dead(tmp_path) -> None:
    elements = [("a", 100, 10), ("b", 100, 10)]
    out = tmp_path / "out"

    with running_flink(tmp_path / "flink", task_managers=1, job_managers=2) as flink:
        assert Flink.found(flink.folder).job_managers == 2
        with running_job(flink, "taken-over", count_up(elements, out)) as job:
            wait_for(lambda: job.checkpoints >= 2 and len(lines(out)) > 40, "checkpoints")
            killed_ms = time.time() * 1000
            flink.parts["jobmanager"].kill()
            standby = flink.parts["jobmanager-2"].port
            wait_for(lambda: deployed_at_ms(standby, job.id) > killed_ms, "the standby's turn")
            wait_for(lambda: set(lines(out)) == set(expected(*elements)), "all output")
            # What the verbs do: the first address they know answers no more. (Its output was all
            # there before, so its tasks may still be on their way up.)
            rest = FlinkRest(flink.address["rest"])
            wait_for(lambda: status(rest, job.id).state in ("RUNNING", "FINISHED"), "its tasks")
            assert status(rest, job.id).since_ms > killed_ms
        with running_job(flink, "submitted-then", count_up([("b", 5, 10)], tmp_path / "then")):
            wait_for(lambda: len(lines(tmp_path / "then")) == 5, "output of the next job")
        assert "jobmanager" not in flink.pids
        flink.start(lambda line: None)

    assert Counter(lines(out))[str(("a", 0))] == 1


def test_a_worker_killed_while_the_job_initialises_does_not_leave_it_stuck(flink, tmp_path) -> None:
    elements = [("a", 10, 10)]
    out = tmp_path / "out"
    killed: list[int] = []

    def kill_first() -> None:
        """Before it has connected: the runner then waits for it and nothing else."""
        [pid] = wait_for(lambda: list(flink.worker_pids.values()), "a worker")
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killer = threading.Thread(target=kill_first)
    killer.start()
    with running_job(flink, "stuck", count_up(elements, out)) as job:
        wait_for(lambda: set(lines(out)) == set(expected(*elements)), "all output")
        failures = job.failures
    killer.join()

    assert len(killed) == 1
    assert failures == 0


@pytest.mark.slow
def test_checkpoints_do_not_grow_with_self_checkpoints(flink, tmp_path) -> None:
    """Beam's own class takes another 56 KB a second here."""
    elements = [("a", 1_000_000, 0), ("b", 1_000_000, 0)]
    out = tmp_path / "out"
    sizes = []

    with running_job(flink, "growth", count_up(elements, out)) as job:
        wait_for(lambda: job.checkpoints >= 10, "checkpoints")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            sizes.append(job.checkpoint_bytes)
            before = job.checkpoints
            wait_for(lambda: job.checkpoints > before, "a checkpoint")  # noqa: B023
        self_checkpoints = len(lines(out))

    print(f"{self_checkpoints} self-checkpoints, checkpoint bytes {min(sizes)} to {max(sizes)}")
    assert self_checkpoints > 500
    assert max(sizes) - min(sizes) < 20_000
