"""Kafka's jars: fetched once through Maven into the user's cache, with what makes starts fast.

`$XDG_CACHE_HOME/pipelinekit/kafka-<version>/` (`~/.cache` without the variable) holds
`libs/` (46 jars, 45 MB), `bootstrap.checkpoint` (what formatting a folder would give, without
the JVM start) and `classes-<java>.jsa` (the classes a broker loads, mapped instead of read: a
start takes 0.9 s in place of 3.5 s).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipelinekit.devstack import class_archive, ports, process
from pipelinekit.devstack.process import locked
from pipelinekit.devstack.service import READY_TIMEOUT_S, Progress
from pipelinekit.errors import Refused, Unreachable

VERSION = "4.3.1"
_POM = Path(__file__).with_name("kafka_pom.xml")
# Kafka takes any 16 bytes in base64url; all local brokers have the same ones.
_CLUSTER_ID = "cGlwZWxpbmVraXQtbG9jYQ"
_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""
_OUTPUT_CHARACTERS = 1500


def home() -> Path:
    """The folder in the cache, whether or not it is there yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pipelinekit" / f"kafka-{VERSION}"


def lock() -> Path:
    return home().with_name(f"{home().name}.lock")


def is_fetched() -> bool:
    return (home() / "complete").exists()


def missing_program() -> str | None:
    """The program that a start needs and the PATH lacks: "java", "mvn", or None."""
    if shutil.which("java") is None:
        return "java"
    if not is_fetched() and shutil.which("mvn") is None:
        return "mvn"
    return None


def fetch(progress: Progress) -> None:
    """Fill the cache if it isn't filled. Raises Refused without java or mvn, Unreachable when
    Maven fails."""
    _require_programs()
    home().parent.mkdir(parents=True, exist_ok=True)
    if is_fetched() and _archive().exists():
        return
    with locked(lock()):  # another process may be at it
        if not is_fetched():
            progress(f"fetching Kafka {VERSION} through Maven (45 MB, once) …")
            _fetch_jars()
        if not (home() / "bootstrap.checkpoint").exists():
            _make_checkpoint()
        if not _archive().exists():
            progress("preparing Kafka for fast starts (once) …")
            _make_archive()


def java() -> list[str]:
    """The command up to the main class."""
    return _java(*class_archive.options(_archive()))


def format_storage(data: Path) -> None:
    """An empty data folder that the broker accepts."""
    data.mkdir(parents=True, exist_ok=True)
    shutil.copy(home() / "bootstrap.checkpoint", data)
    identity = {"version": "1", "cluster.id": _CLUSTER_ID, "node.id": "1"}
    write_properties(data / "meta.properties", identity)


def write_properties(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def _require_programs() -> None:
    what = {
        "java": "install a Java runtime, 17 or newer (Debian: apt install openjdk-17-jre-headless)",
        "mvn": "install Maven (Debian: apt install maven); it is needed once, to fetch the jars",
    }
    if (missing := missing_program()) is not None:
        message = f'Kafka {VERSION} needs the program "{missing}" and the PATH has none'
        raise Refused(message, help=what[missing])


def _fetch_jars() -> None:
    """Jars land in a scratch folder that becomes the home in one rename."""
    with tempfile.TemporaryDirectory(dir=home().parent, prefix="fetching-") as scratch:
        made = Path(scratch) / "home"
        shutil.copy(_POM, Path(scratch) / "pom.xml")
        command = ["mvn", "-q", "-B", "-f", str(Path(scratch) / "pom.xml")]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={made / 'libs'}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
            raise Unreachable(
                f"Maven did not fetch Kafka {VERSION}; it says\n{output}",
                help="check that Maven reaches its repository (~/.m2/settings.xml), then try again",
            )
        (made / "log4j2.properties").write_text(_LOGGING)
        (made / "complete").touch()
        shutil.rmtree(home(), ignore_errors=True)  # left by a version that wrote it otherwise
        made.rename(home())


def _make_checkpoint() -> None:
    """What Kafka's own tool writes into a new folder, kept as the template of all."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        configuration = _scratch_configuration(Path(scratch), ports.free_port())
        command = [*_java(), "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID]
        command += ["-c", str(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
            raise Refused(f"Kafka's storage tool failed; it says\n{output}")
        class_archive.move(data / "bootstrap.checkpoint", home() / "bootstrap.checkpoint")


def _make_archive() -> None:
    """Run a broker once, apart from all others, and keep which classes it loaded.

    A Java that can't make one leaves an empty file: starts are slower then, and the try isn't
    repeated.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), ports.free_port()
        made = folder / "classes.jsa"
        made.touch()
        configuration = _scratch_configuration(folder, port)
        format_storage(folder / "data")
        command = [*_java(f"-XX:ArchiveClassesAtExit={made}"), "kafka.Kafka", str(configuration)]
        log = folder / "kafka.log"
        running = process.spawn(command, log, port)
        try:
            process.wait_ready(running, "Kafka", log, lambda: not ports.is_free(port), 60)
        finally:
            process.stop(running, READY_TIMEOUT_S)
        class_archive.move(made, _archive())


def _scratch_configuration(folder: Path, port: int) -> Path:
    controller = f"{ports.HOST}:{ports.free_port()}"
    path = folder / "server.properties"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "data"),
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{ports.HOST}:{port},CONTROLLER://{controller}",
    }
    write_properties(path, settings)
    return path


def _java(*options: str) -> list[str]:
    # The jars by name and in a fixed order: the archive of classes holds for one class path.
    jars = ":".join(sorted(str(jar) for jar in (home() / "libs").glob("*.jar")))
    return [
        "java",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        *options,
        f"-Dlog4j2.configurationFile={home() / 'log4j2.properties'}",
        "-cp",
        jars,
    ]


def _archive() -> Path:
    return class_archive.place(home())
