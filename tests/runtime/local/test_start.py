"""Where a run begins: anew, from what is stored, with metrics that changed since."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from pipelinekit.data import Outcome
from pipelinekit.errors import Refused, UsageError
from pipelinekit.runtime.local.options import StartFrom
from pipelinekit.windows.tumbling import Tumbling
from tests import plans
from tests.runtime.local.jobs import (
    BASE_MS,
    COUNT,
    Job,
    Running,
    counted,
    events,
    expected,
    plan_of,
    send,
    until,
)

pytestmark = pytest.mark.kafka


def test_from_earliest_starts_anew_with_a_higher_epoch(job: Job) -> None:
    sent = events(100)
    send(job.brokers, job.topic, sent)
    job.run_to_end()
    before = {row["_version"] for row in job.rows().values()}
    job.run_to_end(start_from=StartFrom.EARLIEST)
    after = {row["_version"] for row in job.rows().values()}
    assert counted(job.rows()) == expected(sent)
    assert min(after) > max(before)


def test_state_that_another_run_has_overruled_is_refused_and_that_run_had_said_so(
    job: Job,
) -> None:
    send(job.brokers, job.topic, events(100))
    job.run_to_end()
    other = Job.__new__(Job)
    other.__dict__.update(job.__dict__, folder=job.folder.with_name("other"))
    status = other.run_to_end()
    assert any("rows of another run (epoch 1)" in note for note in status.notes)
    with pytest.raises(Refused, match=r"another run has written .* \(epoch 2, .* is of 1\)"):
        job.run_to_end()
    job.run_to_end(start_from=StartFrom.EARLIEST)
    assert counted(job.rows()) == expected(events(100))


def test_from_latest_no_window_counts_that_an_event_before_it_may_lie_in(job: Job) -> None:
    source = plans.source(
        topic=job.topic, brokers=job.brokers, dead_letters=job.letters, max_future_skew_ms=2_000
    )
    short = plans.metric("counts", COUNT.measures, key=["country"], window=Tumbling(500))
    job.plan = type(job.plan)("events", "local", source, (short,), ())
    base = events(1)[0]
    began_ms = time.time_ns() // 1_000_000
    ahead = base | {"t": began_ms + 1_500}  # by its producer's clock
    send(job.brokers, job.topic, [ahead])
    with Running(job.runner(start_from=StartFrom.LATEST)) as run:
        assert run.runner.started.wait(10)
        send(job.brokers, job.topic, [ahead])  # alone in its row it would look whole

        def counts_live_events() -> bool:
            send(job.brokers, job.topic, [base | {"t": time.time_ns() // 1_000_000}])
            return bool(job.rows("counts_500ms"))

        until(counts_live_events)
    assert run.error is None
    assert min(start for _, start in job.rows("counts_500ms")) >= began_ms + 2_000
    assert run.runner.status.ledger.get("counts", Outcome.BEFORE_START) > 1
    (note,) = run.runner.status.notes
    assert note.startswith("metric counts counts windows from ")


def test_offsets_that_are_gone_are_refused_with_the_next_step(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    send(job.brokers, job.topic, events(10, start=10))
    admin = AdminClient({"bootstrap.servers": job.brokers})
    gone = [TopicPartition(job.topic, 0, 8)]
    for future in admin.delete_records(gone).values():
        future.result()
    with pytest.raises(Refused, match="is not there any more") as caught:
        job.run_to_end()
    assert "--from" in str(caught.value.help)


def test_second_runner_on_one_state_folder_is_refused(job: Job) -> None:
    runner = job.runner()
    thread = threading.Thread(target=runner.run)
    thread.start()
    until(lambda: (job.folder / "lock").exists())
    until(lambda: bool((job.folder / "lock").read_text()))
    with pytest.raises(UsageError, match="in use by process"):
        job.run_to_end()
    runner.stop()
    thread.join(15)


def test_metric_added_between_runs_starts_at_the_next_boundary(job: Job) -> None:
    sent = events(100)
    send(job.brokers, job.topic, sent)
    job.run_to_end()
    added = plans.metric("added", [plans.measure("n", "count()")], key=["country"])
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT, added)
    later = events(100, start=2000)  # beyond the minute in which the first run ended
    send(job.brokers, job.topic, [*events(20, start=100), *later])
    status = job.run_to_end()
    assert counted(job.rows()) == expected([*sent, *events(20, start=100), *later])
    rows = job.rows("added_1m")
    assert sum(r["n"] for r in rows.values()) == 100
    assert status.ledger.get("added", Outcome.BEFORE_START) == 20
    assert status.imbalances == []
    assert any("added is new" in note for note in status.notes)


def test_metric_removed_drops_its_state_and_its_ledger(job: Job) -> None:
    other = plans.metric("other", [plans.measure("n", "count()")])
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT, other)
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT)
    send(job.brokers, job.topic, events(10, start=10))
    status = job.run_to_end()
    assert status.imbalances == []
    assert status.ledger.get("other", Outcome.COUNTED) == 0
    assert counted(job.rows()) == expected(events(20))


def test_measure_added_is_null_in_windows_already_open(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    more = plans.metric(
        "counts",
        [*COUNT.measures, plans.measure("most", "max(load)")],
        key=["country"],
    )
    job.plan = plan_of(job.topic, job.brokers, job.letters, more)
    send(job.brokers, job.topic, [*events(10, start=10), *events(10, start=2000)])
    job.run_to_end()
    found = {(key[1], row["most"]) for key, row in job.rows().items()}
    first, second = sorted({start for start, _ in found})
    assert {most for start, most in found if start == first} == {None}
    assert max(most for start, most in found if start == second) == 2009


def test_changed_metric_leaves_its_open_windows_to_the_older_form(job: Job) -> None:
    send(job.brokers, job.topic, events(10))  # of the first minute
    job.run_to_end()
    heavy = plans.metric("counts", COUNT.measures, key=["country"], filter="load > 1200")
    job.plan = plan_of(job.topic, job.brokers, job.letters, heavy)
    more = [*events(10, start=10), *events(10, start=1195), *events(10, start=1295)]
    send(job.brokers, job.topic, more)
    status = job.run_to_end()
    assert any("has changed" in note for note in status.notes)
    assert status.imbalances == []
    first = BASE_MS // 60_000 * 60_000
    old = [e for e in [*events(10), *more] if e["t"] < first + 60_000]
    new = [e for e in more if e["t"] >= first + 60_000 and e["load"] > 1200]
    assert len(old) == 25
    assert counted(job.rows()) == expected([*old, *new])
    # Once more: the older form is still there for what comes late, until its lateness is over.
    late = events(3, start=3)
    send(job.brokers, job.topic, late)
    status = job.run_to_end()
    assert counted(job.rows()) == expected([*old, *new, *late])
    assert status.imbalances == []


def test_older_form_goes_when_its_last_window_is_forgotten(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    heavy = plans.metric("counts", COUNT.measures, key=["country"], filter="load > 1200")
    job.plan = plan_of(job.topic, job.brokers, job.letters, heavy)
    for start in (40_000, 40_100, 40_200):  # half an hour later, and the watermark behind it
        send(job.brokers, job.topic, events(40, start=start))
        job.run_to_end()
    from pipelinekit.runtime.local.state import decode

    state = decode((job.folder / "manifest.json").read_bytes(), "here").state
    assert [m.id for m in state.plan.metrics] == ["counts"]
    assert state.metrics.keys() == {"counts"}


def test_changed_metric_reads_a_field_that_the_new_form_does_not(job: Job) -> None:
    by_user = plans.metric("counts", [plans.measure("n", "count()")], filter="score is null")
    job.plan = plan_of(job.topic, job.brokers, job.letters, by_user)
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    plain = plans.metric("counts", [plans.measure("n", "count()")])
    source = job.plan.source
    kept = tuple(f for f in source.fields if f.name != "score")
    job.plan = replace(job.plan, source=replace(source, fields=kept), metrics=(plain,))
    send(job.brokers, job.topic, events(10, start=10))
    assert job.run_to_end().imbalances == []
    assert sum(row["n"] for row in job.rows().values()) == 20


def test_state_deleted_starts_an_epoch_above_that_of_the_rows(job: Job) -> None:
    import shutil

    send(job.brokers, job.topic, events(100))
    job.run_to_end()
    shutil.rmtree(job.folder)
    fewer = plans.metric("counts", COUNT.measures, key=["country"], filter="load < 50")
    job.plan = plan_of(job.topic, job.brokers, job.letters, fewer)
    job.run_to_end()
    assert counted(job.rows()) == expected(events(50))  # though the older rows saw more events


def test_other_number_of_shards_is_refused_on_a_resume(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end(shards=2)
    with pytest.raises(UsageError, match="2 shards, 1 were asked for"):
        job.run_to_end(shards=1)
    job.run_to_end()


def test_other_number_of_buckets_keeps_the_state(job: Job) -> None:
    send(job.brokers, job.topic, events(100))
    job.run_to_end(buckets=1)
    send(job.brokers, job.topic, events(100, start=100))
    job.run_to_end(buckets=5)
    assert counted(job.rows()) == expected(events(200))


def test_topic_made_anew_is_refused_with_the_next_step(job: Job, kafka) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    admin = AdminClient({"bootstrap.servers": job.brokers})
    admin.delete_topics([job.topic])[job.topic].result()
    until(lambda: job.topic not in admin.list_topics(timeout=5).topics)
    admin.create_topics([NewTopic(job.topic, 2, 1)])[job.topic].result()
    until(lambda: job.topic in admin.list_topics(timeout=5).topics)
    with pytest.raises(Refused, match="made anew") as caught:
        job.run_to_end()
    assert "--from earliest" in str(caught.value.help)
