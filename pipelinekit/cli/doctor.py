"""`pipelinekit doctor`: what is missing on this machine and around the project."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from pipelinekit.cli.common import check, environment_option, paths_argument
from pipelinekit.errors import PipelinekitError

_EXTRAS = {
    "polars": "local", "pyarrow": "local", "msgspec": "local", "confluent_kafka": "local",
    "chdb": "local", "psutil": "local",
}  # fmt: skip
_DISTRIBUTIONS = {"confluent_kafka": "confluent-kafka", "chdb": "chdb-core"}


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    is_fine: bool
    detail: str
    help: str | None = None


@click.command()
@paths_argument
@environment_option
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
def doctor(paths: tuple[Path, ...], environment: str, format: str) -> int:
    """Look at Python, Java, libraries, the project, and what its specs point to.

    Exit code: 0 all is well, 3 something is missing or does not answer.
    """
    findings = [*_machine(), *_project(paths, environment)]
    if format == "json":
        click.echo(json.dumps({"checks": [asdict(f) for f in findings]}))
    else:
        for finding in findings:
            click.echo(f"{'ok ' if finding.is_fine else 'NO '} {finding.what}: {finding.detail}")
            if finding.help and not finding.is_fine:
                click.echo(f"     {finding.help}")
    return 0 if all(f.is_fine for f in findings) else 3


def _machine() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", fits, found, "use Python 3.11 to 3.13")
    for module, extra in _EXTRAS.items():
        name = _DISTRIBUTIONS.get(module, module)
        try:
            there = find_spec(module) is not None
            detail = version(name) if there else "not installed"
        except PackageNotFoundError:
            there, detail = True, "version unknown"
        yield Finding(name, there, detail, f"pip install 'pipelinekit[{extra}]'")
    for command, what in (("java", "a JDK 17"), ("mvn", "Maven")):
        place = shutil.which(command)
        help = f"install {what}: `pipelinekit up kafka` needs it; a broker elsewhere does not"
        yield Finding(command, place is not None, place or "not on the PATH", help)
    yield _flink()


def _flink() -> Finding:
    from pipelinekit.devstack.flink import distribution

    if find_spec("apache_beam") is None:
        how = "pip install 'pipelinekit[beam]'"
        return Finding("Flink", True, f"not set up; to run on it: {how}")
    if (program := distribution.missing_program()) is not None:
        detail = f'{distribution.VERSION} needs the program "{program}", not on the PATH'
        return Finding("Flink", False, detail, distribution.how_to_get(program))
    if not distribution.is_fetched():
        return Finding("Flink", True, "not fetched yet; `pipelinekit up flink` fetches it")
    return Finding("Flink", True, f"{distribution.VERSION} in {distribution.home()}")


def _project(paths: tuple[Path, ...], environment: str) -> Iterator[Finding]:
    try:
        checked = check(paths, environment, with_process_environment=True)
    except PipelinekitError as error:
        yield Finding("project", False, error.message, error.help)
        return
    errors = sum(f.severity.value == "error" for f in checked.report.findings)
    detail = f"{checked.report.metrics} metrics, {errors} errors"
    yield Finding("project", errors == 0, detail, "see `pipelinekit validate`")
    if errors or find_spec("confluent_kafka") is None or find_spec("polars") is None:
        return
    from pipelinekit.plan.build import build

    for plan in build(checked.resolved, checked.selected):
        yield from _outside(plan)


def _outside(plan: object) -> Iterator[Finding]:
    from pipelinekit.connectors.kafka import topics
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.outside import make_admin, make_dead_letters, make_sink

    assert isinstance(plan, Plan)
    source = plan.source

    def topic() -> str:
        info = topics.describe(make_admin(source), source.topic)
        if info is None:
            return f"answers at {source.brokers}; the topic is not there yet, `run` makes it"
        drift = topics.drift(info, topics.source_topic(source.topic))
        return f"{info.partitions} partitions at {source.brokers}" + "".join(
            f"; note: {text}" for text in drift
        )

    def letters() -> str:
        assert source.dead_letters_topic is not None
        admin = make_admin(source)
        info = topics.describe(admin, source.dead_letters_topic)
        if info is None:
            return f"not at {source.brokers} yet, `run` makes it"
        there = topics.describe(admin, source.topic)
        size = topics.BROKER_MESSAGE_BYTES_MAX if there is None else there.message_bytes_max
        drift = topics.drift(info, topics.dead_letters_topic(info.name, size))
        queue = make_dead_letters(source)
        assert queue is not None
        try:
            queue.check()
        finally:
            queue.close()
        return f"at {source.brokers}" + "".join(f"; note: {text}" for text in drift)

    yield _asked(f"topic {source.topic}", topic)
    if source.dead_letters_topic is not None:
        yield _asked(f"topic {source.dead_letters_topic}", letters)
    for sink_plan in plan.sinks:

        def answer(sink_plan: object = sink_plan) -> str:
            sink = make_sink(sink_plan)  # type: ignore[arg-type]
            try:
                return sink.check()
            finally:
                sink.close()

        yield _asked(f"sink {sink_plan.name}", answer)


def _asked(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, question())
    except PipelinekitError as error:
        return Finding(what, False, error.message, error.help)
