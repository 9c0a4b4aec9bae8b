"""NVIDIA Triton on one machine without its image: the server in PyPI's nvidia-pytriton and our own backends.

The environment is its own, under the cache, because nvidia-pytriton pins numpy below 2. tritonserver starts one
`triton_python_backend_stub` for each model instance; the stub links libpython and finds its packages through the
`python3` that comes first on the PATH.
"""

from __future__ import annotations

import http.client
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.config import TRITON_VARIABLE, StackConfig
from deploy.local.errors import LocalStackError, MissingPackageError, NotReadyError
from deploy.local.paths import RunFolder, building, content_key
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Ready, ServerSpec
from deploy.local.system import Say, install, run_logged
from deploy.local.uv import uv

PYTHON = "3.11"
BACKENDS = ("onnxruntime", "openvino")
"""Triton's backends that we have in Python, which its PyPI build lacks."""
_REQUIREMENTS = Path(__file__).with_name("triton-requirements.txt")
_BACKENDS = Path(__file__).with_name("triton_backend")
_MACHINES = ("x86_64", "aarch64")
_MINIMUM_GLIBC = (2, 35)
_PACKAGES = Path("lib") / f"python{PYTHON}" / "site-packages"


def unsupported() -> str:
    """Why there is no Triton for this machine; empty when there is one (the wheels are for Linux, glibc 2.35 or later)."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return f"PyPI has no tritonserver for {platform.system()} on {platform.machine()}"
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < _MINIMUM_GLIBC:
        return f"PyPI's tritonserver needs glibc 2.35 or later; this is {library or 'another C library'} {version}".strip()
    return ""


def environment(config: StackConfig, say: Say) -> Path:
    """Triton's Python environment in the cache, made by uv from the pinned requirements when it is not there.

    Raises:
        PreparationError: uv could not make it.
    """
    requirements = _REQUIREMENTS.read_bytes()
    target = config.cache / "triton" / content_key(requirements, PYTHON)
    with building(target) as scratch:
        if scratch is None:
            return target
        say("making Triton's environment with uv (about 300 MB)")
        log = config.cache / "logs" / "triton-environment.log"
        scratch.rmdir()
        run_logged([*uv(), "venv", "--no-project", "--relocatable", "--python", PYTHON, str(scratch)], log, "uv venv")
        install_into = [*uv(), "pip", "install", "--no-deps", "--require-hashes", "--python", str(scratch / "bin/python")]
        run_logged([*install_into, "-r", str(_REQUIREMENTS)], log, "installing Triton's environment")
        _add_python_backend(scratch)
    return target


def _add_python_backend(env: Path) -> None:
    """Put Triton's Python backend and the stub of this Python version into one folder, as Triton expects."""
    carried = env / _PACKAGES / "pytriton" / "tritonserver"
    backend = env / "backends" / "python"
    shutil.copytree(carried / "backends" / "python", backend)
    shutil.copy2(carried / "python_backend_stubs" / PYTHON / "triton_python_backend_stub", backend)


def libpython_folder(env: Path, log: Path, say: Say, *, may_install: bool) -> str:
    """The folder of the libpython that the stub links, empty when the loader finds it without help.

    Raises:
        MissingPackageError: there is none and it cannot be installed.
    """
    script = (
        "import ctypes, pathlib, sysconfig\n"
        f"name = 'libpython{PYTHON}.so.1.0'\n"
        "folder = pathlib.Path(sysconfig.get_config_var('LIBDIR') or '.')\n"
        "print(folder if (folder / name).exists() else ctypes.CDLL(name) and '')\n"
    )
    command = [str(env / "bin" / "python"), "-I", "-c", script]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        install((f"libpython{PYTHON}",), log, say, may_install=may_install)
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise MissingPackageError(f"libpython{PYTHON}.so.1.0 is missing; a Python that has it: uv python install {PYTHON}")
    return asked.stdout.strip()


def check_repository(repository: Path) -> None:
    """See that every model in the repository has a version with a file in it.

    Raises:
        LocalStackError: the folder is absent, or a model has not been built.
    """
    if not repository.is_dir():
        raise LocalStackError(f"there is no model repository at {repository}; name one with --model-repository")
    models = [path.parent for path in sorted(repository.glob("*/config.pbtxt"))]
    if not models:
        raise LocalStackError(f"no model in {repository}; build one with: tidings export")
    for model in models:
        if not any(path.is_file() for path in model.glob("[0-9]*/*")):
            raise LocalStackError(f'the model "{model.name}" in {repository} has no built version; run: tidings export')


def server_options(config: StackConfig, ports: Mapping[str, int], backends: Path, shared_memory: str) -> list[str]:
    """The server's command line options.

    Args:
        config: for the model repository.
        ports: `http`, `grpc` and `metrics`.
        backends: the backend directory.
        shared_memory: the prefix of the Python backend's regions in /dev/shm.
    """
    return [
        f"--model-repository={config.model_repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        "--load-model=*",
        f"--http-address={LOOPBACK}",
        f"--http-port={ports['http']}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports['grpc']}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports['metrics']}",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=5",
        f"--backend-config=python,shm-region-prefix-name={shared_memory}",
    ]


def prepare(config: StackConfig, run: RunFolder, say: Say) -> ServerSpec:
    """Make the environment, check the repository, and say how to run the server.

    Raises:
        LocalStackError: no model to serve, or the environment could not be made.
    """
    check_repository(config.model_repository)
    env = environment(config, say)
    log = config.cache / "logs" / "apt.log"
    libraries = [str(env / _PACKAGES / "nvidia_pytriton.libs")]
    libraries += filter(None, [libpython_folder(env, log, say, may_install=config.may_install)])
    scratch = run.scratch("triton")
    backends = _link_backends(scratch / "backends", env)
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True))
    shared_memory = f"tidings_{run.root.name}_{ports['grpc']}_"
    server = env / _PACKAGES / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    return ServerSpec(
        name="triton",
        command=(str(server), *server_options(config, ports, backends, shared_memory)),
        log=run.log("triton"),
        folder=scratch,
        probe=lambda: probe(ports["http"], ports["grpc"]),
        ports=ports,
        env={
            "LD_LIBRARY_PATH": ":".join(libraries),
            "PATH": f"{env / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        },
        remove=(f"/dev/shm/{shared_memory}*",),  # noqa: S108 - where Triton's Python backend puts its regions
    )


def _link_backends(folder: Path, env: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "python").symlink_to(env / "backends" / "python")
    for name in BACKENDS:
        own = folder / name
        own.mkdir()
        for source in backend_files(name):
            (own / source.name).symlink_to(source)
    return folder


def backend_files(name: str) -> list[Path]:
    """Return the files of one of our `BACKENDS`: what they share, and the backend's own session."""
    return sorted([*(_BACKENDS / "shared").glob("[!_]*.py"), *(_BACKENDS / name).glob("[!_]*.py")])


def probe(http_port: int, grpc_port: int, timeout_s: float = 2.0) -> Ready:
    """Ready when Triton says that it and all its models are; the version is the one it tells.

    Raises:
        NotReadyError: not yet.
    """
    connection = http.client.HTTPConnection(LOOPBACK, http_port, timeout=timeout_s)
    try:
        if _get(connection, "/v2/health/ready")[0] != http.HTTPStatus.OK:
            raise NotReadyError("Triton or one of its models is not ready")
        version = json.loads(_get(connection, "/v2")[1])["version"]
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"port {http_port} does not answer: {error}") from error
    finally:
        connection.close()
    address = f"{LOOPBACK}:{grpc_port}"
    return Ready(version, address, {TRITON_VARIABLE: address})


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()
