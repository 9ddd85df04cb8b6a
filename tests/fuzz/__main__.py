"""Fuzz for minutes; exits 1 if a contract broke.

python -m tests.fuzz [--minutes 10] [--target NAME] [--number N: show and try that input alone]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from tests.fuzz.contracts import TARGETS
from tests.fuzz.run import Ran, one

_SHOWN_MAX = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", choices=TARGETS, default=None)
    parser.add_argument("--number", type=int, default=None)
    options = parser.parse_args()
    names = [options.target] if options.target else list(TARGETS)
    if options.number is not None:
        return _shown(names[0], options.number)
    rans = {name: Ran() for name in names}
    spent = dict.fromkeys(names, 0.0)
    number = random.SystemRandom().randrange(2**40)
    until = time.monotonic() + options.minutes * 60
    while time.monotonic() < until:
        name = min(spent, key=lambda n: spent[n])  # the same time for each
        began = time.monotonic()
        try:
            one(name, TARGETS[name], number, rans[name])
        except Exception:
            _note(name, number, rans[name])
        spent[name] += time.monotonic() - began
        number += 1
    for name, ran in rans.items():
        print(
            f"{name:12} {ran.inputs:>9,} inputs in {spent[name]:.0f} s, {len(ran.failures)} "
            f"failures, the slowest {ran.slowest_seconds:.3f} s (number {ran.slowest})"
        )
    return 1 if any(ran.failures for ran in rans.values()) else 0


def _shown(name: str, number: int) -> int:
    print(str(TARGETS[name].inputs(random.Random(f"{name} {number}")))[:_SHOWN_MAX])
    one(name, TARGETS[name], number, Ran())
    return 0


def _note(name: str, number: int, ran: Ran) -> None:
    """Print a failure, the first of those that are raised at one place."""
    text = traceback.format_exc()
    place = "".join(line for line in text.splitlines() if line.lstrip().startswith("File"))
    if place not in ran.failures:
        ran.failures[place] = number
        print(f'--- --target "{name}" --number {number}\n{text}', flush=True)


if __name__ == "__main__":
    sys.exit(main())
