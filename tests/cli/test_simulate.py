"""`pipelinekit simulate` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelinekit.devstack.kafka import Kafka
from tests.cli.test_main import run
from tests.conftest import MakeTopic
from tests.runtime.test_simulation import NOON, event
from tests.spec.projects import PROJECT, SOURCE, make_project

OFFSETS_MS = [*range(0, 300_000, 1_000), 100_000, -400_000]  # in order, but for the last two
LINES = b"".join(event(NOON + at, "BE") + b"\n" for at in OFFSETS_MS) + b"{\n"


def project(folder: Path, lines: bytes = LINES) -> Path:
    make_project(folder)
    (folder / "events.ndjson").write_bytes(lines)
    return folder


def test_text_has_a_chart_and_a_table_for_each_metric(tmp_path: Path) -> None:
    done = run("simulate", "--file", "events.ndjson", cwd=project(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
source events: events from 2024-01-01T11:53:20Z to 2024-01-01T12:04:59Z
  messages: 303 in 1 partition, 1 invalid, 0 from the future
  behind the newest event of the partition
    not at all    99.34 %  ███████████████████████████████████████▊
    up to 1s            –
    up to 2s            –
    up to 5s            –
    up to 10s           –
    up to 30s           –
    up to 1m            –
    up to 10m      0.33 %  ▏
    up to 1h       0.33 %  ▏
    beyond 1h           –
  out_of_orderness: 2s declared, 0s recommended: 99 % of the events lie no farther behind

metric views: 302 events, windows of 1m
  lateness   in time  corrected  too late
  0s         99.34 %          –    0.66 %
  10s        99.34 %          –    0.66 %
  1m         99.34 %          –    0.66 %
  10m        99.34 %     0.33 %    0.33 %  declared
  lateness: 10m declared, 15m recommended with that out_of_orderness: 99.9 % of the events count
  state: at most 5 rows, about 1.0 KiB as declared
         at most 6 rows, about 1.2 KiB as recommended
"""
    )


def test_json_has_counts_and_shares(tmp_path: Path) -> None:
    done = run("simulate", "--file", "events.ndjson", "--format", "json", cwd=project(tmp_path))
    found = json.loads(done.stdout)
    assert found["out_of_orderness"] == {"declared": "2s", "recommended": "0s"}
    (metric,) = found["metrics"]
    assert metric["lateness"] == {"declared": "10m", "recommended": "15m"}
    assert metric["fates"][-1] == {
        "lateness": "10m", "in_time": 300, "corrected": 1, "too_late": 1,
        "shares": {"in_time": 0.993377, "corrected": 0.003311, "too_late": 0.003311},
    }  # fmt: skip
    assert metric["state"]["declared"]["rows"] == 5


def test_a_filter_that_lets_nothing_through_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path)
    file = folder / "metrics/views.yaml"
    file.write_text(file.read_text().replace("filter: kind = 'view'", "filter: kind = 'veiw'"))
    done = run("simulate", "--file", "events.ndjson", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.endswith(
        "\n\nmetric views: 0 events, windows of 1m\n"
        "  its filter lets none of the 302 events through: kind = 'veiw'\n"
    )
    found = json.loads(
        run("simulate", "--file", "events.ndjson", "--format", "json", cwd=folder).stdout
    )
    (metric,) = found["metrics"]
    assert (metric["events"], metric["filter"]) == (0, "kind = 'veiw'")
    assert metric["lateness"] == {"declared": "10m", "recommended": None}


@pytest.mark.parametrize(
    ("arguments", "lines", "says"),
    [
        ([], LINES, "simulate reads one slice of a log"),
        (["--file", "events.ndjson", "--from-topic"], LINES, "simulate reads one slice of a log"),
        (["--file", "events.ndjson"], b"\n", "there is no message in this slice"),
        (["--file", "events.ndjson"], b"{}\n[]\n", "none of 2 messages is an event of the source"),
        (["--file", "events.parquet"], LINES, "events.parquet can't be read"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], lines: bytes, says: str) -> None:
    folder = project(tmp_path, lines)
    (folder / "events.parquet").write_bytes(b"not parquet")
    done = run("simulate", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


@pytest.mark.kafka
def test_newest_messages_of_a_topic(tmp_path: Path, kafka: Kafka, topic: MakeTopic) -> None:
    from confluent_kafka import Producer

    name = topic(partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for partition in (0, 1):
        for value in LINES.splitlines():
            producer.produce(name, value, partition=partition)
    producer.flush(10)
    folder = make_project(
        tmp_path,
        project=PROJECT.replace("127.0.0.1:9092", kafka.bootstrap),
        source=SOURCE.replace("topic: events", f"topic: {name}"),
    )
    arguments = ("simulate", "--from-topic", "--format", "json")
    whole = json.loads(run(*arguments, cwd=folder).stdout)
    assert (whole["messages"], whole["partitions"], whole["invalid"]) == (606, 2, 2)
    assert whole["metrics"][0]["fates"][-1]["too_late"] == 2
    newest = json.loads(run(*arguments, "--max-messages", "4", cwd=folder).stdout)
    assert (newest["messages"], newest["first_event"]) == (4, "2024-01-01T11:53:20Z")
