"""A Flink cluster on the loopback with what Beam's Python pipelines need beside it."""

from __future__ import annotations

from pipelinekit.devstack.flink.cluster import Flink, running_flink

__all__ = ["Flink", "running_flink"]
