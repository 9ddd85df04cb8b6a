"""The tests of many metrics: one after another, or over processes when there are many."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from pipelinekit.plan.model import Plan
from pipelinekit.runtime.coverage import Branch, Coverage
from pipelinekit.runtime.scenario import Result, Through, run_test
from pipelinekit.spec.models.testing import TestSpec

# A process needs most of a second to start, and a test some milliseconds.
_TESTS_A_PROCESS = 200
_SUITES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of a plan's only metric."""

    plan: Plan
    tests: tuple[TestSpec, ...]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How a suite's tests ended, and what they reached if that was asked."""

    results: tuple[Result, ...]
    reached: Mapping[Branch, int] | None


def run_suites(
    suites: Sequence[Suite],
    *,
    is_coverage: bool = False,
    through: Callable[[Plan], Through | None] | None = None,
    processes: int | None = None,
) -> Iterator[Outcomes]:
    """The suites' outcomes in order, each as soon as those before it are there.

    `through` gives a plan's way through a runner. `processes`: by default as many as there are
    processors and enough tests for; one with a runner.
    """
    if processes is None:
        processes = 1 if through is not None else _worthwhile(sum(len(s.tests) for s in suites))
    if processes == 1:
        for suite in suites:
            yield run_suite(suite, is_coverage, None if through is None else through(suite.plan))
        return
    # Not forked: polars' threads would not be there in the child, but their locks would.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_leave_interrupts)
    with pool:
        run = partial(run_suite, is_coverage=is_coverage)
        yield from pool.map(run, suites, chunksize=_SUITES_AT_ONCE)


def run_suite(suite: Suite, is_coverage: bool, through: Through | None = None) -> Outcomes:
    """The outcomes of one suite, in this process."""
    coverage = Coverage(suite.plan) if is_coverage else None
    results = tuple(run_test(suite.plan, test, through, coverage) for test in suite.tests)
    return Outcomes(results, None if coverage is None else coverage.reached)


def _worthwhile(tests: int) -> int:
    return max(1, min(os.cpu_count() or 1, tests // _TESTS_A_PROCESS))


def _leave_interrupts() -> None:
    """Ctrl-C is the parent's: it takes no more results and ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
