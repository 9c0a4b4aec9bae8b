"""Prometheus' own tools, for the tests of rules and dashboards: from the path, else unpacked from Debian's package.

Unpacked, not installed: nothing is started, and nobody need be root. To build it from its Go module would take two cores more
than ten minutes.
"""

import shutil
import subprocess
from pathlib import Path

from deploy.local.errors import MissingPackageError

_LIMIT_S = 300


def find(name: str, cache: Path) -> Path:
    """Return `promtool` or `prometheus`.

    Raises:
        MissingPackageError: it is not there and cannot be had.
    """
    if on_path := shutil.which(name):
        return Path(on_path)
    program = cache / "prometheus/root/usr/bin" / name
    if not program.is_file():
        _unpack(cache / "prometheus")
    return program


def _unpack(folder: Path) -> None:
    """Download the package and lay its files under `folder/root`."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not any(folder.glob("prometheus_*.deb")):
            _download(folder)
        package = next(folder.glob("prometheus_*.deb"))
        _run(["dpkg-deb", "-x", str(package), "root"], folder)
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        raise MissingPackageError(
            f"promtool is missing and Debian's package cannot be had ({error}); put Prometheus' promtool on the PATH"
        ) from error


def _download(folder: Path) -> None:
    """Ask apt for it; where its lists are empty or old, bring them up to date first."""
    command = ["apt-get", "download", "-q", "prometheus"]
    try:
        _run(command, folder)
    except subprocess.CalledProcessError:
        _run(["apt-get", "update", "-qq"], folder)
        _run(command, folder)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_LIMIT_S)
