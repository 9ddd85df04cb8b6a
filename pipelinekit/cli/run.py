"""`pipelinekit run`: metrics on this machine, until told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    check,
    environment_option,
    is_terminal,
    made_ready,
    paths_argument,
    plans_of,
    running,
    state_folder,
    state_option,
    verbosity_options,
)
from pipelinekit.cli.render import counted
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.local.runner import LocalRunner
    from pipelinekit.runtime.local.status import Status


@click.command()
@paths_argument
@environment_option
@click.option(
    "--from",
    "start_from",
    type=click.Choice(["earliest", "latest", "stored"]),
    default="stored",
    show_default=True,
    help="Where to begin; stored without anything stored is earliest.",
)
@click.option(
    "--until-end",
    is_flag=True,
    help="Stop at the end of the topic as it is now, and close every window.",
)
@click.option("--no-ddl", is_flag=True, help="Do not create topics and tables first.")
@click.option(
    "--shards",
    type=click.IntRange(1, 64),
    default=None,
    help="Readers; fixed at a job's first start. [default: 1, or as stored]",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "direct", "prism", "flink"]),
    default="local",
    show_default=True,
    help="What runs it: this process, or Beam on one of its runners.",
)
@click.option("--yes", is_flag=True, help="Run against a protected environment.")
@state_option
@verbosity_options
def run(
    paths: tuple[Path, ...],
    environment: str,
    start_from: str,
    until_end: bool,
    no_ddl: bool,
    shards: int | None,
    runner: str,
    yes: bool,
    state: Path | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the metrics in PATH, on this machine unless --runner says otherwise.

    Rows appear in the sinks while windows are open, and are corrected when late events arrive.
    Ctrl-C flushes, saves and ends with 0; killed, the next run goes on from the last checkpoint
    and the result is the same.

    direct replays to the end (--until-end), prism keeps no state, flink takes the cluster of
    `up flink` and stops with a savepoint.
    """
    # One thread for a data frame: slices are small, and the other core writes and reads.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    checked = check(paths, environment, with_process_environment=True)
    plans = plans_of(checked)
    if len(plans) > 1:
        names = ", ".join(plan.source.name for plan in plans)
        raise UsageError(
            f"these metrics read several sources: {names}",
            help="run one source at a time: name its metrics' files or folder",
        )
    if checked.project.is_protected and not yes:
        raise UsageError(f"the environment {environment} is protected", help="say --yes to run it")
    if runner != "local":
        from pipelinekit.cli.run_beam import run_on_beam

        folder = state_folder(checked.project, state)
        variables = checked.project.variables
        return run_on_beam(
            plans[0],
            runner,
            variables,
            folder,
            start_from=start_from,
            until_end=until_end,
            ddl=not no_ddl,
            shards=shards,
            quiet=quiet,
        )
    folder = state_folder(checked.project, state) / plans[0].job
    return run_plan(
        plans[0],
        folder,
        start_from=start_from,
        until_end=until_end,
        ddl=not no_ddl,
        shards=shards,
        quiet=quiet,
    )


def run_plan(
    plan: Plan,
    folder: Path,
    *,
    start_from: str,
    until_end: bool,
    ddl: bool,
    shards: int | None,
    quiet: bool,
) -> int:
    """Run one plan with signals handled and a status line; gives the exit code."""
    from pipelinekit.runtime.collector import settle_collector
    from pipelinekit.runtime.local.options import RunOptions, StartFrom
    from pipelinekit.runtime.local.runner import LocalRunner
    from pipelinekit.runtime.outside import opened

    if ddl:
        made_ready(plan, quiet=quiet)
    settle_collector()
    stop = threading.Event()
    with opened(plan, stop) as outside:
        runner = LocalRunner(
            plan,
            outside.source,
            outside.sinks,
            outside.dead_letters,
            folder,
            RunOptions(start_from=StartFrom(start_from), until_end=until_end, shards=shards),
        )
        _stop_on_signals(runner, stop)
        shown = threading.Event()
        line = threading.Thread(
            target=_show, args=(runner, running(plan), shown, quiet), daemon=True
        )
        line.start()
        try:
            status = runner.run()
        finally:
            shown.set()
            runner.started.set()
            line.join(2)
        _summarise(status, quiet)
    return 0


def _stop_on_signals(runner: LocalRunner, stop: threading.Event) -> None:
    """The first signal ends gracefully, the second at once."""

    def handle(number: int, frame: object) -> None:
        if runner.is_stopping:
            os._exit(128 + number)
        stop.set()
        runner.stop()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _show(runner: LocalRunner, said: str, ended: threading.Event, quiet: bool) -> None:
    """What runs; then a live line on a terminal, a plain one every ten seconds otherwise."""
    live = is_terminal()
    if runner.started.wait() and not quiet and not ended.is_set():
        print(f"running {said}; Ctrl-C ends it", file=sys.stderr, flush=True)
        for note in runner.status.notes:
            print(f"note: {note}", file=sys.stderr, flush=True)
    while not ended.wait(0.5 if live else 10):
        if quiet:
            continue
        text = runner.status.line(runner.clock.now_ms(), runner.status.lag)
        if live:
            width = max(2, os.get_terminal_size(sys.stderr.fileno()).columns or 80)
            print(f"\r{text[: width - 1]:<{width - 1}}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
    if live and not quiet:
        print(file=sys.stderr)


def _summarise(status: Status, quiet: bool) -> None:
    letters = sum(status.dead_letters.values())
    balance = "the ledger balances" if not status.imbalances else "THE LEDGER DOES NOT BALANCE"
    _say(
        quiet,
        f"ended: {status.events:,} events read, {status.rows_written:,} rows written, "
        f"{letters:,} dead letters; {balance}",
    )
    for name, rows in status.overflows.items():
        print(f"  {name} is null in {rows:,} rows: it went beyond its limit", file=sys.stderr)
    for name, excess in status.key_totals.excesses.items():
        windows = counted(excess.windows, "window")
        print(
            f"  {name} has more than {excess.limit:,} values in {windows}: "
            f"{excess.most:,} in the fullest",
            file=sys.stderr,
        )
    for imbalance in status.imbalances:
        print(f"  {imbalance}", file=sys.stderr)


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        print(text, file=sys.stderr, flush=True)
