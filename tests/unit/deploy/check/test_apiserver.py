"""What only a server notices, asked of a real kube-apiserver where it is built; and the kinds that it is given for that."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.check import apiserver, definitions, examples, schemas
from deploy.check.apiserver import Cluster
from tests.unit.deploy.check.spoiling import Objects, one, pod


@pytest.fixture(scope="module")
def cluster(built: Callable[[str], Path]) -> Iterator[Cluster]:
    """A kube-apiserver with its etcd; skipped where they are not built."""
    with apiserver.running(built("etcd"), built("kube-apiserver")) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_chart_is_taken(cluster: Cluster, objects: Objects) -> None:
    """Without a warning; so are the operators' examples, and nothing of it stays."""
    assert list(cluster.faults(objects)) == []
    assert list(cluster.faults(examples.objects())) == []
    kept = cluster.http.request("GET", f"{cluster.address}/apis/apps/v1/deployments").json()
    assert kept["items"] == []


def _with_a_selector_of_others(objects: Objects) -> None:
    one(objects, "Deployment", "tidings-score")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "scroe"


def _with_a_volume_that_is_not_there(objects: Objects) -> None:
    pod(objects, "alert")["containers"][0]["volumeMounts"].append({"name": "ruels", "mountPath": "/ruels"})


def _with_a_name_twice(objects: Objects) -> None:
    env = pod(objects, "score")["containers"][0]["env"]
    env.append({"name": env[0]["name"], "value": "another"})


def _with_privileges(objects: Objects) -> None:
    del pod(objects, "score")["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


def _with_requests_above_limits(objects: Objects) -> None:
    pod(objects, "notify")["containers"][0]["resources"]["requests"]["memory"] = "64Gi"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_with_a_selector_of_others, "selector"),
        (_with_a_volume_that_is_not_there, "ruels"),
        (_with_a_name_twice, "hides previous definition"),
        (_with_privileges, 'would violate PodSecurity "restricted'),
        (_with_requests_above_limits, "memory limit"),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_what_only_a_server_notices(cluster: Cluster, objects: Objects, spoil: Callable[[Objects], None], word: str) -> None:
    """A chart that follows every schema and cannot be meant: the server says so, in a refusal or in a warning."""
    spoil(objects)
    assert list(schemas.faults(objects, schemas.NEWEST)) == []
    (fault,) = cluster.faults(objects)
    assert word in fault


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_operators_kinds_are_judged(cluster: Cluster, objects: Objects) -> None:
    """By the definitions made from their schemas, strictly; a kind that nobody defined is refused."""
    one(objects, "ScaledObject", "tidings-score")["spec"]["minReplicas"] = 2
    objects.append({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledSubject", "metadata": {"name": "a"}})
    unknown, nobody = cluster.faults(objects)
    assert "spec.minReplicas" in unknown
    assert nobody.startswith("ScaledSubject/a: 404")


def test_nothing_is_no_pass(cluster: Cluster) -> None:
    """Where nothing was rendered, nothing was judged."""
    assert list(cluster.faults([])) == ["there are no objects to look at"]


@pytest.mark.parametrize("path", sorted(schemas.CRDS.glob("*.json")), ids=lambda path: path.stem)
def test_a_definition_says_what_its_schema_says(path: Path) -> None:
    """There and back it is the same, so a server that is given it judges by it."""
    schema = json.loads(path.read_text())
    definition = definitions.definition_of_schema(schema)
    kind = schema["properties"]["kind"]["const"]
    assert definition["metadata"]["name"] == f"{kind.lower()}s.{schema['properties']['apiVersion']['const'].split('/')[0]}"
    assert definitions.schema_of_definition(definition) == schema
