"""Addresses and topics that can be what they say, and that don't feed on themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from pipelinekit.checks.base import Place
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Path
from pipelinekit.spec.models.sink import ClickHouseSinkSpec, KafkaSinkSpec
from pipelinekit.spec.resolve import Resolved
from pipelinekit.spec.variables import open_names

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.ASCII)
_PORT_MAX = 65_535


class TopicsAreNames:
    """Kafka's own rule for names of topics; what is written never comes back as events."""

    code = "PK410"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        read = {source.spec.topic: name for name, source in resolved.project.sources.items()}
        for place, path, topic, what in _topics(resolved, self.code):
            if open_names([topic]):
                continue
            if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
                help = "use letters, digits, . _ and -, 249 at most"
                yield place.error(f'"{topic[:60]}" is no name of a topic', path, help)
            elif what and topic in read:
                message = f"{what} would come back as events of the source {read[topic]}"
                yield place.error(message, path, "give them a topic of their own")


def _topics(resolved: Resolved, code: str) -> Iterator[tuple[Place, Path, str, str]]:
    """Every topic with what is written to it; empty for those that are read."""
    for source in resolved.project.sources.values():
        yield Place(code, source), ("topic",), source.spec.topic, ""
        if source.spec.dead_letters is not None:
            path: Path = ("dead_letters", "topic")
            yield Place(code, source), path, source.spec.dead_letters.topic, "dead letters"
    for sink in resolved.project.sinks.values():
        if isinstance(sink.spec, KafkaSinkSpec):
            yield Place(code, sink), ("topic",), sink.spec.topic, "rows"


class AddressesCanBe:
    """Brokers are host:port, a store's URL is one of HTTP."""

    code = "PK412"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for source in resolved.project.sources.values():
            yield from _brokers(Place(self.code, source), source.spec.brokers)
        for sink in resolved.project.sinks.values():
            place = Place(self.code, sink)
            if isinstance(sink.spec, KafkaSinkSpec):
                yield from _brokers(place, sink.spec.brokers)
            elif isinstance(sink.spec, ClickHouseSinkSpec):
                yield from _url(place, sink.spec.url)


def _brokers(place: Place, text: str) -> Iterable[Diagnostic]:
    for broker in [] if open_names([text]) else text.split(","):
        found = _BROKER.fullmatch(broker.strip())
        if not found or not 1 <= int(found[1]) <= _PORT_MAX:
            yield place.error(
                f'"{broker.strip()[:60]}" is no address of a broker',
                ("brokers",),
                "write host:port, several with commas between them",
            )


def _url(place: Place, text: str) -> Iterable[Diagnostic]:
    if open_names([text]) or _has_password(text):  # a password is PK407's affair
        return
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        yield place.error(
            f'"{text[:60]}" is no URL of HTTP',
            ("url",),
            "write http://host:8123 or https://host:8443",
        )


class UrlsHoldNoPassword:
    """An address is printed in plans and logs; a secret in it would be too."""

    code = "PK407"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for sink in resolved.project.sinks.values():
            if isinstance(sink.spec, ClickHouseSinkSpec) and _has_password(sink.spec.url):
                yield Place(self.code, sink).error(
                    "the URL holds a user or password",
                    ("url",),
                    "write user: and password: { secret: NAME } instead",
                )


def _has_password(url: str) -> bool:
    return "@" in url
