import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.worker.builders import record
from tests.unit.worker.dead_letters.builders import as_stored
from worker import adapters, cli
from worker.dead_letters import commands, reading
from worker.messages import OutRecord, Record

Run = Callable[..., tuple[Any, str, str]]
STORED = [
    as_stored(record(b"{", key=b"a", offset=0), "not_json", 0, 10),
    as_stored(record(b"\xff", key=b"b", offset=1), "not_utf8", 0, 12),
    as_stored(record(b"5", key=b"a", offset=2), "not_an_object", 1, 3),
]


class Snapshot:
    """The dead-letter topic, with `STORED` in it."""

    offsets = 20

    def __init__(self, *_: Any) -> None: ...

    def records(self, _since_ms: int | None, _passed: Callable[[int], None]) -> Iterator[Record]:
        """All."""
        return iter(STORED)

    def record(self, partition: int, offset: int) -> Record | None:
        """One."""
        return next((one for one in STORED if (one.partition, one.offset) == (partition, offset)), None)

    def close(self) -> None:
        """Nothing is open."""


class Resender:
    """Keeps what it is given; the topic `chat` is not there."""

    sent: list[tuple[str, OutRecord, int | None]]

    def __init__(self, *_: Any) -> None:
        type(self).sent = []
        self.delivered = self.failed = 0
        self.failures: dict[str, str] = {}

    def partitions(self, topic: str) -> int:
        """Six, where the topic is there."""
        return 0 if topic == "nosuch" else 6

    def send(self, name: str, out: OutRecord, partition: int | None) -> None:
        """Keep."""
        self.sent.append((name, out, partition))
        self.delivered += 1

    def refuse(self, name: str, why: str) -> None:
        """Note."""
        self.failed += 1
        self.failures[name] = why

    def flush(self) -> None:
        """All has arrived."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tidings dead-letters ...`, not on a terminal: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reading, "TopicSnapshot", Snapshot)
    monkeypatch.setattr(adapters.kafka, "Resender", Resender)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    Resender.sent = []

    def go(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["tidings", "dead-letters", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (left.value.code, *capsys.readouterr())

    return go


def test_list_is_a_table_and_a_summary(run: Run) -> None:
    """Rows on standard output, counts on standard error."""
    code, out, err = run("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["id", "0-10", "0-12", "1-3"]
    assert err == "3 dead letters: not_json 1, not_utf8 1, not_an_object 1\n"


def test_list_says_that_there_is_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is laid out as a whole, so it has an end; the counts are of all."""
    monkeypatch.setattr(commands, "MAX_ROWS", 2)
    _, out, err = run("list")
    assert (len(out.splitlines()), "3 dead letters" in err, "first 2 are shown" in err) == (3, True, True)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["0-10", "0-12", "1-3"]),
        (("--reason", "not_utf8", "--reason", "not_json"), ["0-10", "0-12"]),
        (("--topic", "news", "--partition", "0", "--offset", "1.."), ["0-12", "1-3"]),
        (("--key", "a"), ["0-10", "1-3"]),
        (("--grep", "^5$"), ["1-3"]),
        (("--since", "2023-11-14T22:13:21Z"), ["0-10", "0-12", "1-3"]),
        (("--since", "1h"), []),
        (("--until", "2023-11-14T22:13:21Z"), []),
        (("--after", "0-10"), ["0-12", "1-3"]),
        (("--limit", "1"), ["0-10"]),
    ],
)
@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_all_three_take_the_same_filters(run: Run, command: str, arguments: tuple[str, ...], ids: list[str]) -> None:
    """So one can look first and then send."""
    more = {"list": (), "show": () if arguments else ("--limit", "9"), "replay": ("--all", "--dry-run")}[command]
    code, out, _ = run(command, *arguments, *more, "--json")
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids


def test_show_by_name(run: Run) -> None:
    """Everything, or the body alone."""
    code, out, _ = run("show", "0-12")
    assert code == 0
    assert "not_utf8" in out
    assert "00000000  ff" in out


def test_show_raw_is_the_body(run: Run) -> None:
    """And nothing else, not even a line end."""
    assert run("show", "0-10", "--raw") == (0, "{", "")


def test_replay_by_name(run: Run) -> None:
    """Those that are named, in order, each once; where there is no terminal nobody is asked."""
    code, out, err = run("replay", "1-3", "0-10", "1-3")
    assert (code, out, err) == (0, "", "2 sent again\n")
    assert [(name, out.topic, partition) for name, out, partition in Resender.sent] == [("0-10", "news", 0), ("1-3", "news", 0)]
    assert dict(Resender.sent[0][1].headers)["tidings.attempt"] == b"2"


def test_a_dry_run_sends_nothing(run: Run) -> None:
    """It says what would be sent and where to."""
    code, _, err = run("replay", "--all", "--dry-run", "--to", "other")
    assert code == 0
    assert err.splitlines() == ["3 dead letters: not_json 1, not_utf8 1, not_an_object 1", "to other"]
    assert Resender.sent == []


@pytest.mark.parametrize(("answer", "code", "count"), [("y\n", 0, 3), ("n\n", 1, 0), ("\n", 1, 0)])
def test_on_a_terminal_one_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, count: int) -> None:
    """Having been told how many and where to; no is the default."""
    answers = iter([answer])
    terminal = SimpleNamespace(isatty=lambda: True, readline=lambda *_: next(answers))
    monkeypatch.setattr(sys, "stdin", terminal)
    left, _, err = run("replay", "--all")
    assert (left, len(Resender.sent)) == (code, count)
    assert "to news 3" in err


def test_yes_asks_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For scripts."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert run("replay", "--all", "--yes")[0] == 0
    assert len(Resender.sent) == 3


def test_what_could_not_be_sent_is_named_and_fails(run: Run) -> None:
    """Exit code 1, so that a script notices."""
    code, _, err = run("replay", "--all", "--to", "nosuch")
    assert code == 1
    assert "0-10: there is no topic nosuch" in err
    assert "0 sent again, 3 could not be" in err
    _, out, _ = run("replay", "--all", "--to", "nosuch", "--json")
    assert json.loads(out)["failed"] == 3


def test_ctrl_c_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, the count, and the option that goes on behind the last."""

    def records(_self: Snapshot, _since: int | None, _passed: Any) -> Iterator[Record]:
        yield from STORED[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(Snapshot, "records", records)
    code, _, err = run("replay", "--all")
    assert (code, err) == (130, "2 sent again; broken off after 0-12, --after 0-12 goes on\n")


def test_a_further_ctrl_c_says_what_is_not_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cluster does not answer nobody has to wait, and nobody is told that all arrived."""

    def flush(self: Resender) -> None:
        self.delivered -= 1
        raise KeyboardInterrupt

    monkeypatch.setattr(Resender, "flush", flush)
    code, _, err = run("replay", "--all")
    assert (code, err) == (130, "2 sent again, of 1 it is not known; broken off after 1-3, --after 1-3 goes on\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("replay",), 2, "say which"),
        (("show",), 2, "say which"),
        (("replay", "17"), 2, "0-17"),
        (("list", "--offset", "x"), 2, "17..20"),
        (("list", "--since", "x"), 2, "2h"),
        (("list", "--grep", "("), 2, "regular expression"),
        (("list", "--limit", "0"), 2, "limit"),
        (("show", "0-11"), 1, "there is no dead letter 0-11"),
        (("replay", "--all", "--to", "sentiment.dead-letters"), 1, "dead-letter topic itself"),
    ],
)
def test_errors_say_what_to_do(run: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    """Wrong usage is 2, what is not there is 1; nothing is sent."""
    left, _, err = run(*arguments)
    assert left == code
    assert says in " ".join(err.replace("│", " ").split())
    assert Resender.sent == []


@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_help_has_examples(run: Run, command: str) -> None:
    """Each command shows how it is used."""
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"tidings dead-letters {command} " in out
