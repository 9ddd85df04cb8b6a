"""Everything that a plan touches outside, made from it: source, sinks, dead letters, topics."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelinekit.connectors.base import DeadLetterQueue, Sink
from pipelinekit.errors import Refused, UsageError
from pipelinekit.plan.model import Plan, SinkPlan, SourcePlan
from pipelinekit.plan.tables import sink_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelinekit.connectors.kafka.admin import KafkaAdmin
    from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters
    from pipelinekit.connectors.kafka.security import Security
    from pipelinekit.connectors.kafka.source import KafkaSource
    from pipelinekit.connectors.kafka.topics import TopicWanted

_SECRETS_FOLDER = Path("/run/secrets")


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """What a running job holds open."""

    source: KafkaSource
    sinks: Mapping[str, Sink]
    dead_letters: DeadLetterQueue | None


@contextmanager
def opened(plan: Plan, stop: threading.Event | None = None) -> Iterator[Outside]:
    """All of it, closed at the end. Raises Unreachable or Refused, UsageError for a secret.

    What is asked for only when it is needed is asked now: whether dead letters can be written.
    """
    with ExitStack() as stack:
        source = make_source(plan.source)
        stack.callback(source.close)
        sinks = {}
        for sink_plan in plan.sinks:
            sink = make_sink(sink_plan, stop)
            stack.callback(sink.close)
            sinks[sink_plan.name] = sink
        letters = make_dead_letters(plan.source)
        if letters is not None:
            stack.callback(letters.close)
            letters.check()
        yield Outside(source, sinks, letters)


def make_source(plan: SourcePlan, linger_ms: int | None = None) -> KafkaSource:
    """The source, not yet asked for anything. Its readers' polls are `linger_ms` apart."""
    from pipelinekit.connectors.kafka.reader import ReadSettings
    from pipelinekit.connectors.kafka.source import KafkaSource

    settings = None if linger_ms is None else ReadSettings(linger_ms=linger_ms)
    return KafkaSource(plan.brokers, plan.topic, settings, security=_security(plan))


def make_admin(plan: SourcePlan) -> KafkaAdmin:
    """Questions to the source's cluster."""
    from pipelinekit.connectors.kafka.admin import KafkaAdmin

    return KafkaAdmin(plan.brokers, security=_security(plan))


def make_dead_letters(plan: SourcePlan) -> KafkaDeadLetters | None:
    """Where the source's refused events go, None if it names no topic for them."""
    from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters

    if plan.dead_letters_topic is None:
        return None
    return KafkaDeadLetters(plan.brokers, plan.dead_letters_topic, security=_security(plan))


def make_letters_source(plan: SourcePlan) -> KafkaSource | None:
    """The source's dead letters, to be read; None if it names no topic for them."""
    from pipelinekit.connectors.kafka.source import KafkaSource

    if plan.dead_letters_topic is None:
        return None
    return KafkaSource(plan.brokers, plan.dead_letters_topic, security=_security(plan))


def make_sink(plan: SinkPlan, stop: threading.Event | None = None) -> Sink:
    """The sink, its secrets resolved. Raises UsageError when one is not set."""
    settings = {n: _resolved(v, f'sink "{plan.name}"') for n, v in plan.settings.items()}
    return _MAKERS[plan.type](plan, settings, stop or threading.Event())


def resolve_secret(name: str, user: str) -> str:
    """The secret's value: the variable of that name, or the file /run/secrets/NAME."""
    if (value := os.environ.get(name)) is not None:
        return value
    file = _SECRETS_FOLDER / name
    if file.is_file():
        return file.read_text().rstrip("\n")
    raise UsageError(
        f"{user} needs the secret {name}, and it is not set",
        help=f"set the environment variable {name}, or put it in {file}",
    )


def ddl_from_nothing(plan: Plan) -> dict[str, list[str]]:
    """For each sink that takes statements all that the plan wants there; nothing is asked."""
    statements = {}
    for name, schema in sink_schemas(plan).items():
        sink = next(s for s in plan.sinks if s.name == name)
        if sink.type == "clickhouse":
            from pipelinekit.connectors.clickhouse.ddl import difference

            database = str(sink.settings["database"])
            statements[name] = difference(database, schema, {}, has_database=False)
    return statements


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What is missing in one place; `apply` makes it so. `manage` is full or verify."""

    place: str
    statements: tuple[str, ...]
    manage: str
    apply: Callable[[], None]


def differences(plan: Plan) -> list[Difference]:
    """What topics and tables lack, place by place. Raises Unreachable or Refused."""
    found = [_topic_difference(plan)]
    schemas = sink_schemas(plan)
    for sink_plan in plan.sinks:
        sink = make_sink(sink_plan)
        statements = sink.ddl(schemas[sink_plan.name])
        found.append(
            Difference(
                f"sink {sink_plan.name}",
                tuple(statements),
                sink_plan.manage,
                lambda sink=sink, statements=statements: _apply(sink, statements),  # type: ignore[misc]
            )
        )
    return [d for d in found if d.statements]


def make_ready(plan: Plan) -> list[str]:
    """Apply all differences; gives the statements run. Raises Refused where `manage: verify`."""
    done: list[str] = []
    for difference in differences(plan):
        if difference.manage != "full":
            raise Refused(
                f"{difference.place} is not as the plan wants it, and is not ours to change: "
                f"{difference.statements[0]}"
                + (
                    f" (and {len(difference.statements) - 1} more)"
                    if len(difference.statements) > 1
                    else ""
                ),
                help="give the output of `pipelinekit ddl` to whoever keeps it, or write "
                "`manage: full` in its spec",
            )
        difference.apply()
        done += difference.statements
    return done


def _topic_difference(plan: Plan) -> Difference:
    from pipelinekit.connectors.kafka import topics

    source = plan.source
    wanted: list[TopicWanted] = [topics.source_topic(source.topic)]
    admin = make_admin(source)
    if source.dead_letters_topic is not None:
        there = topics.describe(admin, source.topic)
        size = topics.BROKER_MESSAGE_BYTES_MAX if there is None else there.message_bytes_max
        wanted.append(topics.dead_letters_topic(source.dead_letters_topic, size))
    missing = [w for w in wanted if topics.describe(admin, w.name) is None]

    def apply() -> None:
        for topic in missing:
            topics.create(admin, topic)

    statements = tuple(topic.statement for topic in missing)
    return Difference(f"Kafka at {source.brokers}", statements, source.manage, apply)


def _apply(sink: Sink, statements: list[str]) -> None:
    sink.apply(statements)
    sink.close()


def _resolved(value: object, user: str) -> object:
    """The value with every `{"secret": NAME}` in it replaced by the secret."""
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"secret"}:
        return resolve_secret(str(value["secret"]), user)
    return {name: _resolved(item, user) for name, item in value.items()}


def _security(plan: SourcePlan) -> Security | None:
    from pipelinekit.connectors.kafka.security import Security

    if plan.security is None:
        return None
    resolved = _resolved(plan.security, f'source "{plan.name}"')
    assert isinstance(resolved, Mapping)
    return Security.of(resolved)


def _clickhouse(plan: SinkPlan, settings: Mapping[str, object], stop: threading.Event) -> Sink:
    from pipelinekit.connectors.clickhouse.sink import ClickHouseSink

    return ClickHouseSink(
        str(settings["url"]),
        str(settings["database"]),
        user=str(settings.get("user") or "default"),
        password=str(settings.get("password") or ""),
        budget=plan.budget,
        retry_s=2.0,  # the writer goes on trying, and says so
        stop=stop,
    )


def _kafka(plan: SinkPlan, settings: Mapping[str, object], stop: threading.Event) -> Sink:
    from pipelinekit.connectors.kafka.security import Security
    from pipelinekit.connectors.kafka.sink import KafkaSink

    given = settings.get("security")
    return KafkaSink(
        str(settings["brokers"]),
        str(settings["topic"]),
        budget=plan.budget,
        security=Security.of(given) if isinstance(given, Mapping) else None,
    )


def _console(plan: SinkPlan, settings: Mapping[str, object], stop: threading.Event) -> Sink:
    from pipelinekit.connectors.console.sink import ConsoleSink

    return ConsoleSink(budget=plan.budget)


def _memory(plan: SinkPlan, settings: Mapping[str, object], stop: threading.Event) -> Sink:
    from pipelinekit.connectors.memory.sink import MemorySink, shared

    return shared(plan.name) if settings.get("shared") else MemorySink(budget=plan.budget)


_MAKERS: dict[str, Callable[[SinkPlan, Mapping[str, object], threading.Event], Sink]] = {
    "clickhouse": _clickhouse,
    "kafka": _kafka,
    "console": _console,
    "memory": _memory,
}
