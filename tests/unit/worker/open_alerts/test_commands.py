import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.unit.worker.alert.builders import event
from tests.unit.worker.open_alerts.builders import FILM, P0, SONG, TAKEN, TOPIC, InMemoryShelf, book, shelf
from worker.cli import build
from worker.errors import RetryableError, SelectionError
from worker.messages import AlertEvent, ModelRef, Origin, Sample, Silence
from worker.open_alerts import commands, explaining, history, showing
from worker.open_alerts.actions import Desk
from worker.settings import Settings


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> InMemoryShelf:
    """A shelf that the commands find in place of Redis and Kafka."""
    held = shelf()

    @contextmanager
    def the_book() -> Iterator[Any]:
        yield book(held)

    @contextmanager
    def the_desk(wait_s: float) -> Iterator[Any]:
        yield Desk(held, book(held), TOPIC, wait_s), book(held)

    monkeypatch.setattr(commands, "_settings", Settings)
    monkeypatch.setattr(commands, "_book", the_book)
    monkeypatch.setattr(commands, "_desk", the_desk)
    return held


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(build(), ["alerts", *arguments], terminal_width=200)


def lines(*arguments: str) -> list[dict[str, Any]]:
    """Run a command, and read its lines of JSON."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("held")
def test_list_shows_what_is_meant() -> None:
    """As a table with a count, or as JSON."""
    assert [one["alert_id"] for one in lines("list", "--not-silenced", "-m", "topic=film", "--state", "firing")] == [
        "f11a",
        "a33c",
    ]
    assert [one["alert_id"] for one in lines("list", "--acknowledged")] == ["a33c"]
    done = run("list")
    assert all(word in done.stdout for word in ("f22b", "stale", "silence:s", "kim"))
    assert "3 open alerts" in done.stderr


def test_ack_says_who_has_it(held: InMemoryShelf) -> None:
    """By default the user of the system."""
    done = run("ack", "f1", "-c", "on it", "--author", "lee")
    assert (done.exit_code, "f11a" in done.stdout, "acknowledged by lee" in done.stdout) == (0, True, True)
    ((partition, said),) = held.transactions[0]
    assert (partition, getattr(said, "comment", None)) == (P0, "on it")


def test_silences_come_and_go(held: InMemoryShelf) -> None:
    """With how many open alerts one matches."""
    done = run("silence", "add", "topic=film", "--until", "2099-01-01T00:00:00Z", "-c", "premiere", "--author", "kim")
    assert (done.exit_code, "matches: 2" in done.stdout, "2099-01-01" in done.stdout) == (0, True, True)
    (silence,) = lines("silence", "list")
    assert (silence["matchers"], silence["starts_at_ms"], silence["author"]) == (["topic=film"], 0, "kim")
    assert all(word in run("silence", "list").stdout for word in ("at once", "premiere"))
    assert lines("silence", "expire", silence["id"]) == [{"expired": silence["id"]}]
    assert lines("silence", "list") == []
    assert len(held.transactions) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "-m", "topic"], "expected matchers such as"),
        (["ack", "f1", "-c", " "], "1 to 1,024 characters"),
        (["ack", "f1"], "--comment"),
        (["silence", "add", "topic=film", "-c", "x"], "say how long"),
        (["silence", "add", "topic=film", "-c", "x", "--for", "2h", "--until", "2099-01-01"], "say how long"),
        (["silence", "add", "topic=film", "-c", "x", "--for", "soon"], "expected a duration"),
        (["silence", "add", "topic=film", "-c", "x", "--until", "2020-01-01", "--from", "2021-01-01"], "ends before it begins"),
        (["silence", "add", 'topic=~".*"', "-c", "x", "--for", "2h"], "absent label"),
        (["history", "--since", "then"], "expected a time such as"),
    ],
)
def test_wrong_usage_is_told(held: InMemoryShelf, arguments: list[str], says: str) -> None:
    """With what to write instead; nothing is written."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert held.transactions == []


def test_without_an_alert_role_the_command_fails(held: InMemoryShelf) -> None:
    """And says that what was written stays."""
    held.is_idle = True
    done = run("ack", "f1", "-c", "on it", "--author", "lee", "--wait", "0")
    assert isinstance(done.exception, RetryableError)
    assert "no alert role has taken it" in str(done.exception)


def past_of(*events: AlertEvent) -> Any:
    """What is on record, in place of Kafka."""

    def read(_kafka: object, past: history.Past) -> Sequence[AlertEvent]:
        return [one for one in events if past.admits(one)]

    return read


@pytest.mark.usefixtures("held")
def test_history_and_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the alert that is meant, open or not."""
    ended = event(alert_id="0ld", state="resolved", change="resolved", reason="recovered", labels={"topic": "music"})
    monkeypatch.setattr(history, "events", past_of(ended, FILM, TAKEN))
    assert [one["alert_id"] for one in lines("history", "-m", "topic=film")] == ["f11a", "a33c"]
    assert "recovered" in run("history").stdout
    assert [one["alert_id"] for one in lines("show", "0l")] == ["0ld"]
    shown = run("show", "f11").stdout
    assert all(word in shown for word in ("9 of 10 negative", "topic=film", "threshold_passed", "history"))
    assert isinstance(run("show", "none").exception, SelectionError)
    monkeypatch.setattr(history, "events", past_of())
    assert [one["alert_id"] for one in lines("show", SONG.alert_id)] == ["f22b"], "an alert that is not relayed yet"


@pytest.mark.usefixtures("held")
def test_show_explains_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of JSON more, or the words below; without being asked nothing is loaded."""
    monkeypatch.setattr(history, "events", past_of(FILM))

    def explained(alert: AlertEvent, repository: Path) -> explaining.Explained:
        words = (explaining.Word("bad", 2, 5, 0.4),)
        text = f"a bad {alert.alert_id} in {repository}"
        one = explaining.Explanation(text, "negative", {"negative": 0.875}, "occlusion", words)
        return explaining.Explained(ModelRef("sentiment", "2"), (one,))

    monkeypatch.setattr(explaining, "explained", explained)
    event_line, words_line = lines("show", "f11", "--explain")
    assert event_line["alert_id"] == "f11a"
    assert words_line["explanations"][0]["words"] == [{"word": "bad", "start": 2, "end": 5, "weight": 0.4}]
    shown = run("show", "f11", "--explain").stdout
    assert all(word in shown for word in ("negative 0.88", "a bad f11a in triton_repo", "sentiment version 2"))
    assert "words that drove" not in run("show", "f11").stdout


def test_nothing_in_an_alert_steers_the_terminal() -> None:
    """Labels, names, comments and excerpts are producers' and people's words."""
    sample = Sample("m", "\x1b[31mred", -0.9, None, 0, Origin("chat", 0, 1))
    evil = replace(FILM, alert_key="entity:\x1b[2J", labels={"a": "\x07"}, link="https://x/\x1b]8;;")
    evil = replace(evil, evidence=replace(evil.evidence, samples=(sample,)))
    out = StringIO()
    silence = Silence("s", ("a=\x1b",), 10, "\x1b", "\x1b[2J")
    console = Console(file=out, width=200)
    console.print(showing.whole(evil, [evil]), showing.alerts_table([evil]), showing.silences_table([silence]))
    assert not [char for char in out.getvalue() if not char.isprintable() and char != "\n"]
