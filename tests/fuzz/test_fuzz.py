"""Every target on a second of inputs; `make fuzz` goes on for minutes."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.fuzz.contracts import TARGETS
from tests.fuzz.run import Ran, one

_SECONDS = 1.2
_INPUTS = 10  # at least, however slow the machine is
# CI takes the same inputs each time, so that it judges the change and not the draw.
_FIRST = 0 if os.environ.get("CI") else random.SystemRandom().randrange(2**40)


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_gives_findings_or_refusals(name: str) -> None:
    ran, until, number = Ran(), time.monotonic() + _SECONDS, _FIRST
    while ran.inputs < _INPUTS or time.monotonic() < until:
        try:
            one(name, TARGETS[name], number, ran)
        except Exception as error:
            again = f'python -m tests.fuzz --target "{name}" --number {number}'
            raise AssertionError(f"see it again: {again}") from error
        number += 1
