"""A Flink cluster on the loopback with what Beam's Python pipelines need beside it."""

from __future__ import annotations

from pipelinekit.devstack.flink.cluster import Flink, running_flink
from pipelinekit.devstack.flink.parts import prepare

__all__ = ["Flink", "prepare", "running_flink"]
