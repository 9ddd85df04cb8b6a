"""Each runner as a function that runs a plan to the end of its topic."""

from __future__ import annotations

from pathlib import Path

from pipelinekit.devstack.flink import Flink
from pipelinekit.devstack.prism_distribution import program
from pipelinekit.launch import direct, flink, prism
from pipelinekit.launch.start import begin_anew
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.local.options import RunOptions
from pipelinekit.runtime.local.runner import LocalRunner
from pipelinekit.runtime.outside import opened


def on_local(plan: Plan, folder: Path) -> None:
    with opened(plan) as outside:
        LocalRunner(
            plan,
            outside.source,
            outside.sinks,
            outside.dead_letters,
            folder,
            RunOptions(until_end=True, shards=2, buckets=2),
        ).run()


def on_direct(plan: Plan, folder: Path) -> None:
    direct.run(bounded(plan))


def on_prism(plan: Plan, folder: Path) -> None:
    prism.run(bounded(plan), program())


def on_flink(plan: Plan, folder: Path, cluster: Flink) -> None:
    where = flink.FlinkCluster(**cluster.address, checkpoints=f"file://{folder}")
    name = f"conformance-{plan.source.topic}".replace("_", "-")
    flink.preflight(where, name, 1)
    job = flink.submit(where, bounded(plan), name=name)
    rest = flink.FlinkRest(where.rest)
    state = rest.wait(job, flink.ENDED, 120)
    assert state == "FINISHED", (state, rest.exceptions(job)[:1])


def bounded(plan: Plan) -> BeamJob:
    return begin_anew(plan, None, until_end=True, shards=2, buckets=3).job
