import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.local.commands import register
from deploy.local.report import Health, Kind, PartReport
from deploy.local.state import StackState, StateFiles

REDIS = PartReport("redis", Kind.STARTED, Health.READY, "redis 7.0.15", "127.0.0.1:1", {"redis": 1})


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A command line with the stack's commands, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    made = typer.Typer()
    register(made)
    return made


def test_every_command_has_help_with_examples(app: typer.Typer) -> None:
    """Worth reading, and without a stack."""
    for name in ("up", "down", "status"):
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"tidings {name}" in shown.output


def test_status_without_a_stack(app: typer.Typer) -> None:
    """Exit status 3, and what to do; one JSON object when asked."""
    shown = CliRunner().invoke(app, ["status"])
    assert (shown.exit_code, "tidings up" in shown.output) == (3, True)
    shown = CliRunner().invoke(app, ["status", "--json"])
    assert (shown.exit_code, json.loads(shown.output)) == (3, {"up": False})


@pytest.mark.parametrize(("health", "exit_code"), [(Health.READY, 0), (Health.DEAD, 1), (Health.NOT_READY, 1)])
def test_status_of_a_stack(app: typer.Typer, health: Health, exit_code: int) -> None:
    """Exit status 0 only when every part is ready."""
    files = StateFiles(Path(".tidings"))
    part = PartReport(REDIS.name, REDIS.kind, health, REDIS.software, REDIS.address, REDIS.ports)
    with files.owned():
        files.write(StackState(os.getpid(), "logs", ready=True, parts=(part,)))
        shown = CliRunner().invoke(app, ["status"])
        assert (shown.exit_code, "redis 7.0.15" in shown.output) == (exit_code, True)
        state = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert (state["up"], state["parts"][0]["health"]) == (True, health)


def test_status_while_it_starts(app: typer.Typer) -> None:
    """Not ready, and not an error of its own."""
    with StateFiles(Path(".tidings")).owned():
        shown = CliRunner().invoke(app, ["status"])
    assert (shown.exit_code, "starting" in shown.output) == (1, True)


@pytest.mark.parametrize("arguments", [["up"], ["up", "--detach"]])
def test_errors_are_one_line_and_no_traceback(app: typer.Typer, arguments: list[str]) -> None:
    """No model has been built: the message says what to do."""
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 1
    assert "there is no model repository" in shown.stderr
    assert "Traceback" not in shown.output


def test_a_second_stack_is_refused(app: typer.Typer) -> None:
    """Whether in the foreground or not."""
    with StateFiles(Path(".tidings")).owned():
        for arguments in (["up"], ["up", "-d"]):
            shown = CliRunner().invoke(app, arguments)
            assert (shown.exit_code, "already up" in shown.stderr) == (1, True)


def test_down_without_a_stack(app: typer.Typer) -> None:
    """Nothing to do is not an error."""
    shown = CliRunner().invoke(app, ["down"])
    assert (shown.exit_code, "no stack is up" in shown.output) == (0, True)
