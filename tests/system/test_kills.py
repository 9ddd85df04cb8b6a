"""The runner killed at random moments while events pour in: the result is as if it never was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.system.recount import PROJECT, Recount, read_all, recount

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]
_COMMAND = [sys.executable, "-m", "pipelinekit.cli.main"]


class Job:
    """The project in a folder, run by the real command against real services."""

    def __init__(
        self, folder: Path, kafka, clickhouse, name: str, project: Mapping[str, str] = PROJECT
    ) -> None:
        self.folder = folder
        self.loads: list[subprocess.Popen[bytes]] = []
        self.kafka = kafka.bootstrap
        self.url = clickhouse.url
        self.database = f"kills_{name}"
        self.topic = f"clicks_{name}"
        for file, text in project.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("topic: clicks\n", f"topic: {self.topic}\n")
            path.write_text(text.replace("clicks_dead", f"{self.topic}_dead"))
        self.environment = os.environ | {
            "KAFKA": self.kafka, "CLICKHOUSE": self.url, "DATABASE": self.database,
        }  # fmt: skip

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "run.log").open("ab")
        with log:
            return subprocess.Popen(
                [*_COMMAND, "run", "--state", str(self.folder / "state"), *options, "."],
                cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def finish(self) -> None:
        assert self.start("--until-end").wait(180) == 0, (self.folder / "run.log").read_text()

    def load(self, rate: int, seconds: int | None, seed: int) -> subprocess.Popen[bytes]:
        """The generator; without `seconds` until SIGINT."""
        shares = ["--late", "0.005", "--too-late", "0.001", "--malformed", "0.0005"]
        shares += ["--future", "0.0001", "--duplicates", "0.001"]
        time_limit = [] if seconds is None else ["--seconds", str(seconds)]
        load = subprocess.Popen(
            [*_COMMAND, "load", "--brokers", self.kafka, "--topic", self.topic, "--rate",
             str(rate), *time_limit, "--seed", str(seed), *shares],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.loads.append(load)
        return load

    def stop_loads(self) -> None:
        """What a test that failed has left running."""
        for load in self.loads:
            load.kill()
            load.wait()

    def query(self, select: str) -> list[dict]:
        data = f"{select} FORMAT JSONEachRow".encode()
        with urllib.request.urlopen(self.url, data=data, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def newest_write_ms(self) -> int:
        select = f"SELECT max(toUnixTimestamp64Milli(_updated_at)) AS t FROM {self.database}"
        found = 0
        tables = f"SELECT name FROM system.tables WHERE database = '{self.database}'"
        tables += " AND engine LIKE '%MergeTree' AND name NOT LIKE 'pipelinekit%'"
        for table in self.query(tables):
            try:
                found = max(found, int(self.query(f"{select}.{table['name']}")[0]["t"]))
            except urllib.error.HTTPError:
                continue
        return found

    def assert_equals(self, expected: Recount) -> None:
        assert self._differing(expected) == []
        letters, ledger = self.letters_and_ledger()
        assert letters == expected.letters
        assert ledger == expected.ledger

    def _differing(self, expected: Recount) -> list[tuple]:
        tables = {}
        for table, keys, total in (
            ("by_country_10s", ("country", "event_type"), "total"),
            ("by_country_1m", ("country", "event_type"), "total"),
            ("by_user_1m", ("user_id",), None),
        ):
            shown = f", toString({total}) AS total" if total else ""
            select = (
                f"SELECT {', '.join(keys)}, toUnixTimestamp64Milli(window_start) AS start, "
                f"toInt64(_events) AS e, toInt64(_late) AS l, toInt64(n) AS n{shown} "
                f"FROM {self.database}.{table} FINAL"
            )
            for row in self.query(select):
                key = tuple(row[k] for k in keys)
                assert int(row["n"]) == int(row["e"])
                tables[(table, key, int(row["start"]))] = (
                    int(row["e"]), int(row["l"]), row.get("total"),
                )  # fmt: skip
        differing = []
        for identity in expected.tables.keys() | tables.keys():
            want, got = expected.tables.get(identity), tables.get(identity)
            same = want is not None and got is not None and tuple(want[:2]) == got[:2]
            if same and identity[0] != "by_user_1m":
                same = (want[2] is None) == (got[2] is None)
                same = same and (want[2] is None or float(want[2]) == float(got[2]))
            if not same:
                differing.append((identity, want, got))
        return differing

    def letters_and_ledger(self) -> tuple[dict[tuple[int, int], str], Counter]:
        """The reasons of the dead letters by position; counts by metric, partition, outcome."""
        letters: dict[tuple[int, int], str] = {}
        for message in read_all(self.kafka, f"{self.topic}_dead"):
            headers = dict(message.headers())
            place = (int(headers["source_partition"]), int(headers["source_offset"]))
            letters[place] = headers["reason"].decode()
        ledger: Counter = Counter()
        for row in self.query(f"SELECT * FROM {self.database}.pipelinekit_ledger FINAL"):
            ledger[(row["metric"], int(row["partition"]), row["outcome"])] = int(row["count"])
        return letters, ledger


@pytest.fixture
def job(tmp_path: Path, kafka, clickhouse) -> Job:
    return Job(tmp_path, kafka, clickhouse, f"{os.getpid()}_{tmp_path.name[-6:]}".lower())


def kill_while_loading(job: Job, *, rate: int, seconds: int, kills: int, seed: int) -> None:
    """Kills the runner at random moments; at the end it has read and written everything."""
    rng = random.Random(seed)
    print(f"seed {seed}")
    runner = job.start()
    load = job.load(rate, seconds, seed)
    fresh = []
    began = time.monotonic()
    for at in sorted(rng.uniform(0.05, 0.95) * seconds for _ in range(kills)):
        # Where a restart took until after the next moment: soon after it.
        time.sleep(max(rng.uniform(0.2, 1.5), began + at - time.monotonic()))
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        began_ms = int(time.time() * 1000)
        runner = job.start()
        while job.newest_write_ms() <= began_ms:
            assert time.time() * 1000 - began_ms < 60_000, (job.folder / "run.log").read_text()
            time.sleep(0.05)
        fresh.append(time.time() * 1000 - began_ms)
    assert load.wait(60) == 0
    runner.send_signal(signal.SIGINT)
    assert runner.wait(60) == 0, (job.folder / "run.log").read_text()
    job.finish()
    fresh.sort()
    print(
        f"{len(fresh)} kills; restart to first new row: "
        f"p50 {fresh[len(fresh) // 2]:.0f} ms, greatest {fresh[-1]:.0f} ms"
    )


def _assert_recounted(job: Job) -> None:
    expected = recount(job.kafka, job.topic)
    print(
        f"{expected.messages:,} messages, {len(expected.tables):,} rows, "
        f"{len(expected.letters):,} dead letters"
    )
    job.assert_equals(expected)


@pytest.mark.timeout(240)
def test_killed_twice_the_result_equals_a_recount_of_the_topic(job: Job) -> None:
    kill_while_loading(job, rate=5_000, seconds=12, kills=2, seed=11)
    _assert_recounted(job)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_in_three_minutes_the_result_equals_a_recount(job: Job) -> None:
    kill_while_loading(job, rate=20_000, seconds=180, kills=20, seed=12)
    _assert_recounted(job)
