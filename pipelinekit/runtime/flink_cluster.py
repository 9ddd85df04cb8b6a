"""What a Flink cluster is told so that its jobs recover fast: the local one and the manifests' one.

Where its parts listen, how much memory they have and who remembers its jobs is said where they are
started.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "1.19.3"

OPTIONS: Final = {
    "taskmanager.numberOfTaskSlots": "1",
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
    # Beam's threads outlive a cancelled job by a moment and may still load classes.
    "classloader.check-leaked-classloader": "false",
    "metrics.reporter.prom.factory.class": (
        "org.apache.flink.metrics.prometheus.PrometheusReporterFactory"
    ),
}

# A slice is a few large records: by default they wait up to 100 ms for a buffer to fill.
JOBS: Final = {"execution.buffer-timeout.interval": "0 ms"}

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

JAVA_FLAGS: Final = (
    *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
    *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
)
