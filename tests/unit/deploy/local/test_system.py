import os
import sys
from pathlib import Path

import pytest

from deploy.local import system
from deploy.local.errors import MissingPackageError, PreparationError


def fake(folder: Path, name: str, script: str) -> None:
    """A program on a PATH that has nothing else."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH, with the shell's `env` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the test, the code thinks it is root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def apt(programs: Path, offers: str, installs: str) -> None:
    """An apt that offers a package and, when asked for it, makes a program."""
    fake(programs, "apt-cache", f'[ "$2" = {offers} ] && echo "  Candidate: 1.0" || echo "  Candidate: (none)"')
    target = programs / installs
    fake(
        programs,
        "apt-get",
        f'echo "$@"; case "$*" in *install*{offers}) echo "#!/bin/sh" > {target}; /bin/chmod +x {target};; esac',
    )


def test_a_program_on_the_path_is_not_installed(programs: Path, tmp_path: Path) -> None:
    """Nothing is run for it."""
    fake(programs, "thing", "exit 1")
    found = system.find_or_install("thing", ("thing-package",), tmp_path / "log", pytest.fail, may_install=True)
    assert found == str(programs / "thing")


@pytest.mark.usefixtures("root")
def test_the_first_package_that_apt_offers_is_installed(programs: Path, tmp_path: Path) -> None:
    """Debian and Ubuntu releases differ in what they offer."""
    apt(programs, offers="second", installs="thing")
    said: list[str] = []
    found = system.find_or_install("thing", ("first", "second"), tmp_path / "log", said.append, may_install=True)
    assert found == str(programs / "thing")
    assert said == ["installing first with apt-get"]
    assert "install --no-install-recommends --yes second" in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("root")
def test_what_apt_does_not_offer_is_named(programs: Path, tmp_path: Path) -> None:
    """After an update of the lists, in case they were empty."""
    apt(programs, offers="other", installs="other")
    with pytest.raises(MissingPackageError, match=r"none of first, second; .* sudo apt-get install first"):
        system.find_or_install("thing", ("first", "second"), tmp_path / "log", print, may_install=True)
    assert "update" in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("root")
def test_an_apt_that_fails_is_a_missing_package(programs: Path, tmp_path: Path) -> None:
    """So that the stand-in takes over, and the log's last lines are in the message."""
    fake(programs, "apt-cache", 'echo "  Candidate: 1.0"')
    fake(programs, "apt-get", "echo no network; exit 100")
    with pytest.raises(MissingPackageError, match=r"(?s)apt-get.* failed with status 100.*no network"):
        system.install(("thing",), tmp_path / "log", print, may_install=True)


@pytest.mark.usefixtures("programs")
def test_without_apt_the_command_to_run_is_told(tmp_path: Path) -> None:
    """A person can do it by hand."""
    with pytest.raises(MissingPackageError, match=r"thing is missing and there is no apt-get.*sudo apt-get install thing"):
        system.install(("thing",), tmp_path / "log", print, may_install=True)


def test_installing_can_be_switched_off(tmp_path: Path) -> None:
    """By the variable that the message names."""
    with pytest.raises(MissingPackageError, match="TIDINGS_LOCAL_INSTALL=no"):
        system.install(("thing",), tmp_path / "log", print, may_install=False)


def test_sudo_is_used_only_without_a_password(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt for a password would hang behind the spinner."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake(programs, "apt-get", "exit 0")
    assert system.installer() is None
    fake(programs, "sudo", "exit 1")
    assert system.installer() is None
    fake(programs, "sudo", "exit 0")
    assert system.installer() == ["sudo", "-n"]


def test_a_long_step_keeps_its_output(tmp_path: Path) -> None:
    """In a log that is made new each time, with variables added to the environment."""
    for _ in range(2):
        system.run_logged(
            ["/bin/sh", "-c", 'echo "out $ADDED"; echo err >&2'], tmp_path / "a" / "log", "it", env={"ADDED": "x"}
        )
    assert (tmp_path / "a" / "log").read_text() == "out x\nerr\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/bin/sh", "-c", "echo because; exit 3"], r"(?s)the step failed with status 3\n  log: .*because"),
        (["/no-such-program"], "the step cannot be started"),
        ([sys.executable, "-c", "import signal; signal.pause()"], "the step took longer than 0 s"),
    ],
)
def test_a_long_step_that_fails_is_named_with_its_log(tmp_path: Path, command: list[str], message: str) -> None:
    """What failed, how, and the last lines."""
    with pytest.raises(PreparationError, match=message):
        system.run_logged(command, tmp_path / "log", "the step", limit_s=0.4 if "signal" in command[-1] else 60)
