"""What `compile` writes beside a job."""

from __future__ import annotations

import io
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from pipelinekit.connectors.base import Budget
from pipelinekit.launch.artifact import Artifact, Settings
from pipelinekit.launch.manifests import secrets_of, texts_of
from pipelinekit.plan.model import Plan, SinkPlan
from tests import plans

COUNTS = plans.metric("counts", [plans.measure("n", "count()")], key=["country"])
STORE = SinkPlan(
    "store",
    "clickhouse",
    {"url": "http://ch:8123", "database": "d", "password": {"secret": "CH_PASSWORD"}},
    Budget(),
    "verify",
)
PLAN = Plan("user_events", "production", plans.source(topic="e"), (COUNTS,), (STORE,))


def made(**settings: Any) -> Artifact:
    return Artifact("flink", PLAN, Settings(**settings), {})


def objects(text: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(io.StringIO(text)))


@pytest.fixture
def manifests() -> list[dict[str, Any]]:
    texts = texts_of(made(parallelism=3), {"FLINK_CHECKPOINTS": "s3://bucket/checkpoints"})
    return objects(texts["kubernetes/user_events.yaml"])


def test_kubernetes_takes_every_object(manifests: list[dict[str, Any]]) -> None:
    assert [o["kind"] for o in manifests] == [
        "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Service", "Deployment", "Deployment",
    ]  # fmt: skip
    for found in manifests:
        kubernetes_validate.validate(found, "1.30", strict=True)


def test_selectors_find_their_pods_and_the_service_its_ports(
    manifests: list[dict[str, Any]],
) -> None:
    service, *deployments = manifests[4:]
    for deployment in deployments:
        wanted = deployment["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    pod = deployments[0]["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    opened = {p["containerPort"] for c in pod["spec"]["containers"] for p in c["ports"]}
    assert {p["port"] for p in service["spec"]["ports"]} - {6124} <= opened | {6124}


def test_there_is_a_spare_task_manager_and_workers_get_the_secrets(
    manifests: list[dict[str, Any]],
) -> None:
    managers = manifests[6]["spec"]
    assert managers["replicas"] == 4
    workers = managers["template"]["spec"]["containers"][1]
    assert [e["name"] for e in workers["env"]] == ["CH_PASSWORD"]
    assert "password" not in str(manifests).lower().replace("ch_password", "")


def test_the_cluster_keeps_checkpoints_where_it_is_told(manifests: list[dict[str, Any]]) -> None:
    options = YAML(typ="safe").load(manifests[0]["data"]["config.yaml"])
    assert options["state.checkpoints.dir"] == "s3://bucket/checkpoints"
    assert options["parallelism.default"] == 3


def test_a_job_manager_finds_its_jobs_again_in_config_maps_that_its_account_may_write(
    manifests: list[dict[str, Any]],
) -> None:
    config, account, role, binding, _, *deployments = manifests
    options = YAML(typ="safe").load(config["data"]["config.yaml"])
    assert options["high-availability.type"] == "kubernetes"
    assert options["high-availability.storageDir"] == "s3://bucket/checkpoints/jobs"
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([""], ["configmaps"])
    assert {"create", "delete", "get", "list", "update", "watch"} <= set(rule["verbs"])
    name = account["metadata"]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name}]
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == name
        flink = pod["containers"][0]
        assert {e["name"] for e in flink["env"]} >= {"POD_NAMESPACE"}
        assert "kubernetes.namespace=$(POD_NAMESPACE)" in flink["args"]
    # Where the others find it is the pod's own address, not the service's.
    assert deployments[0]["spec"]["template"]["spec"]["containers"][0]["args"][1] == "$(POD_IP)"


def test_plan_and_ddl_lie_beside_the_job() -> None:
    texts = texts_of(made(), {})
    assert texts["user_events.plan.txt"].startswith("job user_events")
    assert "CREATE TABLE" in texts["ddl/user_events.store.sql"]
    assert secrets_of(PLAN) == ["CH_PASSWORD"]
