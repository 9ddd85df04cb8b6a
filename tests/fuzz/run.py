"""A target on one input after another, each named by its number."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.contracts import Target


@dataclass(slots=True)
class Ran:
    """What a target was put through; times are of the processor."""

    inputs: int = 0
    slowest_seconds: float = 0.0
    slowest: int = 0  # its number
    failures: dict[str, int] = field(default_factory=dict)  # what broke → the first input's number


def one(name: str, target: Target, number: int, ran: Ran) -> None:
    """Hold the target to its contract on the input of that number. Raises what breaks it."""
    given = target.inputs(Random(f"{name} {number}"))
    began = time.process_time()
    target.holds(given)
    seconds = time.process_time() - began
    ran.inputs += 1
    if seconds > ran.slowest_seconds:
        ran.slowest_seconds, ran.slowest = seconds, number
    assert seconds < target.seconds, f"more than {target.seconds} s for one input"
