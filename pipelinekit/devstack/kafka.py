"""A Kafka broker on the loopback: one node, KRaft, fetched once through Maven."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelinekit.devstack import process
from pipelinekit.devstack.process import Running
from pipelinekit.errors import Refused, Unreachable

VERSION = "4.3.1"
DEFAULT_PORT = 9092
_CLUSTER_ID = "cGlwZWxpbmVraXQtbG9jYQ"
_READY_S = 60.0
_LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""


def cache_folder() -> Path:
    """Where what was fetched is kept between projects."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pipelinekit"


def is_fetched() -> bool:
    return (cache_folder() / f"kafka-{VERSION}" / "complete").exists()


def fetch() -> Path:
    """The folder of the broker's jars, fetched if it isn't there. Raises Refused, Unreachable."""
    folder = cache_folder() / f"kafka-{VERSION}"
    if (folder / "complete").exists():
        return folder
    _require("java", "a JDK 17, such as Debian's package openjdk-17-jdk-headless")
    _require("mvn", "Maven, such as Debian's package maven")
    print(f"fetching Kafka {VERSION} through Maven (45 MB, once) …", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pom = Path(scratch) / "pom.xml"
        shutil.copy(Path(__file__).with_name("kafka-pom.xml"), pom)
        libraries = Path(scratch) / "made" / "libs"
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
        command = ["mvn", "-q", "-B", "-f", str(pom), goal, f"-DoutputDirectory={libraries}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unreachable(
                f"Maven could not fetch Kafka {VERSION}:\n{(done.stdout + done.stderr)[-1500:]}",
                help="check that Maven reaches its repository, then try again",
            )
        (libraries.parent / "complete").touch()
        if folder.exists():  # another process was faster, or an earlier try broke off
            shutil.rmtree(folder, ignore_errors=True)
        try:
            libraries.parent.rename(folder)
        except OSError:
            if not (folder / "complete").exists():
                raise
    return folder


@dataclass(slots=True)
class Kafka:
    """A broker on a folder and a port. It may be started, killed and started again."""

    folder: Path
    port: int
    running: Running | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    def start(self, pid_file: Path | None = None) -> None:
        """Returns when the broker answers. Raises Unreachable with the log's last lines."""
        home = fetch()
        process.require_free(self.port, "kafka")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configure(home)
        log = self.folder / "kafka.log"
        command = [*_java(home, self.folder), "kafka.Kafka", str(self.folder / "server.properties")]
        self.running = process.spawn(command, log, self.port, pid_file)
        process.wait_ready(self.running, "Kafka", log, lambda: _answers(self.port), _READY_S)

    def stop(self) -> None:
        if self.running is not None:
            process.stop(self.running)

    def kill(self) -> None:
        if self.running is not None:
            process.kill(self.running)

    def _configure(self, home: Path) -> None:
        controller = process.free_port()
        settings = _SETTINGS | {
            "log.dirs": str(self.folder / "data"),
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
        }
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / "server.properties").write_text(text)
        (self.folder / "log4j2.properties").write_text(_LOG4J)
        if not (self.folder / "data" / "meta.properties").exists():
            _format(home, self.folder)


@contextmanager
def running_kafka(folder: Path, port: int | None = None) -> Iterator[Kafka]:
    """A broker that answers, stopped at the end."""
    kafka = Kafka(folder, port or process.free_port())
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.stop()


_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.retention.check.interval.ms": "60000",
}


def _java(home: Path, folder: Path) -> list[str]:
    """The command up to the main class. The jars in a fixed order: the archive needs that."""
    jars = ":".join(sorted(str(jar) for jar in (home / "libs").glob("*.jar")))
    archive = home / "classes.jsa"
    return [
        "java",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        "-cp",
        jars,
    ]


def _format(home: Path, folder: Path) -> None:
    """Storage that the broker accepts; a JVM makes it the first time, a copy after that."""
    template = home / "bootstrap.checkpoint"
    data = folder / "data"
    if not template.exists():
        command = [*_java(home, folder), "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID]
        command += ["-c", str(folder / "server.properties")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"Kafka's storage can't be formatted:\n{done.stdout}{done.stderr}")
        made = data / "bootstrap.checkpoint"
        if made.exists():
            shutil.copy(made, template)
        return
    data.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, data)
    (data / "meta.properties").write_text(f"version=1\ncluster.id={_CLUSTER_ID}\nnode.id=1\n")


def archive_classes(home: Path) -> None:
    """Make the archive of loaded classes by running a broker once, apart from all others."""
    archive = home / "classes.jsa"
    if archive.exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        kafka = Kafka(Path(scratch), process.free_port())
        kafka.folder.mkdir(exist_ok=True)
        kafka._configure(home)
        partial = archive.with_suffix(f".{os.getpid()}")
        command = [*_java(home, kafka.folder), "kafka.Kafka"]
        command.insert(1, f"-XX:ArchiveClassesAtExit={partial}")
        command.append(str(kafka.folder / "server.properties"))
        log = kafka.folder / "kafka.log"
        running = process.spawn(command, log, kafka.port)
        try:
            process.wait_ready(running, "Kafka", log, lambda: _answers(kafka.port), _READY_S)
        finally:
            process.stop(running, timeout_s=60)
        if partial.exists():
            partial.rename(archive)


def _answers(port: int) -> bool:
    """Whether a Metadata request is answered with a broker in it: an open port is not enough."""
    body = struct.pack(">hhih", 3, 1, 7, 5) + b"ready" + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(2)
            connection.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", _exactly(connection, 4))[0]
            answer = _exactly(connection, size)
    except OSError:
        return False
    return bool(struct.unpack(">i", answer[4:8])[0] >= 1)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def _require(command: str, what: str) -> None:
    if shutil.which(command) is None:
        raise Refused(f'Kafka needs "{command}" and it is not on the PATH', help=f"install {what}")
