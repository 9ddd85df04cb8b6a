"""A job on a real Flink cluster, submitted by the real commands, while parts of it are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.devstack.flink import Flink, running_flink
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.launch import deployment
from pipelinekit.launch.flink import ENDED, FlinkRest
from tests.system.recount import recount
from tests.system.test_kills import _COMMAND, Job

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]
# What still lives for a moment after a kill may write; a row later than that is a fresh one.
_LAST_GASP_MS = 300


class FlinkJob(Job):
    """The project of the kill tests, on Flink."""

    def __init__(self, folder: Path, kafka, clickhouse, flink, name: str) -> None:
        super().__init__(folder, kafka, clickhouse, name)
        self.flink = flink
        self.rest = FlinkRest(flink.rest)
        self.leader = "jobmanager"
        checkpoints = (folder / "checkpoints").absolute().as_uri()
        self.environment |= {
            f"FLINK_{key.upper()}": value
            for key, value in {**flink.address, "checkpoints": checkpoints}.items()
        }

    def verb(self, *words: str) -> str:
        done = subprocess.run(
            [*_COMMAND, *words], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def compile(self, *options: str) -> None:
        self.verb("compile", ".", "-o", "out", *options)
        self.verb("ddl", ".", "--apply")

    def submit(self, *options: str) -> str:
        """Flink's id of the job."""
        found = re.search(r"as ([0-9a-f]{32})", self.verb("submit", "out", *options))
        assert found is not None
        return found[1]

    def counts(self, table: str, *keys: str) -> dict[tuple, list[int]]:
        """(table, key, start) → events and late ones, of its rows."""
        select = (
            f"SELECT {', '.join(keys)}, toUnixTimestamp64Milli(window_start) AS start, "
            f"toInt64(_events) AS e, toInt64(_late) AS l FROM {self.database}.{table} FINAL"
        )
        return {
            (table, tuple(r[k] for k in keys), int(r["start"])): [int(r["e"]), int(r["l"])]
            for r in self.query(select)
        }

    def cancel(self) -> None:
        for job in self.rest.jobs():
            if job["state"] not in ENDED:
                self.rest.cancel(job["jid"])
                assert self.rest.wait(job["jid"], ENDED, 60) in ENDED

    def standby(self) -> str | None:
        """The job manager that does not lead, if there are two."""
        managers = {name for name in self.flink.parts if name.startswith("jobmanager")}
        return next(iter(managers - {self.leader}), None)

    def leading_rest(self) -> FlinkRest:
        """Of the job manager that leads, or is about to."""
        return FlinkRest(f"http://127.0.0.1:{self.flink.parts[self.leader].port}")

    def deployed_again_ms(self, job: str, since_ms: float) -> float:
        """When the job's tasks were deployed by a job manager that leads since then."""
        rest = self.leading_rest()
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(Refused, Unreachable):  # it comes up, and finds its jobs
                times = [v["start-time"] for v in rest.job(job)["vertices"]]
                if times and min(times) > since_ms:
                    return float(max(times))
            assert time.monotonic() < deadline, f"job {job} did not come back"
            time.sleep(0.05)

    def working_manager(self, job: str) -> str:
        """The task manager that has the job's panes."""
        vertices = self.rest.job(job)["vertices"]
        panes = next(v["id"] for v in vertices if "panes" in v["name"])
        subtasks = self.rest._ask("GET", f"/jobs/{job}/vertices/{panes}")["subtasks"]
        return str(subtasks[0]["taskmanager-id"]).rpartition("-")[0]

    def read_through(self) -> bool:
        """Whether the ledger says that every message was read."""
        source = KafkaSource(self.kafka, self.topic)
        ends = sum(end for _, end in source.bounds().values())
        source.close()
        select = (
            f"SELECT sum(count) AS n FROM {self.database}.pipelinekit_ledger FINAL "
            "WHERE metric = ''"
        )
        return int(self.query(select)[0]["n"]) == ends

    def wait_until_tasks_run(self, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            (tasks,) = (j["tasks"] for j in self.rest.jobs() if j["state"] not in ENDED)
            if tasks["running"] == tasks["total"] > 0:
                return
            assert time.monotonic() < deadline, f"not all tasks run: {tasks}"
            time.sleep(0.2)

    def wait_until_read(self, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.read_through():
            assert time.monotonic() < deadline, "the job does not catch up"
            time.sleep(0.2)
        time.sleep(3)  # the last rows: late ones may wait a second, and corrections


@pytest.fixture
def flink_with_standby(tmp_path: Path) -> Iterator[Flink]:
    """Two job managers and two task managers: a spare of each."""
    with running_flink(tmp_path / "flink", job_managers=2) as flink:
        yield flink


@pytest.fixture
def job(request: pytest.FixtureRequest, tmp_path: Path, kafka, clickhouse):
    """On the session's cluster, or on the one of the fixture that a test names."""
    flink = request.getfixturevalue(getattr(request, "param", "flink"))
    name = f"f{os.getpid()}_{tmp_path.name[-8:].strip('_')}".lower().replace("-", "_")
    made = FlinkJob(tmp_path, kafka, clickhouse, flink, name)
    yield made
    made.stop_loads()
    flink.start()  # what a test has left dead
    made.cancel()


def _kill(job: FlinkJob, kind: str, flink_job: str) -> float:
    """Kill a part, and start again what has no spare; gives since when rows are fresh, in ms."""
    flink, now_ms = job.flink, time.time() * 1000
    if kind == "worker":
        workers = list(flink.worker_pids.values())
        os.kill(workers[0], signal.SIGKILL)
    elif kind == "taskmanager":
        name = job.working_manager(flink_job)
        flink.parts[name].kill()
    elif kind == "workerpool":
        flink.restart("workerpool")
    else:
        flink.parts[job.leader].kill()
        if (standby := job.standby()) is None:
            flink.start()  # what `pipelinekit up flink` does; the job comes back with it
        else:
            job.leader = standby
        # The tasks go on until they miss its heartbeats: what they write then isn't fresh.
        now_ms = job.deployed_again_ms(flink_job, now_ms)
    return now_ms


def _chaos(job: FlinkJob, *, rate: int, kinds: list[str], seed: int, gap_s: float) -> None:
    rng = random.Random(seed)
    print(f"seed {seed}")
    # The topic must be there, and the cluster's job run, before the load starts its clock.
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "10")
    job.compile()
    flink_job = job.submit()
    load = job.load(rate, None, seed)
    fresh: dict[str, list[float]] = defaultdict(list)
    for kind in kinds:
        time.sleep(rng.uniform(0.5, 1.5) * gap_s)
        killed_ms = time.time() * 1000
        since_ms = _kill(job, kind, flink_job)
        while job.newest_write_ms() <= since_ms + _LAST_GASP_MS:
            assert time.time() * 1000 - killed_ms < 90_000, f"no fresh row after a {kind} died"
            time.sleep(0.05)
        fresh[kind].append(time.time() * 1000 - killed_ms)
        job.flink.start()  # the dead part comes back, as the spare
    load.send_signal(signal.SIGINT)
    assert load.wait(60) == 0
    job.wait_until_read()
    expected = recount(job.kafka, job.topic)
    for kind, times in sorted(fresh.items()):
        times.sort()
        print(
            f"{kind}: {len(times)} kills, to the first fresh row p50 "
            f"{times[len(times) // 2] / 1000:.1f} s, greatest {times[-1] / 1000:.1f} s"
        )
    print(f"{expected.messages:,} messages, {len(expected.tables):,} rows")
    job.assert_equals(expected)


@pytest.mark.timeout(300)
def test_a_worker_and_a_task_manager_die_and_nothing_is_lost_or_doubled(job: FlinkJob) -> None:
    _chaos(job, rate=2_000, kinds=["worker", "taskmanager"], seed=21, gap_s=4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("job", ["flink_with_standby"], indirect=True)
def test_ten_kills_of_each_part_leave_the_recount_of_the_topic(job: FlinkJob) -> None:
    kinds = ["worker", "taskmanager", "workerpool", "jobmanager"] * 10
    random.Random(22).shuffle(kinds)
    _chaos(job, rate=10_000, kinds=kinds, seed=22, gap_s=8)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", ["flink", "flink_with_standby"], indirect=True)
def test_the_job_manager_dies_six_times_and_the_job_comes_back_by_itself(job: FlinkJob) -> None:
    _chaos(job, rate=5_000, kinds=["jobmanager"] * 6, seed=23, gap_s=8)
    job.verb("status")
    job.verb("stop", "--savepoint")
    job.submit()


@pytest.mark.timeout(300)
def test_a_savepoint_goes_on_unchanged_and_at_another_parallelism(job: FlinkJob) -> None:
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "10")
    job.compile("--shards", "2")
    job.submit()
    load = job.load(2_000, 45, 31)
    for parallelism in ("1", "2", "1"):
        time.sleep(6)
        location = job.verb("stop", "--savepoint")
        job.verb("stop")  # it has ended already, and the savepoint stays what is gone on from
        state = job.folder / ".pipelinekit/local"
        (name,) = deployment.names(state)
        record = deployment.load(state, name)
        assert record is not None
        assert record.savepoint == location.strip()
        job.submit("--parallelism", parallelism)
    assert load.wait(120) == 0
    job.wait_until_read()
    job.assert_equals(recount(job.kafka, job.topic))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_savepoint_goes_on_with_a_metric_added_and_one_removed(job: FlinkJob) -> None:
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "10")
    job.compile()
    job.submit()
    load = job.load(2_000, 130, 61)
    time.sleep(15)
    job.verb("stop", "--savepoint")
    stopped_ms = int(time.time() * 1000)
    left = job.counts("by_user_1m", "user_id")
    (job.folder / "metrics/by_user.yaml").unlink()
    country = (job.folder / "metrics/by_country.yaml").read_text()
    added = country.replace("by_country", "by_type").replace(
        "[country, event_type]", "[event_type]"
    )
    (job.folder / "metrics/by_type.yaml").write_text(added.replace("rollups: [1m]\n", ""))
    job.compile()
    job.submit()
    assert load.wait(180) == 0
    job.wait_until_read()
    expected: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    for (table, key, start), (events, late, _) in recount(job.kafka, job.topic).tables.items():
        if table == "by_country_10s":
            for name in ((table, key, start), ("by_type_10s", key[1:], start)):
                expected[name][0] += events
                expected[name][1] += late
    found = job.counts("by_country_10s", "country", "event_type")
    assert found == {i: c for i, c in expected.items() if i[0] == "by_country_10s"}
    types = job.counts("by_type_10s", "event_type")
    floor = min(start for _, _, start in types)
    # A boundary that no event had passed: what may be ahead of now is bounded by the skew.
    assert stopped_ms + 60_000 < floor < stopped_ms + 100_000
    assert types == {i: c for i, c in expected.items() if i[0] == "by_type_10s" and i[2] >= floor}
    assert left
    assert job.counts("by_user_1m", "user_id") == left
    select = f"SELECT metric, sum(count) AS n FROM {job.database}.pipelinekit_ledger FINAL"
    of = {r["metric"]: int(r["n"]) for r in job.query(f"{select} GROUP BY metric")}
    by_type = f"{select} WHERE metric = 'by_type' AND outcome = 'counted' GROUP BY metric"
    assert int(job.query(by_type)[0]["n"]) == sum(events for events, _ in types.values())
    assert 0 < of["by_type"] < of["by_country"]  # what came since its start, and since the job's
    print(f"{len(found):,} and {len(types):,} rows, the new metric from {floor} ms on")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_partial_meets_a_forgotten_pane_though_checkpoints_come_every_200_ms(
    job: FlinkJob,
) -> None:
    """Windows of a second without lateness: nearly every event is within a slice of its end."""
    seconds = int(os.environ.get("PIPELINEKIT_RACE_SECONDS", "120"))
    (job.folder / "metrics/by_user.yaml").unlink()
    metric = job.folder / "metrics/by_country.yaml"
    text = metric.read_text().replace("tumbling: 10s", "tumbling: 1s")
    text = text.replace("allowed: 1m", "allowed: 0s").replace("rollups: [1m]\n", "")
    metric.write_text(text.replace("filter: not is_bot\n", ""))
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "10")
    job.compile("--checkpoint-every", "200")
    flink_job = job.submit()
    load = job.load(10_000, None, 41)
    time.sleep(seconds)
    load.send_signal(signal.SIGINT)
    assert load.wait(60) == 0
    job.wait_until_read()
    vertices = [v["id"] for v in job.rest.job(flink_job)["vertices"] if "panes" in v["name"]]
    assert job.rest.counters(flink_job, vertices[0], r"\.pipelinekit_orphan_events") in (None, 0)
    checkpoints = job.rest.checkpoints(flink_job)["counts"]
    select = f"FROM {job.database}"
    rows = int(job.query(f"SELECT sum(n) AS n {select}.by_country_1s FINAL")[0]["n"])
    ledger = f"SELECT sum(count) AS n {select}.pipelinekit_ledger FINAL WHERE metric = 'by_country'"
    counted = int(job.query(f"{ledger} AND outcome = 'counted'")[0]["n"])
    late = int(job.query(f"{ledger} AND outcome = 'too_late'")[0]["n"])
    print(f"{counted:,} counted, {late:,} too late, checkpoints {checkpoints}")
    assert late > 0
    assert rows == counted


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_store_and_broker_are_gone_for_a_while_and_nothing_is_lost(
    job: FlinkJob, kafka, clickhouse
) -> None:
    seconds = int(os.environ.get("PIPELINEKIT_OUTAGE_SECONDS", "30"))
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "10")
    job.compile()
    flink_job = job.submit()
    load = job.load(2_000, None, 51)
    time.sleep(5)
    clickhouse.kill()
    time.sleep(seconds)
    clickhouse.start()
    time.sleep(10)
    kafka.kill()
    time.sleep(seconds)
    kafka.start()
    time.sleep(10)
    load.send_signal(signal.SIGINT)
    assert load.wait(120) in (0, 3)  # what the broker did not take is no message
    job.wait_until_read()
    restarts = job.rest.job_metrics(flink_job, "numRestarts")
    print(f"restarts: {restarts}")
    job.assert_equals(recount(job.kafka, job.topic))


@pytest.mark.timeout(300)
def test_a_submission_killed_in_the_middle_leaves_a_job_that_the_verbs_find(job: FlinkJob) -> None:
    job.verb("load", "--brokers", job.kafka, "--topic", job.topic, "--count", "500")
    job.compile()
    submission = subprocess.Popen(
        [*_COMMAND, "submit", "out"], cwd=job.folder, env=job.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not any(j["state"] not in ENDED for j in job.rest.jobs()):
        assert submission.poll() is None, "the submission ended before the cluster had the job"
        time.sleep(0.005)
    submission.send_signal(signal.SIGKILL)
    submission.wait()
    (record,) = (job.folder / ".pipelinekit/local/jobs").glob("*.json")
    assert json.loads(record.read_text())["runner_job"] == "", "it was killed too late"
    job.wait_until_read()
    _restart_the_job_manager_until_it_listens(job)
    assert [j["state"] for j in job.rest.jobs()]  # waits for it to lead
    job.wait_until_tasks_run()  # `status` exits with 1 before
    job.verb("status")
    job.verb("stop", "--savepoint")
    job.submit()  # goes on from there
    job.assert_equals(recount(job.kafka, job.topic))


def _restart_the_job_manager_until_it_listens(job: FlinkJob) -> None:
    """It does not lead yet: what it is asked now, it can't answer for a moment."""
    manager = job.flink.parts["jobmanager"]
    manager.kill()
    manager.spawn(lambda line: None)
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", manager.port), 1).close()
            return
        assert time.monotonic() < deadline, "the job manager does not listen"
        time.sleep(0.05)
