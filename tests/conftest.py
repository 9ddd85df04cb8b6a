"""What all tests share: the real components, started once a session when a test wants them."""

from __future__ import annotations

import itertools
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from pipelinekit.devstack import kafka as kafka_service
from pipelinekit.devstack.clickhouse import ClickHouse, running_clickhouse
from pipelinekit.devstack.kafka import Kafka, running_kafka

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

MakeTopic = Callable[..., str]
_names = itertools.count()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of the session's own."""
    missing = [c for c in ("java", "mvn") if shutil.which(c) is None]
    if missing and not kafka_service.is_fetched():
        _skip(f"Kafka needs {' and '.join(missing)} on the PATH")
    with running_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """A ClickHouse engine of the session's own, behind HTTP."""
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as clickhouse:
        yield clickhouse


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[str]:
    """The name of an empty database, dropped at the end."""
    name = f"test_{os.getpid()}_{next(_names)}"
    _query(clickhouse, f"CREATE DATABASE {name}")
    yield name
    _query(clickhouse, f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def topic(kafka: Kafka) -> MakeTopic:
    """Makes topics: `topic(partitions=4, config={…})` gives a name."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def make(partitions: int = 4, config: dict[str, str] | None = None) -> str:
        name = f"topic_{os.getpid()}_{next(_names)}"
        wanted = NewTopic(name, partitions, 1, config=config or {})
        admin.create_topics([wanted])[name].result()
        return name

    return make


def _query(clickhouse: ClickHouse, statement: str) -> None:
    with urllib.request.urlopen(clickhouse.url, data=statement.encode(), timeout=30):
        pass


def _skip(reason: str) -> None:
    if os.environ.get("PIPELINEKIT_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
