"""What `demo` says at its end is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelinekit.cli.demo import next_steps

BIN = str(Path(sys.executable).parent)


def test_the_next_steps_work_as_they_stand_without_the_program_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    path, kept, _, down, init, up, load = next_steps("127.0.0.1:1", "http://h:2", tmp_path / "a b")
    # `up`, `run` and `load` would go on: they only say that they are there.
    there = [re.sub(r" (&&|#)", r" --help \1", line) for line in (up, load)]
    done = subprocess.run(
        ["bash", "-euc", "\n".join([path, kept, down, init, *there])],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 passed, 0 failed" in done.stdout
    assert "no stack in" in done.stderr
    assert f"{tmp_path}/a b/stack" in done.stderr


def test_a_program_that_is_on_the_path_is_not_put_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{BIN}:{os.defpath}")
    steps = next_steps("127.0.0.1:1", "http://h:2", None)
    assert [step.split()[:2] for step in steps] == [
        ["pipelinekit", "init"],
        ["pipelinekit", "up"],
        ["pipelinekit", "load"],
    ]
