from __future__ import annotations

import threading

import pytest

from pipelinekit.connectors.clickhouse.failure import Failure, failure_of, retried

ANSWERS = [
    (500, "241", "Code: 241. DB::Exception: (total) memory limit exceeded", True),
    (500, "252", "Code: 252. DB::Exception: Too many parts (3000 with average size 1 KiB)", True),
    (
        500,
        "252",
        "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)",
        False,
    ),
    (500, None, "Code: 159. DB::Exception: Timeout exceeded", True),
    (404, "60", "Code: 60. DB::Exception: Unknown table", False),
    (403, "516", "Code: 516. DB::Exception: Authentication failed", False),
    (503, None, "<html>no backend</html>", True),
    (429, None, "slow down", True),
    (404, None, "no such page", False),
    (302, None, "", False),
]


@pytest.mark.parametrize(("status", "code", "answer", "is_transient"), ANSWERS)
def test_failure_says_whether_trying_again_may_help(
    status: int, code: str | None, answer: str, is_transient: bool
) -> None:
    assert failure_of(status, code, answer).is_transient is is_transient


def test_failure_text_is_the_cause_alone() -> None:
    answer = "Code: 60. DB::Exception: Code: 60. DB::Exception: No x. (UNKNOWN_TABLE) (version 26)."
    assert failure_of(404, "60", answer).text == "No x. (UNKNOWN_TABLE) (code 60)"


def test_call_is_tried_again_until_it_works() -> None:
    left = [Failure("busy", is_transient=True)] * 3

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    assert retried(call, budget_s=10, stop=threading.Event()) == "done"


def test_lasting_failure_is_raised_at_once() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise Failure("no", is_transient=False)

    with pytest.raises(Failure, match="no"):
        retried(call, budget_s=10, stop=threading.Event())
    assert len(calls) == 1


def test_budget_bounds_the_retries_and_the_last_failure_counts_them() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise Failure("busy", is_transient=True)

    with pytest.raises(Failure) as failed:
        retried(call, budget_s=0.3, stop=threading.Event())
    assert failed.value.attempts == len(calls) > 1
    assert failed.value.elapsed_s < 0.4
