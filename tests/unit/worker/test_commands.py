import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker import app, cli, produce, tail
from worker.settings import KafkaSettings


@pytest.fixture
def tidings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str, str]]:
    """Runs the command line: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["tidings", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (left.value.code, *capsys.readouterr())

    return run


Tidings = Callable[..., tuple[Any, str, str]]


@pytest.mark.parametrize(
    ("given", "roles"),
    [
        ((), ["score", "alert"]),
        (("score",), ["score"]),
        ((" alert , score ",), ["score", "alert"]),
        (("alert,alert",), ["alert"]),
    ],
)
def test_work_runs_the_roles_that_are_named(
    tidings: Tidings, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], roles: list[str]
) -> None:
    """Each once, in the order of the flow."""
    worked: list[list[str]] = []
    monkeypatch.setattr(app, "work", lambda _settings, names: worked.append(names))
    monkeypatch.setattr("worker.ops.log.configure", lambda _settings: None)
    assert tidings("work", *(("--roles", *given) if given else ()))[0] == 0
    assert worked == [roles]


@pytest.mark.parametrize("name", ["message", "prediction", "signal", "alert"])
def test_schema_prints_json(tidings: Tidings, name: str) -> None:
    """Nothing else on standard output, so that it can be piped."""
    code, out, _ = tidings("schema", name)
    assert (code, json.loads(out)["title"]) == (0, name)


def test_schema_is_asyncapi_unless_told(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the topics as they are configured."""
    monkeypatch.setenv("TIDINGS_KAFKA__INPUT_TOPICS", '{"tweets": "chat"}')
    _, out, _ = tidings("schema")
    assert "tweets" in json.loads(out)["channels"]


def producing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[produce.Plan, bytes]]:
    """What `produce` is asked to send."""
    asked: list[tuple[produce.Plan, bytes]] = []

    def keep(_kafka: KafkaSettings, plan: produce.Plan, lines: Any) -> int:
        asked.append((plan, lines.read()))
        return 2

    monkeypatch.setattr(produce, "produce", keep)
    return asked


def test_produce_reads_a_file(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is known, so the bar has an end; the count goes to standard error."""
    asked = producing(monkeypatch)
    Path("a.jsonl").write_bytes(b"a\nb\n")
    assert tidings("produce", "news", "a.jsonl", "--rate", "5") == (0, "", "sent 2 messages to news\n")
    assert asked == [(produce.Plan("news", 5.0, as_text=False, total_bytes=4), b"a\nb\n")]


@pytest.mark.parametrize("arguments", [("-",), ()])
def test_produce_reads_standard_input(tidings: Tidings, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    """With a dash, or with no file at all."""
    asked = producing(monkeypatch)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"x\n")))
    assert tidings("produce", "chat", *arguments, "--text")[0] == 0
    assert asked == [(produce.Plan("chat", 0.0, as_text=True, total_bytes=None), b"x\n")]


@pytest.mark.parametrize("path", ["missing.jsonl", "."])
def test_produce_names_a_file_that_cannot_be_read(tidings: Tidings, path: str) -> None:
    """No traceback, and nothing is sent."""
    code, out, err = tidings("produce", "news", path)
    assert (code, out) == (1, "")
    assert path in err
    assert len(err.splitlines()) == 1


def test_tail_is_told_what_to_follow(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream and options arrive."""
    asked: list[tuple[str, tail.Following]] = []
    monkeypatch.setattr(tail, "tail", lambda _kafka, stream, following, _console: asked.append((stream, following)))
    assert tidings("tail", "dead-letters", "--from-beginning", "-n", "3", "--json")[0] == 0
    assert tidings("tail", "alerts")[0] == 0
    assert asked == [("dead-letters", tail.Following(True, 3, True)), ("alerts", tail.Following(False, None, False))]
