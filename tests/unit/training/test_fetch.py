import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from training import fetch as module
from training.errors import TrainingError
from training.fetch import Artifact, check_sha256, fetch

CONTENT = b"a wheel"


def artifact(sha256: str = hashlib.sha256(CONTENT).hexdigest(), filename: str = "thing-1.0.whl") -> Artifact:
    """A release whose file holds `CONTENT`."""
    return Artifact("thing", "1.0", filename, sha256)


def pip_that(monkeypatch, *, writes: str | None = "thing-1.0.whl", code: int = 0, says: str = "") -> list[list[str]]:
    """Put a pip in place that writes a file where it is told to; returns the command lines it gets."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if writes:
            (Path(command[command.index("--dest") + 1]) / writes).write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, code, "", says)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_the_file_arrives_under_its_name(tmp_path, monkeypatch) -> None:
    """Checked and whole, with nothing beside it."""
    pip_that(monkeypatch)
    assert fetch(artifact(), tmp_path / "downloads" / "thing.whl").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["thing.whl"]


@pytest.mark.parametrize(("filename", "option"), [("thing-1.0.whl", "--only-binary"), ("thing-1.0.tar.gz", "--no-binary")])
def test_pip_gets_the_pinned_requirement_alone(tmp_path, monkeypatch, filename: str, option: str) -> None:
    """No dependencies, the kind of file that was pinned, and no address."""
    commands = pip_that(monkeypatch, writes=filename)
    fetch(artifact(filename=filename), tmp_path / filename)
    [command] = commands
    assert {"--no-deps", option, "thing==1.0"} <= set(command)
    assert not any("://" in word for word in command)


def test_another_file_than_the_pinned_is_refused(tmp_path, monkeypatch) -> None:
    """A changed release never reaches the cache."""
    pip_that(monkeypatch)
    with pytest.raises(TrainingError, match="SHA-256"):
        fetch(artifact(sha256="0" * 64), tmp_path / "thing.whl")
    assert not (tmp_path / "thing.whl").exists()


def test_a_failed_download_says_why(tmp_path, monkeypatch) -> None:
    """Pip's last line is the reason."""
    pip_that(monkeypatch, code=1, says="looking\nERROR: No matching distribution found for thing==1.0\n")
    with pytest.raises(TrainingError, match="No matching distribution"):
        fetch(artifact(), tmp_path / "thing.whl")


def test_a_release_without_the_file_is_named(tmp_path, monkeypatch) -> None:
    """Pip may succeed with another file."""
    pip_that(monkeypatch, writes="thing-1.0-other.whl")
    with pytest.raises(TrainingError, match=r"came without thing-1\.0\.whl"):
        fetch(artifact(), tmp_path / "thing.whl")


def test_pip_that_does_not_answer_is_given_up(tmp_path, monkeypatch) -> None:
    """A hanging index ends in a line that says so."""

    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(TrainingError, match="no answer"):
        fetch(artifact(), tmp_path / "thing.whl")


def test_uv_stands_in_for_a_missing_pip(monkeypatch) -> None:
    """Environments made by uv have no pip of their own."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", {"uv": "/bin/uv"}.get)
    assert module._pip() == ["/bin/uv", "tool", "run", "pip"]


def test_neither_pip_nor_uv_is_named(monkeypatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TrainingError, match="neither pip nor uv"):
        module._pip()


def test_a_damaged_cache_is_named(tmp_path) -> None:
    """The message says which file to delete."""
    path = tmp_path / "data.tar.gz"
    path.write_bytes(b"half")
    with pytest.raises(TrainingError, match="delete"):
        check_sha256(path, "0" * 64)
