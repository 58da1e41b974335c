"""The manifests for Kubernetes: valid, consistent with each other, and with the image, the settings and the queues.

No API server was available: the rules of its validation that concern these manifests are stated here.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml  # type: ignore[import-untyped]  # the package ships no types

from api.routes.health import router as health_router
from stafett.database.connection_budget import count_api_connections, count_worker_connections
from stafett.settings import Settings, WorkerRole
from stafett.temporal.queues import cpu_queue, preview_queue, query_queue
from stafett.version import VERSION
from tests.support.settings_variables import list_variables

PROJECT = Path(__file__).parents[3]
KUBERNETES, README = PROJECT / "deploy" / "kubernetes", PROJECT / "deploy" / "README.md"
FOLDERS = ("migration", "service")
API_VERSIONS = {
    "ConfigMap": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"\d+(m|Mi|Gi)?")
# The variables of each Secret, with values that the settings accept.
SECRETS = {
    "stafett-migration": {"STAFETT_DATABASE__OWNER_URL": "postgresql://postgres:x@db/stafett"},
    "stafett-api": {
        "STAFETT_DATABASE__API_URL": "postgresql://stafett_api:x@db/stafett",
        "STAFETT_S3__ACCESS_KEY": "x",
        "STAFETT_S3__SECRET_KEY": "x",
    },
    "stafett-worker": {
        "STAFETT_DATABASE__WORKER_URL": "postgresql://stafett_worker:x@db/stafett",
        "STAFETT_S3__ACCESS_KEY": "x",
        "STAFETT_S3__SECRET_KEY": "x",
    },
    "stafett-maintenance": {
        "STAFETT_DATABASE__MAINTENANCE_URL": "postgresql://stafett_maintenance:x@db/stafett",
        "STAFETT_AUDIT__SIGNING_KEY": "x",
    },
}
Manifest = dict[str, Any]


def load_manifests(folder: str) -> list[Manifest]:
    """Load the resources that the folder's kustomization names."""
    resources = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
    return [manifest for name in resources for manifest in yaml.safe_load_all((KUBERNETES / folder / name).read_text())]


MANIFESTS = [manifest for folder in FOLDERS for manifest in load_manifests(folder)]
WORKLOADS = {
    manifest["metadata"]["name"]: manifest for manifest in MANIFESTS if manifest["kind"] in {"Deployment", "Job"}
}


def of_kind(kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in MANIFESTS if manifest["kind"] == kind}


def get_labels(workload: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def get_container(workload: Manifest) -> Manifest:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(container)


def list_selected(selector: Mapping[str, str]) -> list[str]:
    """List the workloads whose pods have all of the selector's labels."""
    return [name for name, each in WORKLOADS.items() if selector.items() <= get_labels(each).items()]


def read_environment(workload: Manifest) -> dict[str, str]:
    """Read the variables of a container, from maps, from Secrets and its own."""
    container, variables = get_container(workload), dict[str, str]()
    for source in container.get("envFrom", []):
        name = source.get("configMapRef", source.get("secretRef"))["name"]
        variables |= of_kind("ConfigMap")[name]["data"] if "configMapRef" in source else SECRETS[name]
    for variable in container.get("env", []):
        if "value" in variable:
            variables[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["key"] == variable["name"]
            variables[variable["name"]] = SECRETS[reference["name"]][reference["key"]]
    return variables


@pytest.fixture(params=WORKLOADS)
def workload(request: pytest.FixtureRequest) -> Manifest:
    return WORKLOADS[request.param]


def load_settings(workload: Manifest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in read_environment(workload).items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_builds_all_resources(folder: str) -> None:
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(built)}
    assert names == {(each["kind"], each["metadata"]["name"]) for each in load_manifests(folder)}


def test_every_file_is_a_resource() -> None:
    for folder in FOLDERS:
        resources = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
        assert sorted(["kustomization.yaml", *resources]) == sorted(
            path.name for path in (KUBERNETES / folder).iterdir()
        )


def test_every_resource_has_the_version_of_its_kind_and_a_name_of_its_own() -> None:
    assert [each["apiVersion"] for each in MANIFESTS] == [API_VERSIONS[each["kind"]] for each in MANIFESTS]
    names = [(each["kind"], each["metadata"]["name"]) for each in MANIFESTS]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for _, name in names)


def test_selectors_select_one_workload_each() -> None:
    selectors = {
        (each["kind"], each["metadata"]["name"]): (each["spec"].get("podSelector", each["spec"].get("selector", {})))
        for each in MANIFESTS
        if each["kind"] in {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}
    }
    for (kind, name), selector in selectors.items():
        labels = selector if kind == "Service" else selector["matchLabels"]
        assert list_selected(labels) == [name]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        expected = WORKLOADS if kind == "NetworkPolicy" else of_kind("Deployment")
        assert set(of_kind(kind)) == set(expected)


def test_workload_runs_the_image_as_its_user_without_privileges(workload: Manifest) -> None:
    container, pod = get_container(workload), workload["spec"]["template"]["spec"]
    assert container["image"] == f"stafett:{VERSION}"
    user = re.search(r"^USER (\d+):(\d+)$", (PROJECT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == tuple(map(int, user.groups()))
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]
    for quantities in container["resources"].values():
        assert all(QUANTITY.fullmatch(str(quantity)) for quantity in quantities.values())


def test_arguments_are_commands(workload: Manifest) -> None:
    command, *options = get_container(workload)["args"]
    assert command == {"stafett-migrate": "migrate", "stafett-api": "api"}.get(workload["metadata"]["name"], "worker")
    if options:
        assert workload["metadata"]["name"] == f"stafett-{options[1]}-worker"
        assert options in [["--role", role] for role in get_args(WorkerRole)]


def test_each_role_of_a_worker_has_a_deployment() -> None:
    assert {f"stafett-{role}-worker" for role in get_args(WorkerRole)} < set(WORKLOADS)


def test_variables_are_settings_with_valid_values(workload: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(read_environment(workload)) <= list_variables(Settings)
    load_settings(workload, monkeypatch)


def test_process_gets_the_urls_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "stafett-migrate": {"owner_url", "api_url", "worker_url", "maintenance_url"},
        "stafett-api": {"api_url"},
        "stafett-io-worker": {"worker_url", "maintenance_url"},
        "stafett-cpu-worker": {"worker_url"},
    }
    for name, urls in needed.items():
        with monkeypatch.context() as patch:
            database = load_settings(WORKLOADS[name], patch).database
        assert {
            field for field in type(database).model_fields if field.endswith("_url") and getattr(database, field)
        } == urls


def test_ports_and_probes_are_those_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    api_paths = {getattr(route, "path", "") for route in health_router.routes}
    for name, deployment in of_kind("Deployment").items():
        with monkeypatch.context() as patch:
            settings = load_settings(deployment, patch)
        container = get_container(deployment)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        expected = {"metrics": settings.metrics.port} | ({"http": settings.api.port} if name == "stafett-api" else {})
        assert ports == expected
        assert settings.metrics.host == "0.0.0.0"  # noqa: S104 - of the pod
        for probe in ("livenessProbe", "readinessProbe"):
            request = container[probe]["httpGet"]
            assert request["path"] in api_paths
            assert request["port"] == ("http" if name == "stafett-api" else "metrics")
    (port,) = of_kind("Service")["stafett-api"]["spec"]["ports"]
    assert port["targetPort"] == "http"


def test_network_policies_admit_the_ports_of_the_pods() -> None:
    for name, policy in of_kind("NetworkPolicy").items():
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        admitted = {port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]}
        assert admitted == {port["containerPort"] for port in get_container(WORKLOADS[name]).get("ports", [])}
        reached = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
        assert {53, 5432} <= reached
        assert (7233 in reached) == (name != "stafett-migrate")


def iterate_triggers() -> Iterator[tuple[str, Manifest]]:
    for name, scaled in of_kind("ScaledObject").items():
        assert scaled["spec"]["scaleTargetRef"]["name"] == name
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["type"] == "temporal"
            yield name, trigger["metadata"]


def test_workers_are_scaled_by_the_backlog_of_their_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    temporal = load_settings(WORKLOADS["stafett-io-worker"], monkeypatch).temporal
    queue = temporal.task_queue
    assert set(of_kind("ScaledObject")) == {"stafett-io-worker", "stafett-cpu-worker"}
    assert [(name, trigger["taskQueue"]) for name, trigger in iterate_triggers()] == [
        ("stafett-cpu-worker", cpu_queue(queue)),
        ("stafett-io-worker", queue),
        ("stafett-io-worker", query_queue(queue)),
        ("stafett-io-worker", preview_queue(queue)),
    ]
    for _, trigger in iterate_triggers():
        assert (trigger["endpoint"], trigger["namespace"]) == (temporal.address, temporal.namespace)
        assert set(trigger["queueTypes"].split(",")) <= {"workflow", "activity"}
        assert all(isinstance(value, str) for value in trigger.values())  # KEDA refuses numbers
    for name in of_kind("ScaledObject"):
        assert "replicas" not in WORKLOADS[name]["spec"]  # an update would reset it


def test_disruption_budgets_leave_a_pod_and_allow_an_eviction() -> None:
    for name, budget in of_kind("PodDisruptionBudget").items():
        replicas = WORKLOADS[name]["spec"].get("replicas") or of_kind("ScaledObject")[name]["spec"]["minReplicaCount"]
        assert 1 <= budget["spec"]["minAvailable"] < replicas


def test_documentation_has_the_secrets_and_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = README.read_text()
    for name, variables in SECRETS.items():
        listed = ", ".join(f"`{variable}`" for variable in variables)
        assert f"| `{name}` | {listed} |" in readme
    total = 0
    for name, deployment in of_kind("Deployment").items():
        with monkeypatch.context() as patch:
            settings = load_settings(deployment, patch)
        _, *options = get_container(deployment)["args"]
        if name == "stafett-api":
            total += deployment["spec"]["replicas"] * count_api_connections(settings)
        else:
            most = of_kind("ScaledObject")[name]["spec"]["maxReplicaCount"]
            total += most * count_worker_connections(settings, options[1])
    assert f"at most {total} connections" in readme
