"""What the processes of the local cluster are told: Flink's options, those of its JVMs, logging."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelinekit.devstack.ports import HOST

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

_CLUSTER = {
    "jobmanager.rpc.address": HOST,
    "jobmanager.bind-host": HOST,
    "rest.address": HOST,
    "rest.bind-address": HOST,
    "taskmanager.host": HOST,
    "taskmanager.bind-host": HOST,
    "taskmanager.numberOfTaskSlots": "1",
    "taskmanager.cpu.cores": "1.0",
    # A process that was killed is noticed in 1.5 to 3 seconds instead of 50.
    "heartbeat.interval": "500",
    "heartbeat.timeout": "3000",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2147483647",
    "restart-strategy.fixed-delay.delay": "200 ms",
    # A slot that is lost comes back, or the spare one is there: no long wait for either.
    "slot.request.timeout": "60000",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "state.checkpoints.num-retained": "3",
    # A task manager looks for a job manager that was started again this often; 10 s by default.
    "cluster.registration.error-delay": "200",
    # A slot waits so long for the job that has it: the next job manager finds it as it was, in a
    # process that has run the job's code already.
    "taskmanager.slot.timeout": "30000",
    "web.refresh-interval": "200",
    # What `status` shows is as old as this; 10 s by default.
    "metrics.fetcher.update-interval": "200",
    "web.cancel.enable": "true",
    # Beam's threads outlive a cancelled job by a moment and may still load classes.
    "classloader.check-leaked-classloader": "false",
    "metrics.reporter.prom.factory.class": (
        "org.apache.flink.metrics.prometheus.PrometheusReporterFactory"
    ),
}

# A slice is a few large records: by default they wait up to 100 ms for a buffer to fill.
JOBS = {"execution.buffer-timeout.interval": "0 ms"}

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

# What Flink 1.19 asks of Java 17.
_EXPORTS = (
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "jdk.compiler/com.sun.tools.javac.api",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.compiler/com.sun.tools.javac.parser",
    "jdk.compiler/com.sun.tools.javac.tree",
    "jdk.compiler/com.sun.tools.javac.util",
    "java.security.jgss/sun.security.krb5",
)
_OPENS = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)


def write(folder: Path, values: Mapping[str, str]) -> None:
    """A configuration folder for a Flink process: the cluster's options and the values."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {**_CLUSTER, **_task_manager_memory(), **values}
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
        *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
        *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
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
