"""`pipelinekit demo`: the whole thing, for half a minute, on real Kafka and ClickHouse."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import check, is_terminal, paths_argument, plans_of, state_folder

if TYPE_CHECKING:
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.local.runner import LocalRunner

_SHARES = ("--late", "0.02", "--too-late", "0.002", "--malformed", "0.002", "--future", "0.0005")


@click.command()
@paths_argument
@click.option(
    "--seconds",
    type=click.IntRange(5, 3600),
    default=30,
    show_default=True,
    help="To send events for.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 100_000),
    default=2_000,
    show_default=True,
    help="Events a second.",
)
@click.option("--keep", is_flag=True, help="Leave Kafka and ClickHouse running at the end.")
def demo(paths: tuple[Path, ...], seconds: int, rate: int, keep: bool) -> int:
    """Start a broker and a store, send events (some late, some broken), run the specs, and watch.

    Rows appear while their windows are open, become final when they close, and are corrected when
    late events arrive; what is too late or broken goes to the dead letters. It ends by itself and
    stops what it started.
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from pipelinekit.devstack.ports import free_port
    from pipelinekit.devstack.stack import Stack

    checked = check(paths, "local")
    plan = plans_of(checked)[0]
    folder = state_folder(checked.project, None).parent / "demo"
    stack = Stack(folder)
    names = ("kafka", "clickhouse")
    stack.down(names, delete_data=True, progress=lambda line: None)
    shutil.rmtree(folder / "job", ignore_errors=True)
    ups = stack.up(names, {name: free_port() for name in names})
    addresses = {up.service.name: up.service.address for up in ups}
    kafka, clickhouse = addresses["kafka"]["bootstrap"], addresses["clickhouse"]["url"]
    try:
        _run(_pointed(plan, kafka, clickhouse), folder / "job", rate, seconds, clickhouse)
    finally:
        if not keep:
            stack.down(names, delete_data=True, progress=lambda line: None)
    steps = next_steps(kafka, clickhouse, folder if keep else None)
    print("\n".join(["", "next:", *(f"  {step}" for step in steps)]), file=sys.stderr)
    return 0


def _pointed(plan: Plan, kafka: str, clickhouse: str) -> Plan:
    """The plan with its addresses replaced by the demo's own."""
    sinks = []
    for sink in plan.sinks:
        settings = dict(sink.settings)
        if sink.type == "clickhouse":
            settings |= {"url": clickhouse, "user": "default", "password": ""}
        elif sink.type == "kafka":
            settings["brokers"] = kafka
        sinks.append(replace(sink, settings=settings, manage="full"))
    source = replace(plan.source, brokers=kafka, manage="full")
    return replace(plan, source=source, sinks=tuple(sinks))


def _run(plan: Plan, folder: Path, rate: int, seconds: int, clickhouse: str) -> None:
    from pipelinekit.cli.demo_screen import Screen
    from pipelinekit.runtime.local.options import RunOptions
    from pipelinekit.runtime.local.runner import LocalRunner
    from pipelinekit.runtime.outside import make_ready, opened

    statements = make_ready(plan)
    print(f"made {len(statements)} topics, tables and views", file=sys.stderr)
    stop = threading.Event()
    with opened(plan, stop) as outside:
        runner = LocalRunner(
            plan, outside.source, outside.sinks, outside.dead_letters, folder, RunOptions()
        )
        failure: list[BaseException] = []
        job = threading.Thread(target=_guarded, args=(runner, failure), name="run")
        job.start()
        events = subprocess.Popen(
            [
                sys.executable, "-m", "pipelinekit.cli.main", "load", "--brokers",
                plan.source.brokers, "--topic", plan.source.topic, "--rate", str(rate),
                "--seconds", str(seconds), "--seed", "7", *_SHARES,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        screen = Screen(plan, clickhouse, runner, live=is_terminal())
        try:
            _watch(screen, runner, events, failure, seconds)
        except KeyboardInterrupt:
            print("stopping …", file=sys.stderr)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # let the end be a clean one
            events.terminate()
            events.wait()
            stop.set()
            runner.stop()
            job.join()
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if failure:
            raise failure[0]
        screen.summarise()


def _guarded(runner: LocalRunner, failure: list[BaseException]) -> None:
    try:
        runner.run()
    except BaseException as error:
        failure.append(error)


def _watch(
    screen: object,
    runner: LocalRunner,
    events: subprocess.Popen[bytes],
    failure: list[BaseException],
    seconds: int,
) -> None:
    from pipelinekit.cli.demo_screen import Screen

    assert isinstance(screen, Screen)
    began = time.monotonic()
    with screen:
        while not failure and time.monotonic() - began < seconds + 60:
            left = max(0, seconds - (time.monotonic() - began))
            screen.show(left)
            if events.poll() is not None and runner.status.lag in (0, None):
                time.sleep(1.5)  # the last rows and the checkpoint behind them
                screen.show(0)
                return
            time.sleep(1)


def next_steps(kafka: str, clickhouse: str, kept: Path | None) -> list[str]:
    """What to do now: lines for a shell, as they stand, from any folder."""
    lines = []
    program = Path(sys.executable).with_name("pipelinekit")
    found = shutil.which("pipelinekit")
    if program.exists() and (found is None or Path(found).absolute() != program.absolute()):
        lines.append(f'export PATH={shlex.quote(str(program.parent))}:"$PATH"')
    if kept is not None:
        lines += [
            f"# Kafka answers at {kafka}, ClickHouse at {clickhouse}",
            f"curl {clickhouse} --data-binary 'SELECT * FROM analytics.revenue LIMIT 5'",
            f"pipelinekit down --state {shlex.quote(str(kept))}   # stops them",
        ]
    return [
        *lines,
        "pipelinekit init shop && cd shop && pipelinekit test   # a metric of your own",
        "pipelinekit up && pipelinekit run                      # on the local stack",
        "pipelinekit load --rate 20000 --seconds 60             # in another terminal: its events",
    ]
