"""Dataflow: a Flex Template's launch request, and the pipeline that its launcher builds.

Not run against the cloud from here: the pipeline is built and its graph checked, the request is
compared with what the REST interface documents.
"""

from __future__ import annotations

import argparse
import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.plan.codec import decode, encode
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.floors import MetricState

API = "https://dataflow.googleapis.com"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class DataflowSettings:
    """What a launch needs to know of the cloud. `template`: gs:// of the Flex Template's spec."""

    project: str
    region: str
    template: str
    temp_location: str
    staging_location: str | None = None
    service_account: str | None = None
    network: str | None = None
    subnetwork: str | None = None
    private_ips: bool = False
    machine_type: str | None = None
    workers: int | None = None
    workers_max: int | None = None
    sdk_image: str | None = None
    kms_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


# The variable of each setting, of the environment in pipelinekit.yaml or of the process.
VARIABLES = {
    "project": "DATAFLOW_PROJECT",
    "region": "DATAFLOW_REGION",
    "template": "DATAFLOW_TEMPLATE",
    "temp_location": "DATAFLOW_TEMP",
    "staging_location": "DATAFLOW_STAGING",
    "service_account": "DATAFLOW_SERVICE_ACCOUNT",
    "network": "DATAFLOW_NETWORK",
    "subnetwork": "DATAFLOW_SUBNETWORK",
    "private_ips": "DATAFLOW_PRIVATE_IPS",
    "machine_type": "DATAFLOW_MACHINE_TYPE",
    "workers": "DATAFLOW_WORKERS",
    "workers_max": "DATAFLOW_WORKERS_MAX",
    "sdk_image": "DATAFLOW_SDK_IMAGE",
    "kms_key": "DATAFLOW_KMS_KEY",
}
_REQUIRED = ("project", "region", "template", "temp_location")


def settings_from(variables: Mapping[str, Any]) -> DataflowSettings:
    """The settings that the variables give. Raises UsageError for what is missing or no number."""
    given = {name: variables[v] for name, v in VARIABLES.items() if variables.get(v)}
    missing = [VARIABLES[name] for name in _REQUIRED if name not in given]
    if missing:
        raise UsageError(
            f"Dataflow needs {', '.join(missing)}",
            help="set them in the environment of pipelinekit.yaml, or of the process",
        )
    values: dict[str, Any] = {name: str(value) for name, value in given.items()}
    for name in ("workers", "workers_max"):
        if name in values:
            values[name] = _number(VARIABLES[name], values[name])
    values["private_ips"] = values.get("private_ips", "").lower() in ("1", "true", "yes")
    return DataflowSettings(**values)


def request(
    settings: DataflowSettings,
    job: BeamJob,
    name: str,
    *,
    update: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of `flexTemplates:launch`. `renamed`: the running job's transforms → this one's."""
    environment: dict[str, Any] = {
        "tempLocation": settings.temp_location,
        "stagingLocation": settings.staging_location,
        "serviceAccountEmail": settings.service_account,
        "network": settings.network,
        "subnetwork": settings.subnetwork,
        "ipConfiguration": "WORKER_IP_PRIVATE" if settings.private_ips else None,
        "machineType": settings.machine_type,
        "numWorkers": settings.workers,
        "maxWorkers": settings.workers_max,
        "sdkContainerImage": settings.sdk_image,
        "kmsKeyName": settings.kms_key,
        "additionalUserLabels": dict(settings.labels) or None,
        "enableStreamingEngine": True,
        "additionalExperiments": ["use_runner_v2"],
    }
    parameter: dict[str, Any] = {
        "jobName": name,
        "containerSpecGcsPath": settings.template,
        "parameters": {"deployment": packed(job)},
        "environment": {key: value for key, value in environment.items() if value is not None},
    }
    if update:
        parameter["update"] = True
        parameter["transformNameMappings"] = dict(renamed or {})
    return {"launchParameter": parameter}


def launch(
    settings: DataflowSettings,
    body: Mapping[str, Any],
    *,
    token: Callable[[], str] | None = None,
    api: str = API,
) -> str:
    """Send the request; gives Dataflow's id of the job. Raises Refused with its reason."""
    url = f"{api}/v1b3/projects/{settings.project}/locations/{settings.region}/flexTemplates:launch"
    headers = {
        "Authorization": f"Bearer {(token or default_token)()}",
        "Content-Type": "application/json",
    }
    call = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(call, timeout=_TIMEOUT_S) as answer:
            found: str = json.loads(answer.read())["job"]["id"]
            return found
    except urllib.error.HTTPError as error:
        raise Refused(
            f"Dataflow refused the job: {_reason(error)}",
            help="check project, region and what the service account may do",
        ) from error
    except OSError as error:
        raise Unreachable(f"Dataflow at {api} does not answer: {error}") from error


def default_token() -> str:
    """Of the application default credentials. Raises Refused without any."""
    try:
        import google.auth
        import google.auth.transport.requests
    except ImportError as error:
        raise Refused(
            "the package google-auth is not installed", help="pip install google-auth requests"
        ) from error
    try:
        credentials, _ = google.auth.default(
            scopes=["https://www.googleapis.com/auth/cloud-platform"]
        )
        credentials.refresh(google.auth.transport.requests.Request())
    except google.auth.exceptions.GoogleAuthError as error:
        raise Refused(
            f"there are no credentials for Google's cloud: {error}",
            help="gcloud auth application-default login",
        ) from error
    return str(credentials.token)


def packed(job: BeamJob) -> str:
    """The job as a parameter's text."""
    document = {
        "plan": base64.b64encode(encode(job.plan)).decode(),
        "positions": sorted(job.positions.items()),
        "shards": job.shards,
        "buckets": job.buckets,
        "epoch": job.epoch,
        "metrics": {name: asdict(state) for name, state in job.metrics.items()},
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


def unpacked(text: str) -> BeamJob:
    """The inverse of `packed`."""
    document = json.loads(base64.b64decode(text))
    return BeamJob(
        plan=decode(base64.b64decode(document["plan"])),
        positions=dict(document["positions"]),
        shards=document["shards"],
        buckets=document["buckets"],
        epoch=document["epoch"],
        metrics={name: MetricState(**m) for name, m in document["metrics"].items()},
    )


def main(arguments: list[str] | None = None) -> None:
    """The launcher's side: build the pipeline of the parameter, with the options it was given."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelinekit.runtime.beam.graph import build

    parser = argparse.ArgumentParser()
    parser.add_argument("--deployment", required=True)
    known, rest = parser.parse_known_args(arguments)
    pipeline = beam.Pipeline(options=PipelineOptions([*rest, "--streaming"]))
    build(pipeline, unpacked(known.deployment))
    pipeline.run()


def _number(variable: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{variable} is {text!r}: write a whole number of workers")
    return int(text)


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        message: str = json.loads(error.read())["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return str(error)
    return message
