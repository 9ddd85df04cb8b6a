"""What `compile` writes beside a job."""

from __future__ import annotations

import io
import re
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from pipelinekit.connectors.base import Budget
from pipelinekit.errors import UsageError
from pipelinekit.launch.artifact import Artifact, Settings
from pipelinekit.launch.manifests import secrets_of, texts_of
from pipelinekit.plan.model import Plan, SinkPlan
from pipelinekit.runtime.flink_cluster import JAVA_FLAGS, JOBS, OPTIONS, VERSION
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


def of(manifests: list[dict[str, Any]], kind: str, part: str) -> dict[str, Any]:
    """The object of the kind that belongs to a part of the cluster."""
    name = f"pipelinekit-user-events-{part}"
    [found] = [o for o in manifests if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def test_kubernetes_takes_every_object(manifests: list[dict[str, Any]]) -> None:
    assert [o["kind"] for o in manifests] == [
        "ConfigMap", "ServiceAccount", "Role", "RoleBinding",
        "Service", "Deployment", "Service", "Deployment", "Deployment",
    ]  # fmt: skip
    for found in manifests:
        kubernetes_validate.validate(found, "1.30", strict=True)


def test_the_schemas_refuse_what_is_no_number_of_replicas_and_no_field(
    manifests: list[dict[str, Any]],
) -> None:
    managers = of(manifests, "Deployment", "jobmanager")
    for wrong in ({"replicas": "2"}, {"replica": 2}):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(
                managers | {"spec": managers["spec"] | wrong}, "1.30", strict=True
            )


@pytest.mark.parametrize("part", ["jobmanager", "jobserver"])
def test_selectors_find_their_pods_and_services_their_ports(
    manifests: list[dict[str, Any]], part: str
) -> None:
    service, deployment = of(manifests, "Service", part), of(manifests, "Deployment", part)
    pod = deployment["spec"]["template"]
    wanted = deployment["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"] == wanted
    opened = {p["containerPort"] for c in pod["spec"]["containers"] for p in c["ports"]}
    assert {p["port"] for p in service["spec"]["ports"]} <= opened


def test_a_second_job_manager_stands_by_under_an_address_of_its_own(
    manifests: list[dict[str, Any]],
) -> None:
    managers = of(manifests, "Deployment", "jobmanager")["spec"]
    assert managers["replicas"] == 2
    [flink] = managers["template"]["spec"]["containers"]
    # Where task managers find it is the pod's own address: the service has those of both.
    assert flink["args"][:2] == ["jobmanager", "$(POD_IP)"]
    (address,) = (e["valueFrom"] for e in flink["env"] if e["name"] == "POD_IP")
    assert address == {"fieldRef": {"fieldPath": "status.podIP"}}
    [spread] = managers["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == managers["selector"]


def test_there_is_one_job_server_and_it_hands_jobs_to_the_service_of_both(
    manifests: list[dict[str, Any]],
) -> None:
    server = of(manifests, "Deployment", "jobserver")["spec"]
    assert server["replicas"] == 1  # a submission speaks to it twice
    [container] = server["template"]["spec"]["containers"]
    [master] = [a for a in container["args"] if a.startswith("--flink-master=")]
    host, _, port = master.removeprefix("--flink-master=").partition(":")
    service = of(manifests, "Service", "jobmanager")
    assert host == service["metadata"]["name"]
    assert int(port) in {p["port"] for p in service["spec"]["ports"] if p["name"] == "rest"}


def test_the_job_server_says_of_each_job_what_the_local_one_says(
    manifests: list[dict[str, Any]],
) -> None:
    server = of(manifests, "Deployment", "jobserver")["spec"]["template"]["spec"]
    [container] = server["containers"]
    [folder] = [a for a in container["args"] if a.startswith("--flink-conf-dir=")]
    [mount] = container["volumeMounts"]
    assert mount["mountPath"] == folder.removeprefix("--flink-conf-dir=") + "/config.yaml"
    [volume] = server["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == manifests[0]["metadata"]["name"]
    assert YAML(typ="safe").load(manifests[0]["data"][mount["subPath"]]) == JOBS


def test_there_is_a_spare_task_manager_and_workers_get_the_secrets(
    manifests: list[dict[str, Any]],
) -> None:
    managers = of(manifests, "Deployment", "taskmanager")["spec"]
    assert managers["replicas"] == 4
    labels = managers["template"]["metadata"]["labels"]
    assert managers["selector"]["matchLabels"].items() <= labels.items()
    [workers] = managers["template"]["spec"]["initContainers"]
    assert [e["name"] for e in workers["env"]] == ["CH_PASSWORD"]
    assert "password" not in str(manifests).lower().replace("ch_password", "")


def test_workers_are_up_before_their_task_manager_and_tried_from_inside_their_pod(
    manifests: list[dict[str, Any]],
) -> None:
    pod = of(manifests, "Deployment", "taskmanager")["spec"]["template"]["spec"]
    [workers] = pod["initContainers"]
    assert workers["restartPolicy"] == "Always"
    # The kubelet asks from outside of the pod, and they listen on its loopback.
    assert set(workers["startupProbe"]) == {"exec", "periodSeconds", "failureThreshold"}
    assert {"readinessProbe", "livenessProbe"}.isdisjoint(workers)
    # And a task manager whose workers stay away gives up its slot.
    [manager] = pod["containers"]
    port = workers["command"][workers["command"].index("--port") + 1]
    assert manager["livenessProbe"]["exec"]["command"][-1].endswith(f"/127.0.0.1/{port}")


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        o["metadata"]["name"].rpartition("-")[2]: o["spec"]["template"]["spec"]
        for o in manifests
        if o["kind"] == "Deployment"
    }


def flink_parts(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods whose processes write checkpoints."""
    return [pod for part, pod in pods(manifests).items() if part != "jobserver"]


def test_an_object_store_takes_the_checkpoints_with_its_plug_in_and_keys(
    manifests: list[dict[str, Any]],
) -> None:
    options = YAML(typ="safe").load(manifests[0]["data"]["config.yaml"])
    assert options["state.checkpoints.dir"] == "s3://bucket/checkpoints"
    assert options["parallelism.default"] == 3
    for pod in flink_parts(manifests):
        [container] = pod["containers"]
        plugins = {e["name"]: e.get("value") for e in container["env"]}
        assert plugins["ENABLE_BUILT_IN_PLUGINS"] == f"flink-s3-fs-hadoop-{VERSION}.jar"
        [keys] = container["envFrom"]
        assert keys["secretRef"] == {
            "name": "pipelinekit-user-events-checkpoints",
            "optional": True,
        }
        assert [v["name"] for v in pod["volumes"]] == ["config"]


@pytest.mark.parametrize("variables", [{}, {"FLINK_CHECKPOINTS": "file:///checkpoints/"}])
def test_a_folder_is_a_claim_that_every_flink_pod_mounts(variables: dict[str, str]) -> None:
    manifests = objects(texts_of(made(), variables)["kubernetes/user_events.yaml"])
    options = YAML(typ="safe").load(manifests[0]["data"]["config.yaml"])
    assert options["high-availability.storageDir"] == "file:///checkpoints/jobs"
    for pod in flink_parts(manifests):
        claims = {v["name"]: v.get("persistentVolumeClaim") for v in pod["volumes"]}
        assert claims["checkpoints"] == {"claimName": "pipelinekit-user-events-checkpoints"}
        [container] = pod["containers"]
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert mounts["checkpoints"] == "/checkpoints"
        assert "ENABLE_BUILT_IN_PLUGINS" not in str(container)


def test_pods_ask_for_no_more_than_the_restricted_standard_allows(
    manifests: list[dict[str, Any]],
) -> None:
    assert set(pods(manifests)) == {"jobmanager", "jobserver", "taskmanager"}
    for pod in pods(manifests).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_flink_has_the_flags_that_the_image_s_own_file_has(
    manifests: list[dict[str, Any]],
) -> None:
    options = YAML(typ="safe").load(manifests[0]["data"]["config.yaml"])
    assert options["env.java.opts.all"].split() == list(JAVA_FLAGS)
    assert {"--add-opens=java.base/java.util=ALL-UNNAMED"} <= set(JAVA_FLAGS)
    assert options.items() >= OPTIONS.items()


def test_options_of_flink_may_be_added_and_changed() -> None:
    given = "s3.endpoint: http://store:9000\n\n  heartbeat.timeout: 10000\n"
    texts = texts_of(made(), {"FLINK_OPTIONS": given})
    manifests = objects(texts["kubernetes/user_events.yaml"])
    options = YAML(typ="safe").load(manifests[0]["data"]["config.yaml"])
    assert options["s3.endpoint"] == "http://store:9000"
    assert options["heartbeat.timeout"] == "10000"
    assert options["heartbeat.interval"] == "500"


def digests(variables: dict[str, str]) -> set[str]:
    manifests = objects(texts_of(made(), variables)["kubernetes/user_events.yaml"])
    templates = [o["spec"]["template"] for o in manifests if o["kind"] == "Deployment"]
    assert len(templates) == 3
    return {t["metadata"]["annotations"]["pipelinekit/config"] for t in templates}


def test_another_configuration_needs_other_pods_and_the_same_one_none() -> None:
    [before] = digests({})
    [same] = digests({"FLINK_OPTIONS": ""})
    [other] = digests({"FLINK_OPTIONS": "heartbeat.timeout: 10000"})
    assert before == same != other


def test_checkpoints_without_a_scheme_are_refused() -> None:
    with pytest.raises(UsageError, match='FLINK_CHECKPOINTS is "bucket/folder"'):
        texts_of(made(), {"FLINK_CHECKPOINTS": "bucket/folder"})


@pytest.mark.parametrize(
    "line", ["s3.endpoint", "s3.endpoint=http://store", "endpoint: x", "s3.endpoint: ", "- a.b: c"]
)
def test_a_line_that_is_no_option_is_refused_with_its_text(line: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f'the line "{line.strip()}"')):
        texts_of(made(), {"FLINK_OPTIONS": f"a.b: c\n{line}\n"})


def test_a_job_manager_finds_its_jobs_again_in_config_maps_that_its_account_may_write(
    manifests: list[dict[str, Any]],
) -> None:
    config, account, role, binding, *_ = manifests
    options = YAML(typ="safe").load(config["data"]["config.yaml"])
    assert options["high-availability.type"] == "kubernetes"
    assert options["high-availability.storageDir"] == "s3://bucket/checkpoints/jobs"
    (rule,) = role["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([""], ["configmaps"])
    assert {"create", "delete", "get", "list", "update", "watch"} <= set(rule["verbs"])
    name = account["metadata"]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name}]
    for part in ("jobmanager", "taskmanager"):
        pod = of(manifests, "Deployment", part)["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == name
        flink = pod["containers"][0]
        assert {e["name"] for e in flink["env"]} >= {"POD_NAMESPACE"}
        assert "kubernetes.namespace=$(POD_NAMESPACE)" in flink["args"]


def test_plan_and_ddl_lie_beside_the_job() -> None:
    texts = texts_of(made(), {})
    assert texts["user_events.plan.txt"].startswith("job user_events")
    assert "CREATE TABLE" in texts["ddl/user_events.store.sql"]
    assert secrets_of(PLAN) == ["CH_PASSWORD"]
