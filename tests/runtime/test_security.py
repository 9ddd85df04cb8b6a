"""Jobs against a broker that demands a name and a password, or a certificate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, AdminClient, NewTopic

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.kafka.security import Security
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.data import Outcome
from pipelinekit.devstack import ports
from pipelinekit.devstack.service import running
from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.launch import direct
from pipelinekit.launch.start import begin_anew
from pipelinekit.plan.model import Plan, SinkPlan
from pipelinekit.runtime.local.options import RunOptions
from pipelinekit.runtime.local.runner import LocalRunner
from pipelinekit.runtime.outside import make_ready, make_source, opened, sink_schemas
from tests import plans
from tests.connectors.kafka.secured import PASSWORD, USER, Authority, SecuredKafka

pytestmark = pytest.mark.kafka
COUNTS = plans.metric("counts", [plans.measure("n", "count()")], key=["country"])
SASL = {
    "mechanism": "SCRAM-SHA-512",
    "username": USER,
    "password": {"secret": "TEST_KAFKA_PASSWORD"},
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with running(SecuredKafka(tmp_path_factory.mktemp("secured"), ports.free_port())) as kafka:
        kafka.add_user()
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_topics([NewTopic("events", 1, 1)])["events"].result()
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for number in range(100):
            event = {"id": f"e{number}", "t": 1_704_110_400_000, "kind": "view", "country": "BE"}
            producer.produce("events", json.dumps(event).encode() if number % 10 else b"{")
        assert producer.flush(10) == 0
        yield kafka


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KAFKA_PASSWORD", PASSWORD)
    monkeypatch.setenv("TEST_KEY_PASSWORD", "of the key")


def plan_of(brokers: str, security: dict, letters: str, *sinks: SinkPlan) -> Plan:
    source = replace(
        plans.source(topic="events", brokers=brokers, dead_letters=letters), security=security
    )
    metric = replace(COUNTS, sinks=tuple(s.name for s in sinks))
    return Plan("events", "local", source, (metric,), sinks)


def run_locally(plan: Plan, folder: Path) -> LocalRunner:
    make_ready(plan)
    with opened(plan) as outside:
        runner = LocalRunner(
            plan, outside.source, outside.sinks, outside.dead_letters, folder,
            RunOptions(until_end=True),
        )  # fmt: skip
        runner.run()
    return runner


def aggregates(brokers: str, security: dict, topic: str) -> SinkPlan:
    settings = {"brokers": brokers, "topic": topic, "security": security}
    return SinkPlan("out", "kafka", settings, Budget(), "full")


def test_a_job_reads_and_writes_with_a_name_and_a_password(
    broker: SecuredKafka, tmp_path: Path
) -> None:
    security = {"sasl": SASL, "tls": {"ca": str(broker.ca)}}
    sink = aggregates(broker.sasl, security, "aggregates_sasl")
    plan = plan_of(broker.sasl, security, "dead_sasl", sink)
    ledger = run_locally(plan, tmp_path).status.ledger
    assert ledger is not None
    assert ledger.get("", Outcome.ACCEPTED) == 90
    with opened(replace(plan, source=replace(plan.source, topic="dead_sasl"))) as outside:
        assert sum(end for _, end in outside.source.bounds().values()) == 10
        outside.sinks["out"].ddl(sink_schemas(plan)["out"])  # so that it knows the table
        rows = outside.sinks["out"].read_back("counts_1m").to_pylist()
    assert [row["n"] for row in rows] == [90]


def test_a_job_shows_its_certificate_and_its_key_has_a_password(
    broker: SecuredKafka, tmp_path: Path
) -> None:
    client = broker.authority.issue("client", tmp_path, password=b"of the key")
    security = {
        "tls": {
            "ca": str(broker.ca),
            "certificate": str(client),
            "key": str(client),
            "key_password": {"secret": "TEST_KEY_PASSWORD"},
        }
    }
    ledger = run_locally(plan_of(broker.mutual, security, "dead_tls"), tmp_path).status.ledger
    assert ledger is not None
    assert ledger.get("", Outcome.ACCEPTED) == 90


def test_beam_reads_with_the_same_plan(broker: SecuredKafka) -> None:
    security = {"sasl": SASL, "tls": {"ca": str(broker.ca)}}
    sink = aggregates(broker.sasl, security, "aggregates_beam")
    plan = plan_of(broker.sasl, security, "dead_beam", sink)
    make_ready(plan)
    direct.run(begin_anew(plan, None, until_end=True).job)
    with opened(replace(plan, source=replace(plan.source, topic="dead_beam"))) as outside:
        assert sum(end for _, end in outside.source.bounds().values()) == 10


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"password": "wrong"}, "uthentication"),
        ({"username": "mallory"}, "uthentication"),
    ],
)
def test_a_wrong_name_or_password_is_refused_and_not_tried_again(
    broker: SecuredKafka, changed: dict, says: str
) -> None:
    right = Security("SCRAM-SHA-512", USER, PASSWORD, str(broker.ca))
    began = time.monotonic()
    with pytest.raises(Refused, match=says) as caught:
        KafkaSource(broker.sasl, "events", security=replace(right, **changed)).bounds()
    assert time.monotonic() - began < 8  # one time-out of a question
    assert "check `security`" in str(caught.value.help)
    assert "wrong" not in caught.value.message


def test_a_broker_of_another_authority_is_refused(broker: SecuredKafka, tmp_path: Path) -> None:
    other = Authority.made("somebody else").write(tmp_path / "other.pem")
    stranger = Security("SCRAM-SHA-512", USER, PASSWORD, str(other))
    with pytest.raises(Refused, match="certificate"):
        KafkaSource(broker.sasl, "events", security=stranger).bounds()


def test_a_broker_of_another_name_is_refused_unless_told_otherwise(broker: SecuredKafka) -> None:
    by_name = broker.sasl.replace("127.0.0.1", "localhost")
    strict = Security("SCRAM-SHA-512", USER, PASSWORD, str(broker.ca))
    with pytest.raises(Refused, match="certificate"):
        KafkaSource(by_name, "events", security=strict).bounds()
    lax = replace(strict, verify_hostname=False)
    assert KafkaSource(by_name, "events", security=lax).bounds() == {0: (0, 100)}


def test_a_client_without_security_gets_no_answer_and_a_hint(broker: SecuredKafka) -> None:
    with pytest.raises(Unreachable, match="did not answer"):
        KafkaSource(broker.sasl, "events").bounds()


def test_dead_letters_that_may_not_be_written_are_refused_before_the_run(
    broker: SecuredKafka,
) -> None:
    security = {"sasl": SASL, "tls": {"ca": str(broker.ca)}}
    plan = plan_of(broker.sasl, security, "guarded")
    make_ready(plan)
    with opened(plan):
        pass  # without rules it is everybody's
    broker.allow(USER, AclOperation.DESCRIBE, "guarded")
    wait_for(lambda: not may_open(plan))
    with pytest.raises(Refused, match='topic "guarded" on Kafka') as caught, opened(plan):
        pytest.fail("opened without a right to write dead letters")
    assert "Write" in str(caught.value.help)


def may_open(plan: Plan) -> bool:
    try:
        with opened(plan):
            return True
    except Refused:
        return False


def test_a_secret_that_is_not_set_is_named(
    broker: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KAFKA_PASSWORD")
    plan = plan_of(broker.sasl, {"sasl": SASL}, "dead")
    with pytest.raises(UsageError, match='source "events" needs the secret TEST_KAFKA_PASSWORD'):
        make_source(plan.source)


def test_nothing_prints_a_password() -> None:
    assert PASSWORD not in repr(Security("PLAIN", USER, PASSWORD))


def test_a_broker_that_dies_is_waited_for_though_it_demands_tls(
    broker: SecuredKafka, tmp_path: Path
) -> None:
    security = {"sasl": SASL, "tls": {"ca": str(broker.ca)}}
    plan = plan_of(broker.sasl, security, "dead_kill")
    make_ready(plan)
    with opened(plan) as outside:
        runner = LocalRunner(
            plan, outside.source, outside.sinks, outside.dead_letters, tmp_path, RunOptions()
        )
        with ThreadPoolExecutor(1) as pool:
            running_job = pool.submit(runner.run)
            wait_for(lambda: runner.status.events >= 90)
            broker.kill()
            time.sleep(3)  # longer than the client's waits between two tries
            assert not running_job.done(), running_job.exception()
            broker.start()
            wait_for(lambda: runner.status.lag == 0)
            runner.stop()
            assert running_job.result(30).imbalances == []


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
