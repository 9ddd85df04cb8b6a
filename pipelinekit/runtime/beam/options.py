"""Pipeline options by runner: which values matter, and why (docs/operator/flink.md)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PARALLELISM = 128  # of keyed state: fixed for a job's life, or no savepoint fits


@dataclass(frozen=True, slots=True)
class FlinkSettings:
    """How a job runs on a Flink cluster. Addresses are host:port; times in ms.

    `worker_pool` None starts the workers in the submitting process (development only).
    `checkpoints` is a URI that all task managers can write.
    """

    job_endpoint: str
    artifact_endpoint: str
    worker_pool: str | None
    checkpoints: str
    parallelism: int = 1
    checkpoint_every_ms: int = 5_000
    bundle_ms: int = 10
    state_cache_mb: int = 256
    savepoint: str | None = None
    is_bounded: bool = False  # ends when its source does


def flink_options(settings: FlinkSettings, job_name: str) -> list[str]:
    """The options as flags. Those that Beam's Python side doesn't know reach the Java side."""
    options = [
        "--runner=PortableRunner",
        f"--job_name={job_name}",
        f"--job_endpoint={settings.job_endpoint}",
        f"--artifact_endpoint={settings.artifact_endpoint}",
        "--streaming",
        f"--parallelism={settings.parallelism}",
        f"--max_parallelism={MAX_PARALLELISM}",
        # Without a value the Python side turns chaining off: operators keep their identity at
        # another parallelism.
        "--operator_chaining",
        # Every hop between stages costs up to this.
        f"--max_bundle_time_mills={settings.bundle_ms}",
        f"--checkpointing_interval={settings.checkpoint_every_ms}",
        # No watermark before its data.
        "--finish_bundle_before_checkpointing",
        # A lost job is resubmitted from its newest checkpoint.
        "--externalized_checkpoints_enabled",
        "--retain_externalized_checkpoints_on_cancellation",
        f"--max_cache_memory_usage_mb={settings.state_cache_mb}",
        "--sdk_worker_parallelism=1",
        "--state_backend=filesystem",
        f"--state_backend_storage_path={settings.checkpoints}",
    ]
    if settings.worker_pool is None:
        options.append("--environment_type=LOOPBACK")
    else:
        options += ["--environment_type=EXTERNAL", f"--environment_config={settings.worker_pool}"]
    if settings.is_bounded:
        # Else Flink keeps an ended source alive, for the sake of checkpoints.
        options.append("--shutdown_sources_after_idle_ms=0")
    if settings.savepoint is not None:
        options.append(f"--savepoint_path={settings.savepoint}")
    return options
