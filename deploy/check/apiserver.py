"""A kube-apiserver with its etcd on loopback, which is asked what it would say to objects: server-side apply, as a dry run.

It judges what no schema holds: defaults, fields that contradict one another, names that are taken twice, and, by PodSecurity's
admission, the pods. A warning counts as a fault. Nothing is scheduled and nothing runs: there are no nodes and no controllers.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
import urllib3

from deploy.check import definitions
from deploy.check.chart import NAMESPACE, Object, name_of
from deploy.local.errors import NotReadyError, PartFailedError
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Ready, Server, ServerSpec

_TOKEN = "tidings-check"  # noqa: S105 - for a server on loopback that lives as long as the check
_LABEL = "pod-security.kubernetes.io"
_ASK = "fieldManager=tidings-check&force=true&fieldValidation=Strict"
_APPLY = {"Content-Type": "application/apply-patch+yaml"}


@dataclass
class Cluster:
    """An API server that serves, as its administrator sees it."""

    address: str
    http: urllib3.PoolManager
    _places: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)

    def faults(self, objects: Sequence[Object]) -> Iterator[str]:
        """What the server refuses or warns of, were these objects applied; no objects are a fault.

        Raises:
            PartFailedError: it does not answer.
        """
        if not objects:
            yield "there are no objects to look at"
        for item in objects:
            answer = self._apply(item, dry=True)
            if answer.status >= 300:
                yield f"{name_of(item)}: {_message(answer)}"
            for warning in answer.headers.getlist("Warning"):
                yield f"{name_of(item)}: warning: {_plain(warning)}"

    def keep(self, item: Object) -> None:
        """Apply in earnest.

        Raises:
            PartFailedError: the server does not take it.
        """
        answer = self._apply(item, dry=False)
        if answer.status >= 300:
            raise PartFailedError(f"kube-apiserver refuses {name_of(item)}: {_message(answer)}")

    def ready(self) -> Ready:
        """Ready once the server says so, and has what it makes for itself.

        Raises:
            NotReadyError: not yet.
        """
        try:
            answer = self.http.request("GET", f"{self.address}/readyz", timeout=5, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise NotReadyError(str(error)) from error
        if answer.status != 200:
            raise NotReadyError(_message(answer))
        return Ready("kube-apiserver", self.address, {})

    def _apply(self, item: Object, *, dry: bool) -> urllib3.BaseHTTPResponse:
        metadata = item["metadata"]
        plural, namespaced = self._place(item["apiVersion"], item["kind"])
        folder = f"namespaces/{metadata.get('namespace', NAMESPACE)}/{plural}" if namespaced else plural
        url = f"{self._root(item['apiVersion'])}/{folder}/{metadata['name']}?{_ASK}{'&dryRun=All' if dry else ''}"
        return self._ask("PATCH", url, body=json.dumps(item), headers={**self.http.headers, **_APPLY})

    def _ask(self, method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:
        try:
            return self.http.request(method, url, timeout=30, **more)
        except urllib3.exceptions.HTTPError as error:
            raise PartFailedError(f"kube-apiserver does not answer: {error}") from error

    def _place(self, api_version: str, kind: str) -> tuple[str, bool]:
        """How the server calls many of this kind, and whether they are in namespaces; asked once a version."""
        if (api_version, kind) not in self._places:
            told = self._ask("GET", self._root(api_version))
            for one in told.json().get("resources", ()) if told.status == 200 else ():
                if "/" not in one["name"]:
                    self._places[api_version, one["kind"]] = (one["name"], one["namespaced"])
        return self._places.get((api_version, kind), (f"{kind.lower()}s", True))

    def _root(self, api_version: str) -> str:
        return f"{self.address}/{'apis' if '/' in api_version else 'api'}/{api_version}"


@contextmanager
def running(etcd: Path, kube_apiserver: Path) -> Iterator[Cluster]:
    """Start both, with the operators' kinds and the namespaces, one of them restricted; both are gone afterwards.

    Raises:
        PartFailedError: one of them ends, or is not ready in time, or the operators' kinds are not taken.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        client, peer, port = free_ports(3)
        cluster = Cluster(f"https://{LOOPBACK}:{port}", _client(folder))
        for spec in (_etcd(etcd, folder, client, peer), _apiserver(kube_apiserver, folder, client, cluster)):
            server = Server(spec)
            stack.callback(server.stop)
            server.start()
            server.wait_ready()
        _furnish(cluster)
        yield cluster


def _furnish(cluster: Cluster) -> None:
    """The kinds of the operators, and the namespaces that chart and examples name."""
    known = definitions.definitions()
    for item in known:
        cluster.keep(item)
    for name in (NAMESPACE, "kafka", "redis"):
        labels = {f"{_LABEL}/{mode}": "restricted" for mode in ("enforce", "warn")} if name == NAMESPACE else {}
        cluster.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    for item in known:
        _wait_for(cluster, item)


def _wait_for(cluster: Cluster, definition: Object) -> None:
    """Wait until the server serves the kind: it watches its own definitions, which takes it a moment."""
    spec = definition["spec"]
    url = f"{cluster.address}/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    soon = urllib3.Retry(total=60, backoff_factor=0.1, backoff_max=1.0, status_forcelist=[404, 429, 503], raise_on_status=False)
    answer = cluster.http.request("GET", url, retries=soon, timeout=30)
    if answer.status != 200:
        raise PartFailedError(f"kube-apiserver does not serve {name_of(definition)}: {_message(answer)}")


def _client(folder: Path) -> urllib3.PoolManager:
    """Write what the server shows and signs with, and return a client that trusts it."""
    authority = trustme.CA()
    shown = authority.issue_cert(LOOPBACK, key_type=trustme.KeyType.RSA)
    shown.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    shown.private_key_pem.write_to_path(folder / "signing.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "tokens.csv").write_text(f"{_TOKEN},admin,admin,system:masters\n")
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    return urllib3.PoolManager(ca_certs=str(folder / "ca.pem"), cert_reqs="CERT_REQUIRED", headers=headers)


def _etcd(program: Path, folder: Path, client: int, peer: int) -> ServerSpec:
    urls = {"client": f"http://{LOOPBACK}:{client}", "peer": f"http://{LOOPBACK}:{peer}"}
    options = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": urls["client"],
        "advertise-client-urls": urls["client"],
        "listen-peer-urls": urls["peer"],
        "initial-advertise-peer-urls": urls["peer"],
        "initial-cluster": f"default={urls['peer']}",
        "unsafe-no-fsync": "true",
    }
    return _spec(program, folder, options, client, partial(_healthy, urls["client"]))


def _apiserver(program: Path, folder: Path, etcd: int, cluster: Cluster) -> ServerSpec:
    port = int(cluster.address.rpartition(":")[2])
    options = {
        "etcd-servers": f"http://{LOOPBACK}:{etcd}",
        "bind-address": LOOPBACK,
        "advertise-address": LOOPBACK,
        "secure-port": str(port),
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": "10.0.0.0/24",
        "tls-cert-file": str(folder / "server.pem"),
        "tls-private-key-file": str(folder / "server.pem"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(folder / "signing.pem"),
        "service-account-signing-key-file": str(folder / "signing.pem"),
        "token-auth-file": str(folder / "tokens.csv"),
        "authorization-mode": "RBAC",
        # A dry run leaves no ServiceAccount behind for the pod that comes after it.
        "disable-admission-plugins": "ServiceAccount",
    }
    return _spec(program, folder, options, port, cluster.ready)


def _spec(program: Path, folder: Path, options: Mapping[str, str], port: int, probe: Any) -> ServerSpec:
    return ServerSpec(
        name=program.name,
        command=(str(program), *(f"--{name}={value}" for name, value in options.items())),
        log=folder / f"{program.name}.log",
        folder=folder,
        probe=probe,
        ports={program.name: port},
    )


def _healthy(url: str) -> Ready:
    try:
        answer = urllib3.request("GET", f"{url}/health", timeout=2, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise NotReadyError(str(error)) from error
    if answer.status != 200:
        raise NotReadyError(_message(answer))
    return Ready("etcd", url, {})


def _plain(warning: str) -> str:
    """Return the text of a `Warning` header, `299 - "..."` with quotes in it escaped; another one as it is."""
    found = re.fullmatch(r'\d{3} \S+ "(.*)"', warning)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else warning


def _message(answer: urllib3.BaseHTTPResponse) -> str:
    """The server's own words, on one line."""
    text = answer.data.decode("utf-8", "replace")
    with suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["message"]
    return " ".join(f"{answer.status} {text}".split())[:600]
