"""Addresses and topics that can be what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, SINK, SOURCE, check, make_project

KAFKA = "kind: sink\nname: store\ntype: kafka\nbrokers: ${KAFKA}\ntopic: aggregates\n"


def found(folder: Path) -> list[str]:
    return [f"{f.code}@{f.span.line}:{f.span.column}" for f in check(folder)[1]]


@pytest.mark.parametrize(
    ("brokers", "expected"),
    [
        ("kafka:9092", []),
        ('"a.b:1, c-d:65535"', []),
        ('"[::1]:9092"', []),
        ("kafka", ["PK412@4:10"]),
        ('"kafka:0"', ["PK412@4:10"]),
        ('"kafka:65536"', ["PK412@4:10"]),
        ('"http://kafka:9092"', ["PK412@4:10"]),
        ('"a:1,,b:2"', ["PK412@4:10"]),
    ],
)
def test_brokers_are_host_and_port(tmp_path: Path, brokers: str, expected: list[str]) -> None:
    source = SOURCE.replace("${KAFKA}", brokers)
    assert found(make_project(tmp_path, source=source)) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8123", []),
        ("https://host/path", []),
        ('"http://[::1]:8123"', []),
        ("host:8123", ["PK412@4:6"]),
        ("ftp://host", ["PK412@4:6"]),
        ('"http://"', ["PK412@4:6"]),
        ('"http://host:port"', ["PK412@4:6"]),
        ('"http://user:word@host"', ["PK407@4:6"]),
    ],
)
def test_url_is_one_of_http_without_a_password(
    tmp_path: Path, url: str, expected: list[str]
) -> None:
    assert found(make_project(tmp_path, sink=SINK.replace("${CLICKHOUSE}", url))) == expected


@pytest.mark.parametrize(
    ("source", "sink", "expected"),
    [
        (SOURCE, KAFKA, []),
        (SOURCE.replace("topic: dead", "topic: events"), KAFKA, ["PK410@16:24"]),
        (SOURCE, KAFKA.replace("aggregates", "events"), ["PK410@5:8"]),
        (SOURCE, KAFKA.replace("aggregates", '".."'), ["PK410@5:8"]),
        (SOURCE, KAFKA.replace("aggregates", "a b"), ["PK410@5:8"]),
        (SOURCE, KAFKA.replace("aggregates", "x" * 250), ["PK410@5:8"]),
    ],
)
def test_topics_are_names_and_do_not_feed_on_themselves(
    tmp_path: Path, source: str, sink: str, expected: list[str]
) -> None:
    assert found(make_project(tmp_path, source=source, sink=sink)) == expected


def test_dead_letters_of_one_source_are_not_events_of_another(tmp_path: Path) -> None:
    other = SOURCE.replace("name: events", "name: other").replace("topic: events", "topic: dead")
    other = other.replace("dead_letters: { topic: dead }", "dead_letters: { topic: dead2 }")
    folder = make_project(tmp_path, metric=METRIC, **{"sources/other.yaml": other})
    assert found(folder) == ["PK410@16:24"]
