"""The same log through every runner: equal tables, equal dead letters, equal ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pipelinekit.runtime.beam.bucket import Bucket
from tests.conformance import runners
from tests.conformance.kit import Answer, Case, all_metrics, differences, send, spiced_log

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


@pytest.fixture(scope="module")
def case(kafka, clickhouse, tmp_path_factory: pytest.TempPathFactory) -> Case:
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = f"spiced_{tmp_path_factory.getbasetemp().name.replace('-', '_')}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    # The log is of 2024: by its stamps the broker would delete it at its next look around.
    wanted = NewTopic(topic, 3, 1, config={"retention.ms": "-1"})
    admin.create_topics([wanted])[topic].result()
    send(kafka.bootstrap, topic, spiced_log(seed=7, count=20_000))
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


def test_direct_agrees_with_local(case: Case, local: Answer) -> None:
    assert differences(local, case.answer("direct", runners.on_direct)) == []


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
