from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import pytest

from pipelinekit.devstack import process
from pipelinekit.devstack.process import Running
from pipelinekit.errors import Unreachable

IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"


@pytest.fixture
def start(tmp_path):
    """Starts Python on a program text; what still runs at the end is killed."""
    started = []

    def start_python(program: str) -> Running:
        running = process.spawn([sys.executable, "-c", program], tmp_path / "log", 1)
        started.append(running)
        return running

    yield start_python
    for running in started:
        process.kill(running)


def test_a_saved_process_is_found_while_it_lives(start, tmp_path) -> None:
    running = start("import time; time.sleep(60)")
    running.save(tmp_path / "file")

    alive = Running.load(tmp_path / "file")
    process.kill(running)

    assert alive == running
    assert Running.load(tmp_path / "file") is None


def test_another_process_under_the_same_pid_is_not_taken_for_it(start, tmp_path) -> None:
    running = start("import time; time.sleep(60)")
    replace(running, started=running.started - 3600).save(tmp_path / "file")

    assert Running.load(tmp_path / "file") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"pid": 1}'])
def test_a_damaged_file_finds_nothing(tmp_path, text) -> None:
    (tmp_path / "file").write_text(text)

    assert Running.load(tmp_path / "file") is None


def test_what_ignores_sigterm_is_killed(start, tmp_path) -> None:
    running = start(f"{IGNORES_SIGTERM}; time.sleep(60)")
    log = tmp_path / "log"
    process.wait_ready(running, "it", log, lambda: "up" in log.read_text(), 20)

    process.stop(running, timeout_s=0.3)

    assert not running.is_alive


def test_a_paused_process_is_stopped_in_order(start, tmp_path) -> None:
    log = tmp_path / "log"
    running = start(
        "import signal, time; signal.signal(15, lambda *_: exit(print('in order', flush=True)));"
        "print('up', flush=True); time.sleep(60)"
    )
    process.wait_ready(running, "it", log, lambda: "up" in log.read_text(), 20)
    running.send(signal.SIGSTOP)

    process.stop(running)

    assert "in order" in log.read_text()


def test_one_that_ends_while_starting_shows_its_last_lines(start, tmp_path) -> None:
    running = start("print('no disk left'); exit(1)")

    with pytest.raises(Unreachable, match=r"it ended while starting(.|\n)*no disk left"):
        process.wait_ready(running, "it", tmp_path / "log", lambda: False, 20)


def test_one_that_never_answers_is_given_up(start, tmp_path) -> None:
    running = start("import time; time.sleep(60)")

    with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
        process.wait_ready(running, "it", tmp_path / "log", lambda: False, 0.1)


def test_children_take_signals_even_when_started_with_them_held(start) -> None:
    with process.uninterrupted():
        running = start("import time; time.sleep(60)")

    os.kill(running.pid, signal.SIGTERM)

    process.stop(running, timeout_s=5)
    assert not running.is_alive
