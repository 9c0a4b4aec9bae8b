"""What only a server notices, asked of a real kube-apiserver where it is built; and how it is asked, of a scripted one."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from deploy.check import apiserver, definitions, examples, schemas
from deploy.check.apiserver import Cluster
from deploy.local.errors import PartFailedError
from deploy.local.ports import free_ports
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
    pod(objects, "score")["containers"][0]["env"] += [{"name": "TWICE", "value": "a"}, {"name": "TWICE", "value": "b"}]


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
        (_with_a_name_twice, "TWICE"),
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


class Scripted:
    """An API server that knows ConfigMaps and namespaces, and answers as told; `asked` is what it was to apply."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.status, self.body = 200, {"message": "is wrong"}
        self.warnings: Sequence[str] = ()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]
                known += [{"name": "namespaces/status", "kind": "Namespace", "namespaced": False}]
                known += [{"name": "namespaces", "kind": "Namespace", "namespaced": False}]
                self.say(200 if self.path == "/api/v1" else 404, {"resources": known}, ())

            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                scripted.asked.append((self.path, json.loads(body)["kind"], self.headers["Content-Type"]))
                self.say(scripted.status, scripted.body, scripted.warnings)

            def say(self, status: int, body: dict[str, Any], warnings: Sequence[str]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                for warning in warnings:
                    self.send_header("Warning", warning)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.cluster = Cluster(f"http://127.0.0.1:{self.server.server_address[1]}", urllib3.PoolManager())


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Such a server; gone afterwards."""
    server = Scripted()
    yield server
    server.server.shutdown()
    server.server.server_close()


def item(kind: str, **metadata: str) -> Any:
    """An object."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", **metadata}}


def test_each_object_is_applied_as_a_dry_run(scripted: Scripted) -> None:
    """Strictly, in its own namespace or the chart's, and one that is in none at the top."""
    assert list(scripted.cluster.faults([item("ConfigMap"), item("ConfigMap", namespace="redis"), item("Namespace")])) == []
    asked = "?fieldManager=tidings-check&force=true&fieldValidation=Strict&dryRun=All"
    places = ["namespaces/sentiment/configmaps", "namespaces/redis/configmaps", "namespaces"]
    assert [path for path, _, _ in scripted.asked] == [f"/api/v1/{place}/a{asked}" for place in places]
    assert {media for _, _, media in scripted.asked} == {"application/apply-patch+yaml"}
    scripted.cluster.keep(item("Namespace"))
    assert "dryRun" not in scripted.asked[-1][0]


def test_a_refusal_and_a_warning_are_faults(scripted: Scripted) -> None:
    """Each in the server's words, with the object's name; nothing at all is a fault as well."""
    scripted.status, scripted.warnings = 422, ('299 - "would \\"hide\\" it"', "odd")
    found = list(scripted.cluster.faults([item("ConfigMap")]))
    expected = ["ConfigMap/a: 422 is wrong", 'ConfigMap/a: warning: would "hide" it', "ConfigMap/a: warning: odd"]
    assert found == expected
    with pytest.raises(PartFailedError, match="refuses ConfigMap/a: 422 is wrong"):
        scripted.cluster.keep(item("ConfigMap"))
    assert list(scripted.cluster.faults([])) == ["there are no objects to look at"]


def test_a_server_that_has_gone_is_told() -> None:
    """As the server's failure, which is a line of the check, and no traceback."""
    (port,) = free_ports(1)
    gone = Cluster(f"http://127.0.0.1:{port}", urllib3.PoolManager(retries=False))
    with pytest.raises(PartFailedError, match="kube-apiserver does not answer"):
        list(gone.faults([item("ConfigMap")]))


@pytest.mark.timeout(60)
def test_a_server_that_does_not_come_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """The part that ended is named with what it said."""
    program = tmp_path / "etcd"
    program.write_text("#!/bin/sh\necho no space left\nexit 3\n")
    program.chmod(0o755)
    with (
        pytest.raises(PartFailedError, match=r"(?s)etcd ended with status 3.*no space left"),
        apiserver.running(program, program),
    ):
        pass


@pytest.mark.parametrize("path", sorted(schemas.CRDS.glob("*.json")), ids=lambda path: path.stem)
def test_a_definition_says_what_its_schema_says(path: Path) -> None:
    """There and back it is the same, so a server that is given it judges by it; Kubernetes' own schema takes it."""
    schema = json.loads(path.read_text())
    definition = definitions.definition_of_schema(schema)
    kind = schema["properties"]["kind"]["const"]
    assert definition["metadata"]["name"] == f"{kind.lower()}s.{schema['properties']['apiVersion']['const'].split('/')[0]}"
    assert definitions.schema_of_definition(definition) == schema
    assert list(schemas.faults([definition], schemas.NEWEST)) == []
