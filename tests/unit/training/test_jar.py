import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.jar import Jar, fetch_jar

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


def maven_that(monkeypatch, *, writes: str | None = "thing-1.0.jar", code: int = 0, says: str = "") -> list[list[str]]:
    """Put a Maven in place that writes a file where it is told to; returns the command lines it gets."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        [folder] = [word.partition("=")[2] for word in command if word.startswith("-DoutputDirectory=")]
        if writes:
            (Path(folder) / writes).write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, code, says, "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return commands


def test_the_jar_arrives_under_its_name(tmp_path, monkeypatch) -> None:
    """By its coordinates, and with no address."""
    [command] = [maven_that(monkeypatch)]
    assert fetch_jar(JAR, tmp_path / "downloads" / "thing.jar").read_bytes() == CONTENT
    assert "-Dartifact=org.example:thing:1.0" in command[0]
    assert not any("://" in word for word in command[0])


def test_another_jar_than_the_pinned_is_refused(tmp_path, monkeypatch) -> None:
    """A changed release never reaches the cache."""
    maven_that(monkeypatch)
    with pytest.raises(TrainingError, match="SHA-256"):
        fetch_jar(Jar("org.example", "thing", "1.0", "0" * 64), tmp_path / "thing.jar")
    assert not (tmp_path / "thing.jar").exists()


def test_a_failed_download_says_why(tmp_path, monkeypatch) -> None:
    """Maven's first error is the reason; those that follow say how to read it."""
    maven_that(
        monkeypatch, writes=None, code=1, says="[INFO] x\n[ERROR] \n[ERROR] Could not find artifact\n[ERROR] -> [Help 1]"
    )
    with pytest.raises(TrainingError, match="with Maven: Could not find artifact"):
        fetch_jar(JAR, tmp_path / "thing.jar")


def test_a_release_without_the_file_is_named(tmp_path, monkeypatch) -> None:
    """Maven may succeed with another file."""
    maven_that(monkeypatch, writes="other.jar")
    with pytest.raises(TrainingError, match=r"came without thing-1\.0\.jar"):
        fetch_jar(JAR, tmp_path / "thing.jar")


def test_maven_that_does_not_answer_is_given_up(tmp_path, monkeypatch) -> None:
    """A hanging mirror ends in a line that says so."""
    maven_that(monkeypatch)

    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(TrainingError, match="no answer in"):
        fetch_jar(JAR, tmp_path / "thing.jar")


def test_without_maven_the_message_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    """It is in every distribution."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TrainingError, match="apt-get install maven"):
        fetch_jar(JAR, tmp_path / "thing.jar")
