import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from worker import __version__, cli
from worker.errors import FatalError, SettingsError, TidingsError, UnfinishedError

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "onnx",
    "confluent_kafka",
    "tritonclient",
    "redis",
    "numpy",
    "tokenizers",
    "matplotlib",
    "pyarrow",
)
COMMANDS = ("backtest", "work", "check", "produce", "tail", "schema")


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tidings` in a process of its own."""
    code = f"import sys; sys.argv = ['tidings', *{list(arguments)!r}]; from worker.cli import main; main()"
    return python(code)


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    """`tidings --help` answers at once: no client library, no torch."""
    found = python(
        "import sys, json\nsys.argv = ['tidings', '--help']\nfrom worker.cli import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    print(json.dumps([left.code, sorted(sys.modules)]))"
    )
    *shown, last = found.stdout.splitlines()
    code, modules = json.loads(last)
    assert code == 0, found.stderr
    assert all(any(f" {name} " in line for line in shown) for name in COMMANDS)
    assert [name for name in HEAVY if name in modules] == []


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Exit code, standard output and standard error of `tidings`."""
    monkeypatch.setattr(sys, "argv", ["tidings", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Help worth reading shows how it is used."""
    code, out, _ = in_process(monkeypatch, capsys, command, "--help")
    assert code == 0
    usage, _, rest = out.partition("\n")
    assert f"tidings {command}" in usage + rest.splitlines()[0]
    assert f"tidings {command}" in rest.partition("Usage")[2].partition("\n")[2] or rest.count(f"tidings {command}") >= 2


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says it and leaves."""
    assert in_process(monkeypatch, capsys, "--version")[:2] == (0, f"tidings {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("wrok",),
        ("work", "--roles", "score,alrt"),
        ("tail", "everything"),
        ("produce",),
        ("produce", "news", "-", "--rate", "-1"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says on standard error what was expected."""
    code, out, err = in_process(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err


def registering(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None]) -> None:
    """Let `tidings go` and `tidings stay` be the only commands."""

    class Entry:
        name = "worker"
        value = "worker.commands:register"

        def load(self) -> Callable[[typer.Typer], None]:
            def register(app: typer.Typer) -> None:
                app.command("go")(body)
                app.command("stay")(lambda: None)

            return register

    class Missing:
        name = "training"
        value = "training.commands:register"

        def load(self) -> None:
            raise ImportError("the train extra is not installed")

    monkeypatch.setattr(cli, "entry_points", lambda group: [Missing(), Entry()] if group == cli.GROUP else [])


@pytest.mark.parametrize("error", [SettingsError("kafka.x is wrong"), FatalError("fenced"), TidingsError("two\n  lines")])
def test_an_error_of_ours_is_one_line_and_exit_1(
    error: TidingsError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback; the message is for the person who has to act."""

    def fail() -> None:
        raise error

    registering(monkeypatch, fail)
    code, out, err = in_process(monkeypatch, capsys, "go")
    assert (code, out, err) == (1, "", f"tidings: {error}\n")


def test_work_that_is_left_unfinished_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A supervisor can tell it from a failure."""

    def leave() -> None:
        raise UnfinishedError("left before the work in hand was finished")

    registering(monkeypatch, leave)
    assert in_process(monkeypatch, capsys, "go")[0] == 3


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell expects, without a traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    registering(monkeypatch, interrupted)
    code, _, err = in_process(monkeypatch, capsys, "go")
    assert code == 130
    assert "Traceback" not in err


def test_an_unforeseen_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program keeps its traceback."""

    def fault() -> None:
        raise ZeroDivisionError

    registering(monkeypatch, fault)
    monkeypatch.setattr(sys, "argv", ["tidings", "go"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_part_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A slim image has fewer commands, and those work; the help says what is missing and why."""
    registering(monkeypatch, lambda: None)
    assert in_process(monkeypatch, capsys, "go")[0] == 0
    assert "the commands of training: the train extra is not installed" in in_process(monkeypatch, capsys, "--help")[1]


def test_a_wrong_setting_ends_in_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to the exit code, in a process of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
    monkeypatch.setenv("TIDINGS_KAFKA__PARTITIONS", "many")
    found = run("check")
    assert (found.returncode, found.stdout) == (1, "")
    assert "kafka.partitions (TIDINGS_KAFKA__PARTITIONS)" in found.stderr
    assert "Traceback" not in found.stderr
