"""Which job manager is asked, and which one next when it does not answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.launch import flink_rest
from pipelinekit.launch.flink_rest import FlinkRest
from tests.launch.fake_flink import JOB, FakeFlink, fake_flink

STOP = f"/jobs/{JOB}/stop"
SAVEPOINT = f"/jobs/{JOB}/savepoints/t1"


@pytest.fixture
def first(flink: FakeFlink) -> FakeFlink:
    return flink


@pytest.fixture
def second() -> Iterator[FakeFlink]:
    with fake_flink() as fake:
        fake.answers |= {
            STOP: {"request-id": "t1"},
            SAVEPOINT: {
                "status": {"id": "COMPLETED"},
                "operation": {"location": "file:/savepoints/s1"},
            },
        }
        yield fake


@pytest.fixture
def rest(first: FakeFlink, second: FakeFlink, monkeypatch: pytest.MonkeyPatch) -> FlinkRest:
    monkeypatch.setattr(flink_rest, "_TIMEOUT_S", 0.2)
    return FlinkRest(f"{first.url}/, {second.url}")


def test_the_first_is_asked_while_it_answers(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    assert rest.overview()["flink-version"] == "1.19.3"
    assert (first.asked, second.asked) == (["GET /overview"], [])


def test_a_dead_one_is_passed_over_and_who_answered_last_is_asked_first(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.then = ["silence"]

    assert rest.overview()["flink-version"] == "1.19.3"
    assert rest.jobs()[0]["jid"] == JOB
    assert first.asked == ["GET /overview"]
    assert second.asked == ["GET /overview", "GET /jobs/overview"]

    second.close()
    rest.overview()
    assert first.asked == ["GET /overview", "GET /overview"]


def test_when_none_answers_all_are_named_with_their_reasons(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.close()
    second.close()

    with pytest.raises(Unreachable, match="does not answer") as caught:
        rest.overview()
    for fake in (first, second):
        assert re.search(f"{re.escape(fake.url)}: .*Connection refused", caught.value.message)


def test_what_one_refuses_no_other_is_asked(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.then = [404]

    with pytest.raises(Refused, match=rf"Flink at {first.url} refused GET /overview: status 404"):
        rest.overview()
    assert second.asked == []


def test_a_standby_that_does_not_lead_yet_is_asked_again(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.close()
    second.then = ["silence", 503]  # as it does while the leader dies

    assert rest.overview()["flink-version"] == "1.19.3"
    assert second.asked == ["GET /overview"] * 3


def test_where_none_ever_leads_it_is_said_so(
    rest: FlinkRest, first: FakeFlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flink_rest, "_LED_WITHIN_S", 0.3)
    first.then = [503] * 10
    alone = FlinkRest(first.url)

    with pytest.raises(Unreachable, match=r"has no job manager that leads: status 503"):
        alone.overview()


def test_a_stop_goes_to_the_next_where_the_connection_was_refused(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.close()

    assert rest.stop_with_savepoint(JOB, "file:/savepoints", 5) == "file:/savepoints/s1"
    assert second.asked == [f"POST {STOP}", f"GET {SAVEPOINT}"]


def test_a_stop_that_may_have_been_heard_is_not_said_again(
    rest: FlinkRest, first: FakeFlink, second: FakeFlink
) -> None:
    first.then = ["silence"]

    with pytest.raises(Unreachable, match=f"{first.url}: timed out") as caught:
        rest.stop_with_savepoint(JOB, "file:/savepoints", 5)
    assert "pipelinekit status" in str(caught.value.help)
    assert first.asked == [f"POST {STOP}"]
    assert second.asked == []


def test_a_cancel_is_said_again(rest: FlinkRest, first: FakeFlink, second: FakeFlink) -> None:
    first.then = ["silence"]

    rest.cancel(JOB)
    assert first.asked == second.asked == [f"PATCH /jobs/{JOB}"]


@pytest.mark.parametrize("url", ["host:8081", "http://a:8081,", "http://a:8081 http://b:8081", ""])
def test_what_is_no_address_is_refused_with_the_form_that_it_must_have(url: str) -> None:
    with pytest.raises(UsageError, match=f'FLINK_REST says "{url}"') as caught:
        FlinkRest(url)
    assert "http://host:8081" in str(caught.value.help)
