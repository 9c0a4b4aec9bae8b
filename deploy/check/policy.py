"""What every pod, and what goes with it, must have; each rule yields a sentence for each object that breaks it.

The restricted profile: https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from deploy.check.chart import Object, containers, name_of, pods

Rule = Callable[[Sequence[Object]], Iterator[str]]
_GRACE_S = 30
_PASSWORD = re.compile(
    r"^\s*(sasl_password|password|oauth_client_secret|ssl_key_password):\s*\S|://[^/\s]*:[^/\s@]+@", re.MULTILINE
)
_WORKERS = ("score", "alert", "notify")


def restricted(objects: Sequence[Object]) -> Iterator[str]:
    """Pods keep the restricted profile, on a root file system that cannot be written to."""
    for item, pod in pods(objects):
        wants = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        yield from _differs(name_of(item), pod.get("securityContext", {}), wants)
        for container in containers(pod):
            wants = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            yield from _differs(f"{name_of(item)} {container['name']}", container.get("securityContext", {}), wants)


def without_token(objects: Sequence[Object]) -> Iterator[str]:
    """No pod has a token for Kubernetes, nor the variables of other Services, which the worker would take for settings."""
    for item, pod in pods(objects):
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.get(name) is not False:
                yield f"{name_of(item)}: {name} is not false"


def with_requests(objects: Sequence[Object]) -> Iterator[str]:
    """Every container asks for CPU and memory, and has a limit of memory."""
    for item, pod in pods(objects):
        for container in containers(pod):
            resources = container.get("resources", {})
            missing = {"cpu", "memory"} - resources.get("requests", {}).keys()
            if missing or "memory" not in resources.get("limits", {}):
                yield f"{name_of(item)} {container['name']}: no requests for CPU and memory, or no limit of memory"


def probed(objects: Sequence[Object]) -> Iterator[str]:
    """Whatever runs on has all three probes, and they ask ports that it has."""
    for item, pod in pods(_of(objects, "Deployment")):
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port not in ports:
                    yield f"{name_of(item)} {container['name']}: no {probe}, or not on one of its ports"


def alive_alone(objects: Sequence[Object]) -> Iterator[str]:
    """A worker's life depends on /healthz, where no neighbour has a say, and its readiness on /readyz."""
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for item, pod in pods(_of(objects, "Deployment")):
        if _component(item) in _WORKERS:
            for probe, path in paths.items():
                if pod["containers"][0].get(probe, {}).get("httpGet", {}).get("path") != path:
                    yield f"{name_of(item)}: {probe} does not ask {path}"


def drains(objects: Sequence[Object]) -> Iterator[str]:
    """A pod is given longer than the worker takes to leave by itself."""
    limit_s = settings(objects).get("ops", {}).get("shutdown_timeout_s", 25)
    for item, pod in pods(_of(objects, "Deployment")):
        if _component(item) in _WORKERS and pod.get("terminationGracePeriodSeconds", _GRACE_S) < limit_s + 5:
            yield f"{name_of(item)}: terminationGracePeriodSeconds is not 5 s longer than ops.shutdown_timeout_s ({limit_s} s)"


def disrupted_gently(objects: Sequence[Object]) -> Iterator[str]:
    """Each Deployment has a budget that selects its pods, is spread, and is rolled without a gap (on GPUs, one at a time)."""
    budgets = [item["spec"]["selector"]["matchLabels"] for item in _of(objects, "PodDisruptionBudget")]
    for item in _of(objects, "Deployment"):
        template = item["spec"]["template"]
        if not any(_selects(budget, template["metadata"]["labels"]) for budget in budgets):
            yield f"{name_of(item)}: no PodDisruptionBudget selects its pods"
        if len(template["spec"].get("topologySpreadConstraints", ())) < 2:
            yield f"{name_of(item)}: its pods are not spread over zones and nodes"
        rolling = item["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") not in (0, 1) or rolling.get("maxUnavailable") == rolling.get("maxSurge"):
            yield f"{name_of(item)}: a rollout may take away more than one pod"


def selected(objects: Sequence[Object]) -> Iterator[str]:
    """Every selector finds pods of the chart, and every port that a Service names is one of theirs."""
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in objects if item["kind"] in {"Deployment", "Job"}]
    services = [item["metadata"]["labels"] for item in _of(objects, "Service")]
    for item in objects:
        found = _selector(item)
        where = services if item["kind"] == "ServiceMonitor" else labels
        if found and not any(_selects(found, those) for those in where) and item["kind"] != "NetworkPolicy":
            yield f"{name_of(item)}: selects nothing"


def triton_spread(objects: Sequence[Object]) -> Iterator[str]:
    """Triton's Service is headless: behind a cluster address a gRPC connection stays with one pod."""
    for item in _of(objects, "Service"):
        if _component(item) == "triton" and item["spec"].get("clusterIP") != "None":
            yield f"{name_of(item)}: not headless"


def scaled_once(objects: Sequence[Object]) -> Iterator[str]:
    """What is scaled has no count of its own, which an upgrade would put back; and its target is there."""
    deployments = {item["metadata"]["name"]: item for item in _of(objects, "Deployment")}
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for item in _of(objects, kind):
            target = deployments.get(item["spec"]["scaleTargetRef"]["name"])
            if target is None:
                yield f"{name_of(item)}: its target is not in the chart"
            elif "replicas" in target["spec"]:
                yield f"{name_of(target)}: has replicas, and is scaled"


def scaled_by_lag(objects: Sequence[Object]) -> Iterator[str]:
    """KEDA's traps: zero never comes, markers are no work, what is stuck must not be hidden, a mean stays a mean."""
    partitions = settings(objects).get("kafka", {}).get("partitions", 6)
    for item in _of(objects, "ScaledObject"):
        name, spec = name_of(item), item["spec"]
        if spec.get("minReplicaCount", 0) < 1:
            yield f"{name}: minReplicaCount is below 1"
        for trigger in spec["triggers"]:
            told: Mapping[str, Any] = trigger["metadata"]
            if trigger["type"] == "prometheus" and trigger.get("metricType") != "Value":
                yield f"{name}: a mean over all pods is divided by their number again; metricType: Value"
            if trigger["type"] != "kafka":
                continue
            if int(told.get("activationLagThreshold", 0)) < partitions or int(told["lagThreshold"]) <= partitions:
                yield f"{name}: a threshold is not above the {partitions} transaction markers that always count as lag"
            if "excludePersistentLag" in told or spec["maxReplicaCount"] > partitions:
                yield f"{name}: excludePersistentLag is set, or there may be more pods than partitions"


def pinned(objects: Sequence[Object]) -> Iterator[str]:
    """No image is `latest`, nor without a tag."""
    for item, pod in pods(objects):
        for container in containers(pod):
            if not re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]):
                yield f"{name_of(item)} {container['name']}: the image {container['image']} is not pinned"


def walled(objects: Sequence[Object]) -> Iterator[str]:
    """Where there are policies, every pod is under one, for both directions."""
    policies = _of(objects, "NetworkPolicy")
    if not policies:
        return
    for item, _ in pods(objects):
        labels = item["spec"].get("template", item)["metadata"]["labels"]
        over = [policy for policy in policies if _selects(policy["spec"]["podSelector"]["matchLabels"], labels)]
        if not any(set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"} for policy in over):
            yield f"{name_of(item)}: under no NetworkPolicy"


def without_secrets(objects: Sequence[Object]) -> Iterator[str]:
    """Passwords are references: no Secret is rendered, and no variable or file holds one."""
    for item in objects:
        if item["kind"] == "Secret":
            yield f"{name_of(item)}: a Secret in the chart ends in the release's history"
        if item["kind"] == "ConfigMap":
            text = "\n".join(item["data"].values())
            if _PASSWORD.search(text):
                yield f"{name_of(item)}: holds a password"


def mounted(objects: Sequence[Object]) -> Iterator[str]:
    """Every mount has its volume, each ConfigMap is there, and none is mounted as a single file, which would never change."""
    maps = {item["metadata"]["name"] for item in _of(objects, "ConfigMap")}
    for item, pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        for container in containers(pod):
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{name_of(item)} {container['name']}: no volume {mount['name']}"
                elif "configMap" in volumes[mount["name"]] and "subPath" in mount:
                    yield f"{name_of(item)}: {mount['mountPath']} is mounted by subPath, and would never change"
        for volume in volumes.values():
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{name_of(item)}: no ConfigMap {volume['configMap']['name']}"


RULES: tuple[Rule, ...] = (
    restricted,
    without_token,
    with_requests,
    probed,
    alive_alone,
    drains,
    disrupted_gently,
    selected,
    triton_spread,
    scaled_once,
    scaled_by_lag,
    pinned,
    walled,
    without_secrets,
    mounted,
)


def settings(objects: Sequence[Object]) -> dict[str, Any]:
    """Return tidings.yaml as the pods get it."""
    for item in _of(objects, "ConfigMap"):
        if "tidings.yaml" in item["data"]:
            found: dict[str, Any] = yaml.safe_load(item["data"]["tidings.yaml"])
            return found
    return {}


def _of(objects: Sequence[Object], kind: str) -> list[Object]:
    return [item for item in objects if item["kind"] == kind]


def _component(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def _selector(item: Object) -> dict[str, str]:
    found = item.get("spec", {}).get("selector", {})
    return found.get("matchLabels", found) if isinstance(found, dict) else {}


def _differs(name: str, got: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key, value in wanted.items():
        if got.get(key) != value:
            yield f"{name}: securityContext.{key} is {got.get(key)}, not {value}"
