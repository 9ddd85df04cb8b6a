"""The same log through every runner: equal tables, equal dead letters, equal ledger.

PIPELINEKIT_CONFORMANCE_SEEDS="1 2 3" tries other logs than the usual one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipelinekit.runtime import reading
from pipelinekit.runtime.beam import read_ahead
from pipelinekit.runtime.beam.bucket import Bucket
from tests.conformance import runners
from tests.conformance.kit import Answer, Case, all_metrics, differences, send, spiced_log

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]
SEEDS = [int(seed) for seed in os.environ.get("PIPELINEKIT_CONFORMANCE_SEEDS", "7").split()]


@pytest.fixture(scope="module", params=SEEDS)
def case(
    request: pytest.FixtureRequest, kafka, clickhouse, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = f"spiced_{request.param}_{tmp_path_factory.getbasetemp().name.replace('-', '_')}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    # The log is of 2024: by its stamps the broker would delete it at its next look around.
    wanted = NewTopic(topic, 3, 1, config={"retention.ms": "-1"})
    admin.create_topics([wanted])[topic].result()
    send(kafka.bootstrap, topic, spiced_log(request.param, count=20_000))
    folder = tmp_path_factory.mktemp("conformance")
    return Case(kafka.bootstrap, clickhouse.url, topic, all_metrics(), folder)


@pytest.fixture(scope="module")
def local(case: Case) -> Answer:
    return case.answer("local", runners.on_local)


def test_the_log_has_what_it_is_meant_to_have(local: Answer) -> None:
    reasons = {reason for reason, _, _ in local.letters.values()}
    assert reasons == {"invalid", "future", "too_late"}
    assert all(local.tables.values())
    assert any("'corrected'" in row for row in local.tables["by_country_10s"])


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read in many steps, and ahead. For runners whose workers are of this process."""
    monkeypatch.setattr(read_ahead, "POLL_MESSAGES_MAX", 700)
    monkeypatch.setattr(read_ahead, "FULL_MESSAGES", 500)
    monkeypatch.setattr(reading, "POLLED_AT_ONCE", 200)


@pytest.mark.usefixtures("small_steps")
def test_direct_agrees_with_local(case: Case, local: Answer) -> None:
    assert differences(local, case.answer("direct", runners.on_direct)) == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.timeout(600)
def test_prism_agrees_with_local(
    case: Case, local: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bundles are slow, as on a busy machine: it would split them, and lose state."""
    add = Bucket.add

    def slow_add(*arguments: Any) -> None:  # Prism's workers are threads of this process
        time.sleep(0.6)
        add(*arguments)

    monkeypatch.setattr(Bucket, "add", slow_add)
    assert differences(local, case.answer("prism", runners.on_prism)) == []


@pytest.mark.timeout(240)
def test_flink_agrees_with_local(case: Case, local: Answer, flink) -> None:
    def run(plan, folder: Path) -> None:
        runners.on_flink(plan, folder, flink)

    assert differences(local, case.answer("flink", run)) == []
