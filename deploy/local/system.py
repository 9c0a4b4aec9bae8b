"""Find programs, install the Debian packages that carry them, and run long steps with their output in a log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local import guarded
from deploy.local.errors import MissingPackageError, PreparationError, tail

Say = Callable[[str], None]
_END_LIMIT_S = 15.0


def run_logged(
    command: Sequence[str], log: Path, what: str, *, env: Mapping[str, str] | None = None, limit_s: float = 900
) -> None:
    """Run a long step under a guard, its output in `log` (rewritten).

    Raises:
        PreparationError: it failed or took longer than `limit_s` seconds; names the log and shows its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    try:
        step = guarded.start(command, log, folder=log.parent, env={**os.environ, **(env or {})}, grace_s=3)
    except OSError as error:
        raise PreparationError(f"{what} cannot be started: {error}") from error
    try:
        status = step.wait(limit_s)
    finally:
        step.say("kill")
        step.wait(_END_LIMIT_S)
    if status is None:
        raise PreparationError(f"{what} took longer than {limit_s:.0f} s\n  log: {log}\n{tail(log)}")
    if status:
        raise PreparationError(f"{what} failed with status {status}\n  log: {log}\n{tail(log)}")


def installer() -> list[str] | None:
    """The start of a command line that may install packages (root, or sudo without a password); None when there is none."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["sudo", "-n"] if allowed else None


def available(packages: Sequence[str]) -> str | None:
    """The first of `packages` that apt can install."""
    for package in packages:
        shown = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
        if "Candidate:" in shown and "Candidate: (none)" not in shown:
            return package
    return None


def install(alternatives: Sequence[str], log: Path, say: Say, *, may_install: bool) -> None:
    """Install the first available of some Debian packages that do the same.

    Raises:
        MissingPackageError: it may not or cannot be installed; the message has the command to run by hand.
    """
    by_hand = f"install it yourself, on Debian or Ubuntu: sudo apt-get install {alternatives[0]}"
    prefix = installer() if may_install else None
    if prefix is None:
        why = (
            "installing is switched off (TIDINGS_LOCAL_INSTALL=no)"
            if not may_install
            else "there is no apt-get or no right to use it"
        )
        raise MissingPackageError(f"{alternatives[0]} is missing and {why}; {by_hand}")
    say(f"installing {alternatives[0]} with apt-get")
    try:
        package = _offered(prefix, alternatives, log)
        if package is not None:
            _apt_install(prefix, package, log)
    except PreparationError as error:
        raise MissingPackageError(f"{alternatives[0]} is missing and {error.message}\n{by_hand}") from error
    if package is None:
        raise MissingPackageError(f"apt-get offers none of {', '.join(alternatives)}; {by_hand}")


def _offered(prefix: Sequence[str], alternatives: Sequence[str], log: Path) -> str | None:
    """The first package that apt can install; its lists may be empty, as in a container image."""
    if available(alternatives) is None:
        _apt(prefix, ["update"], log)
    return available(alternatives)


def _apt_install(prefix: Sequence[str], package: str, log: Path) -> None:
    """Install; once more after an update, because old lists name versions that the mirrors have dropped."""
    command = ["install", "--no-install-recommends", "--yes", package]
    try:
        _apt(prefix, command, log)
    except PreparationError:
        _apt(prefix, ["update"], log)
        _apt(prefix, command, log)


def _apt(prefix: Sequence[str], arguments: Sequence[str], log: Path) -> None:
    """Run apt-get without a guard: killing it half-way would leave the package database broken."""
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        status = subprocess.run(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        raise PreparationError(f"apt-get {arguments[0]} failed with status {status}\n  log: {log}\n{tail(log)}")


def find_or_install(program: str, alternatives: Sequence[str], log: Path, say: Say, *, may_install: bool) -> str:
    """The absolute path of a program, installed when it is absent.

    Raises:
        MissingPackageError, PreparationError: see `install`.
    """
    if (path := shutil.which(program)) is None:
        install(alternatives, log, say, may_install=may_install)
        path = shutil.which(program)
    if path is None:
        raise MissingPackageError(f"{program} is not on the PATH though its package is installed")
    return path
