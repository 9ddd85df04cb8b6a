"""What all tests share: the real components, started once a session when a test wants them."""

from __future__ import annotations

import itertools
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from pipelinekit.devstack import kafka_distribution
from pipelinekit.devstack.clickhouse import ClickHouse, running_clickhouse
from pipelinekit.devstack.flink import Flink, distribution, running_flink
from pipelinekit.devstack.kafka import Kafka, running_kafka

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI draws the same examples each time, so that it judges the change and not the draw; a run by
# hand draws new ones.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with a golden file; with --update the text becomes the file."""

    def compare(file: Path, text: str) -> None:
        if request.config.getoption("--update"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"{file} is missing: run pytest with --update, and look at it"
        assert text == file.read_text(encoding="utf-8")

    return compare


MakeTopic = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of the session's own."""
    if (program := kafka_distribution.missing_program()) is not None:
        _skip(f'Kafka needs "{program}" on the PATH')
    with running_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """A ClickHouse engine of the session's own, behind HTTP."""
    if find_spec("chdb") is None:
        _skip("ClickHouse needs the package chdb-core")
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as clickhouse:
        yield clickhouse


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    """A Flink cluster of the session's own: two task managers, job server, worker pool."""
    if (program := distribution.missing_program()) is not None:
        _skip(f'Flink needs "{program}" on the PATH')
    if find_spec("apache_beam") is None:
        _skip("the worker pool needs the package apache-beam")
    with running_flink(tmp_path_factory.mktemp("flink")) as flink:
        yield flink


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[str]:
    """The name of an empty database, dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(clickhouse, f"CREATE DATABASE {name}")
    yield name
    _execute(clickhouse, f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def make_topic(kafka: Kafka) -> MakeTopic:
    """Makes topics: `make_topic(partitions=4, config={…})` gives the name of a new one."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def make(partitions: int = 4, config: dict[str, str] | None = None) -> str:
        name = f"topic_{os.getpid()}_{next(_numbers)}"
        wanted = NewTopic(name, partitions, 1, config=config or {})
        admin.create_topics([wanted])[name].result()
        while not _has_leaders(admin, name, partitions):
            time.sleep(0.01)
        return name

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> MakeTopic:
    """The same factory under the name of what it makes."""
    return make_topic


def _has_leaders(admin: AdminClient, topic: str, partitions: int) -> bool:
    """Whether clients may use the topic: it is made a moment before that."""
    found = admin.list_topics(timeout=10).topics.get(topic)
    return (
        found is not None
        and len(found.partitions) == partitions
        and all(partition.leader >= 0 for partition in found.partitions.values())
    )


def _execute(clickhouse: ClickHouse, statement: str) -> None:
    with urllib.request.urlopen(clickhouse.url, data=statement.encode(), timeout=30):
        pass


def _skip(reason: str) -> None:
    if os.environ.get("PIPELINEKIT_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
