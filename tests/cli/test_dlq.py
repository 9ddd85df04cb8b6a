"""`pipelinekit dlq` as an operator meets it, on a real broker."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters
from pipelinekit.data import DeadLetter
from pipelinekit.reasons import Reason
from tests.cli.test_main import run
from tests.conftest import MakeTopic
from tests.spec.projects import METRIC, PROJECT, SOURCE, make_project

NOON = 1_704_110_400_000
BROKEN = b'{"id": \x1b[2J \xff'


def letter(offset: int, reason: Reason = Reason.INVALID, **changes) -> DeadLetter:
    given = {
        "key": b"k",
        "value": b"{}",
        "headers": (("reason", b"theirs"),),
        "detail": "field t is missing",
        "metrics": (),
        "topic": "events",
        "partition": 3,
        "event_time_ms": None,
        "watermark_ms": None,
    } | changes
    return DeadLetter(reason=reason, offset=offset, **given)


TOO_LATE = letter(
    41, Reason.TOO_LATE, value=b'{"id": "a"}', detail="the event's window was closed for good",
    metrics=("views", "buyers"), event_time_ms=NOON, watermark_ms=NOON + 700_000,
)  # fmt: skip
BYTES = letter(42, key=None, value=BROKEN, detail="not UTF-8")


@pytest.fixture
def project(tmp_path: Path, kafka, make_topic: MakeTopic) -> Path:
    """A project whose dead letters are on a topic of four partitions, with none in it yet."""
    return make_project(
        tmp_path,
        project=PROJECT.replace("127.0.0.1:9092", kafka.bootstrap),
        source=SOURCE.replace("topic: dead", f"topic: {make_topic()}"),
    )


def topic_of(project: Path) -> str:
    return (project / "sources/events.yaml").read_text().split("topic: ")[-1].split(" ")[0]


def bury(project: Path, kafka, *letters: DeadLetter) -> None:
    queue = KafkaDeadLetters(kafka.bootstrap, topic_of(project))
    for each in letters:  # one at a time: the broker's times order them
        queue.write([each])
        queue.flush()
    queue.close()


@pytest.mark.kafka
def test_reasons_are_counted_and_the_newest_shown_with_place_and_bytes(
    project: Path, kafka
) -> None:
    bury(project, kafka, letter(1), letter(2), TOO_LATE, BYTES)
    done = run("dlq", "--last", "2", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        f"events: 4 dead letters in topic {topic_of(project)} at {kafka.bootstrap}",
        "  invalid         3",
        "  too_late        1  for buyers 1, views 1",
        "",
    ]
    late, key, value, gap, invalid = [*lines[4:5], *lines[6:10]]
    assert late == "too_late for views, buyers: the event's window was closed for good"
    assert lines[5].startswith("  at     events, partition 3, offset 41; buried 20")
    assert lines[5].endswith(
        ", event time 2024-01-01 12:00:00 UTC, watermark 2024-01-01 12:11:40 UTC"
    )
    assert (key, value, gap) == ("  key    k", '  value  {"id": "a"}', "")
    assert invalid == "invalid: not UTF-8"
    assert lines[11:] == ["  key    null", r'  value  {"id": \x1b[2J \xff']


@pytest.mark.kafka
def test_json_has_the_bytes_as_they_are(project: Path, kafka) -> None:
    bury(project, kafka, BYTES, TOO_LATE)
    found = json.loads(run("dlq", "--format", "json", cwd=project).stdout)
    (source,) = found["sources"]
    assert source["reasons"] == {"invalid": 1, "future": 0, "too_late": 1}
    assert source["too_late_by_metric"] == {"buyers": 1, "views": 1}
    assert source["messages"] == {"in_topic": 2, "read": 2, "repeats": 0, "others": 0}
    broken, late = source["letters"]
    assert (broken["key"], broken["key_base64"], broken["value"]) == (None, None, None)
    assert base64.b64decode(broken["value_base64"]) == BROKEN
    assert late["value"] == '{"id": "a"}'
    assert (late["topic"], late["partition"], late["offset"]) == ("events", 3, 41)
    assert (late["event_time_ms"], late["watermark_ms"]) == (NOON, NOON + 700_000)


@pytest.mark.kafka
def test_a_letter_sent_twice_counts_once_and_what_is_of_others_not_at_all(
    project: Path, kafka
) -> None:
    other = letter(1, topic="elsewhere")
    bury(project, kafka, letter(1), letter(1), other, letter(2, Reason.FUTURE))
    lines = run("dlq", "--last", "0", cwd=project).stdout.splitlines()
    assert lines[1:] == [
        "  invalid         1",
        "  future          1",
        "  1 repeat left out: sent again after a restart",
        "  1 message left out: no letters of this source",
    ]


@pytest.mark.kafka
def test_one_reason_is_shown_and_all_are_counted(project: Path, kafka) -> None:
    bury(project, kafka, TOO_LATE, letter(1))
    shown = run("dlq", "--reason", "too_late", cwd=project).stdout
    assert "  invalid         1\n" in shown
    assert "offset 41" in shown
    assert "offset 1;" not in shown


@pytest.mark.kafka
def test_only_the_newest_are_read_and_it_says_so(project: Path, kafka) -> None:
    bury(project, kafka, *(letter(n) for n in range(12)))  # of one key: in one partition
    lines = run("dlq", "--max-messages", "20", "--last", "1", cwd=project).stdout.splitlines()
    assert lines[1] == "  invalid         5"
    assert lines[2].startswith("  of the newest 5 messages; the topic has 12: --max-messages")
    assert "offset 11;" in lines[5]


@pytest.mark.kafka
def test_a_source_is_named_alone_however_its_metrics_are(project: Path, kafka) -> None:
    (project / "metrics/views.yaml").write_text(METRIC.replace("count()", "cout()"))
    bury(project, kafka, letter(1))
    assert "PK204" in run("dlq", cwd=project).stdout
    done = run("dlq", "sources/events.yaml", "--last", "0", cwd=project)
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "  invalid         1")


@pytest.mark.kafka
def test_a_topic_that_is_missing_is_named(tmp_path: Path, kafka) -> None:
    folder = make_project(tmp_path, project=PROJECT.replace("127.0.0.1:9092", kafka.bootstrap))
    done = run("dlq", cwd=folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert 'topic "dead" does not exist' in done.stderr


def test_a_source_without_dead_letters_is_wrong_use(tmp_path: Path) -> None:
    source = SOURCE.replace("dead_letters: { topic: dead }\n", "")
    done = run("dlq", cwd=make_project(tmp_path, source=source))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no dead letters are kept: events" in done.stderr
    assert "dead_letters: { topic: … }" in done.stderr
