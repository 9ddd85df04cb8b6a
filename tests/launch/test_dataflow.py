"""Dataflow as far as it can be tried without the cloud: the request, and the graph it launches.

The REST interface is a fake that records what it is sent; its answers have the shape that the
interface documents.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.launch import dataflow
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.beam.graph import build
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.floors import fresh
from tests import plans

COUNTS = plans.metric("counts", [plans.measure("n", "count()")], key=["country"])
PLAN = Plan("events", "production", plans.source(topic="events"), (COUNTS,), ())
JOB = BeamJob(PLAN, {0: 5, 1: 7}, shards=2, buckets=4, epoch=3, metrics=fresh(PLAN, 0))
VARIABLES = {
    "DATAFLOW_PROJECT": "shop",
    "DATAFLOW_REGION": "europe-west1",
    "DATAFLOW_TEMPLATE": "gs://shop/templates/events.json",
    "DATAFLOW_TEMP": "gs://shop/temp",
}


class Fake:
    """Answers every request with `status` and `answer`; keeps the last one."""

    def __init__(self) -> None:
        self.status, self.answer = 200, {"job": {"id": "2026-01-01_00_00_00-1"}}
        self.path, self.body, self.token = "", {}, ""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake.path = self.path
                fake.token = self.headers["Authorization"]
                fake.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(fake.status)
                self.end_headers()
                self.wfile.write(json.dumps(fake.answer).encode())

            def log_message(self, *words: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_launch_names_template_worker_and_network_and_carries_the_job(fake: Fake) -> None:
    settings = dataflow.settings_from(
        VARIABLES
        | {
            "DATAFLOW_SERVICE_ACCOUNT": "runner@shop",
            "DATAFLOW_SUBNETWORK": "regions/europe-west1/subnetworks/data",
            "DATAFLOW_PRIVATE_IPS": "true",
            "DATAFLOW_WORKERS_MAX": "20",
        }
    )
    body = dataflow.request(settings, JOB, "pipelinekit-production-events")
    found = dataflow.launch(settings, body, token=lambda: "secret", api=fake.url)
    assert found == "2026-01-01_00_00_00-1"
    assert fake.path == "/v1b3/projects/shop/locations/europe-west1/flexTemplates:launch"
    assert fake.token == "Bearer secret"
    sent = fake.body["launchParameter"]
    assert sent["jobName"] == "pipelinekit-production-events"
    assert sent["containerSpecGcsPath"] == "gs://shop/templates/events.json"
    assert sent["environment"] == {
        "tempLocation": "gs://shop/temp",
        "serviceAccountEmail": "runner@shop",
        "subnetwork": "regions/europe-west1/subnetworks/data",
        "ipConfiguration": "WORKER_IP_PRIVATE",
        "maxWorkers": 20,
        "enableStreamingEngine": True,
        "additionalExperiments": ["use_runner_v2"],
    }
    assert "update" not in sent
    back = dataflow.unpacked(sent["parameters"]["deployment"])
    assert (back.plan, back.positions, back.epoch) == (JOB.plan, JOB.positions, 3)
    assert (back.shards, back.buckets, back.metrics) == (2, 4, JOB.metrics)


def test_an_update_maps_the_names_of_the_running_job() -> None:
    settings = dataflow.settings_from(VARIABLES)
    body = dataflow.request(settings, JOB, "j", update=True, renamed={"old panes": "panes"})
    assert body["launchParameter"]["update"] is True
    assert body["launchParameter"]["transformNameMappings"] == {"old panes": "panes"}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="DATAFLOW_REGION, DATAFLOW_TEMP"):
        dataflow.settings_from({k: v for k, v in VARIABLES.items() if "PROJ" in k or "PLATE" in k})
    with pytest.raises(UsageError, match="DATAFLOW_WORKERS_MAX is 'many'"):
        dataflow.settings_from(VARIABLES | {"DATAFLOW_WORKERS_MAX": "many"})


def test_a_refusal_gives_the_reason(fake: Fake) -> None:
    fake.status, fake.answer = 403, {"error": {"message": "no such service account"}}
    settings = dataflow.settings_from(VARIABLES)
    body = dataflow.request(settings, JOB, "j")
    with pytest.raises(Refused, match="no such service account"):
        dataflow.launch(settings, body, token=lambda: "t", api=fake.url)


def test_an_interface_that_does_not_answer_is_unreachable() -> None:
    settings = dataflow.settings_from(VARIABLES)
    with pytest.raises(Unreachable):
        dataflow.launch(settings, {}, token=lambda: "t", api="http://127.0.0.1:9")


def test_the_graph_builds_and_its_names_are_those_that_updates_rely_on() -> None:
    options = PipelineOptions(
        ["--project=shop", "--region=europe-west1", "--temp_location=gs://shop/temp", "--streaming"]
    )
    pipeline = beam.Pipeline(runner="DirectRunner", options=options)
    build(pipeline, JOB)
    proto = pipeline.to_runner_api()
    names = {t.unique_name for t in proto.components.transforms.values()}
    assert {"shards", "read", "dead letters", "ledger", "by bucket", "panes", "rows",
            "progress"} <= {name.split("/")[0] for name in names}  # fmt: skip
    stateful = {
        (spec, state)
        for t in proto.components.transforms.values()
        if t.spec.urn == "beam:transform:pardo:v1"
        for spec, state in _states(t)
    }
    assert stateful == {
        ("panes", "log"), ("panes", "head"), ("panes", "ts-flush"), ("panes", "ts-advance"),
        ("progress", "pending"), ("progress", "ts-close"),
    }  # fmt: skip


def _states(transform) -> list[tuple[str, str]]:
    from apache_beam.portability.api import beam_runner_api_pb2

    payload = beam_runner_api_pb2.ParDoPayload()
    payload.ParseFromString(transform.spec.payload)
    found = [*payload.state_specs, *payload.timer_family_specs]
    return [(transform.unique_name, name) for name in found]
