"""What the processes of the local cluster are told: Flink's options, those of its JVMs, logging."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelinekit.devstack.ports import HOST
from pipelinekit.runtime.flink_cluster import JAVA_FLAGS, JOBS, OPTIONS

# JVM flags follow from these: heap = framework + task, direct = both off-heap + network.
_TASK_MANAGER_MEGABYTES = {
    "framework.heap": 128,
    "task.heap": 448,
    "framework.off-heap": 128,
    "task.off-heap": 128,  # the gRPC channels to the Python workers
    "network": 64,
    "managed": 64,  # RocksDB, if a job asks for it
    "jvm-metaspace": 256,
    "jvm-overhead": 128,
}
_RANGES = ("network", "jvm-overhead")  # these two are a minimum and a maximum

_HOSTS = {
    "jobmanager.rpc.address": HOST,
    "jobmanager.bind-host": HOST,
    "rest.address": HOST,
    "rest.bind-address": HOST,
    "taskmanager.host": HOST,
    "taskmanager.bind-host": HOST,
    "taskmanager.cpu.cores": "1.0",
}

_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
logger.jobs.name = org.apache.flink.runtime.executiongraph
logger.jobs.level = INFO
logger.resources.name = org.apache.flink.runtime.resourcemanager
logger.resources.level = INFO
logger.submission.name = org.apache.beam.runners
logger.submission.level = INFO
# A process that was killed is told of by the resource manager, in fewer words.
logger.remote.name = org.apache.pekko
logger.remote.level = ERROR
# Not of interest here: "no tokens obtained", "log file … not set", "plugins … does not exist".
logger.tokens.name = org.apache.flink.runtime.security.token
logger.tokens.level = ERROR
logger.web.name = org.apache.flink.runtime.webmonitor
logger.web.level = ERROR
logger.plugins.name = org.apache.flink.core.plugin
logger.plugins.level = ERROR
# Each connection that ends with its process.
logger.zookeeper.name = org.apache.flink.shaded.zookeeper3
logger.zookeeper.level = ERROR
"""


def write(folder: Path, values: Mapping[str, str]) -> None:
    """A configuration folder for a Flink process: the cluster's options and the values."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {**OPTIONS, **_HOSTS, **_task_manager_memory(), **values}
    # Quoted: the reporter's options take a number that is no text for absent.
    (folder / "config.yaml").write_text(
        "".join(f'{key}: "{value}"\n' for key, value in options.items())
    )
    (folder / "log4j2.properties").write_text(_LOGGING)


def write_client(folder: Path, values: Mapping[str, str]) -> None:
    """A configuration folder for a client: it becomes part of each job, so what jobs need alone."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {**JOBS, **values}
    (folder / "config.yaml").write_text("".join(f'{k}: "{v}"\n' for k, v in options.items()))


def coming_back(quorum: str, storage: str) -> dict[str, str]:
    """The options that make a job manager go on with the jobs of the one before it."""
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": quorum,
        "high-availability.storageDir": storage,
        # The dead one leads for so long; the next one's start takes about that.
        "high-availability.zookeeper.client.session-timeout": "3000",
        "high-availability.zookeeper.client.connection-timeout": "3000",
        "high-availability.zookeeper.client.retry-wait": "200",
        "high-availability.zookeeper.client.max-retry-attempts": "29",
        "zookeeper.sasl.disable": "true",
        # A ZooKeeper that is started again within the time-out interrupts no job.
        "high-availability.zookeeper.client.tolerate-suspended-connections": "true",
    }


def write_zookeeper(folder: Path, data: Path, port: int) -> Path:
    """ZooKeeper's configuration, beside that of its logging; gives its file."""
    folder.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.properties").write_text(_LOGGING)
    file = folder / "zoo.cfg"
    file.write_text(
        f"clientPort={port}\nclientPortAddress={HOST}\ndataDir={data}\n"
        # A session lives for two ticks at least.
        "tickTime=500\nadmin.enableServer=false\ninitLimit=10\nsyncLimit=5\n"
    )
    return file


def java(folder: Path, class_path: str, *options: str) -> list[str]:
    """The command up to the main class; logging as `write` left it in the folder."""
    return [
        "java",
        "-XX:+UseSerialGC",
        *options,
        *JAVA_FLAGS,
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        "-cp",
        class_path,
    ]


def task_manager_options() -> list[str]:
    """The JVM flags that match the memory options."""
    size = _TASK_MANAGER_MEGABYTES
    heap = size["framework.heap"] + size["task.heap"]
    direct = size["framework.off-heap"] + size["task.off-heap"] + size["network"]
    return [
        # The first compiler only: a cold manager runs Beam's code at half the CPU, and development
        # clusters are cold.
        "-XX:TieredStopAtLevel=1",
        f"-Xms{heap}m",
        f"-Xmx{heap}m",
        f"-XX:MaxDirectMemorySize={direct}m",
        f"-XX:MaxMetaspaceSize={size['jvm-metaspace']}m",
    ]


def _task_manager_memory() -> dict[str, str]:
    options: dict[str, str] = {}
    for part, megabytes in _TASK_MANAGER_MEGABYTES.items():
        ends = ("min", "max") if part in _RANGES else ("size",)
        options |= {f"taskmanager.memory.{part}.{end}": f"{megabytes}m" for end in ends}
    return options
