import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from worker.ops import log
from worker.settings import LogSettings, Settings


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str], settings: LogSettings, *events: str, **values: Any) -> list[str]:
    """The lines on standard error."""
    log.configure(settings)
    for event in events:
        structlog.get_logger().warning(event, **values)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_without_a_terminal_each_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With level, time in UTC and the values."""
    (line,) = logged(capsys, LogSettings(), "assigned", partitions=["news-0"], count=2)
    event = json.loads(line)
    assert (event["event"], event["level"], event["partitions"], event["count"]) == ("assigned", "warning", ["news-0"], 2)
    assert event["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("value", ["a\nforged", "\x1b[2J", "\r", "\x9b", "\u2028", "\x00", "\ud800"])
def test_control_characters_are_shown_for_what_they_are(capsys: pytest.CaptureFixture[str], form: Any, value: str) -> None:
    """No value from outside can pass for a line of ours, or steer a terminal."""
    lines = logged(capsys, LogSettings(format=form), f"event {value}", error=value)
    assert len(lines) == 1
    assert not set(value) & {"\n", "\x1b", "\r", "\x9b", "\u2028", "\x00", "\ud800"} & set(lines[0])


def test_text_of_any_language_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what does not print is escaped."""
    (line,) = logged(capsys, LogSettings(format="json"), "größe 今日 🚀")
    assert json.loads(line)["event"] == "größe 今日 🚀"


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_the_level_is_kept(capsys: pytest.CaptureFixture[str], level: Any, lines: int) -> None:
    """What lies below it is not written."""
    log.configure(LogSettings(level=level))
    structlog.get_logger().debug("a")
    structlog.get_logger().info("b")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_an_exception_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback is in the line, which stays one line of JSON."""
    log.configure(LogSettings(format="json"))
    try:
        raise ValueError("what happened")  # noqa: TRY301 - an exception to log
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: what happened" in json.loads(line)["exception"]


def test_settings_can_be_logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret in them is written."""
    monkeypatch.setenv("TIDINGS_REDIS__URL", "redis://:hunter2@127.0.0.1")
    settings = Settings()
    lines = logged(capsys, LogSettings(format="console"), "settings", redis=settings.redis, whole=str(settings))
    assert lines
    assert "hunter2" not in "".join(lines)


FORGED = "2026-01-01 [info] all is well"
TRICKS = {
    "newline": f"a\n{FORGED}",
    "carriage return": f"a\r{FORGED}",
    "line separator": f"a\u2028{FORGED}",
    "paragraph separator": f"a\u2029{FORGED}",
    "next line": f"a\x85{FORGED}",
    "vertical tab": f"a\x0b{FORGED}",
    "terminal title": "a\x1b]0;owned\x07",
    "clear screen": "a\x1b[2J",
    "eight-bit escape": "a\x9b2J",
    "right to left": "a\u202eb",
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("trick", TRICKS)
def test_no_text_from_outside_forges_a_line(capsys: pytest.CaptureFixture[str], form: Any, trick: str) -> None:
    """Whether it comes as an event, a value, a value within a value, a key, or the message of an exception and its causes."""
    log.configure(LogSettings(format=form))
    text = TRICKS[trick]
    try:
        try:
            raise KeyError(text)  # noqa: TRY301 - exceptions to log
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError:
        structlog.get_logger().exception(text, value=text, inner={text: [text, (text,)]}, **{text: 1})
    written = capsys.readouterr().err
    assert not any(character in written for character in "\r\u2028\u2029\x85\x0b\x1b\x9b\x07\u202e")
    assert not [line for line in written.split("\n") if line.startswith(FORGED)]
    assert written.count("\n") == 1 or form == "console"


def test_lines_of_a_traceback_do_not_pass_for_lines_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal a traceback has lines of its own; each is set apart by a bar, and the last one's text is escaped."""
    log.configure(LogSettings(format="console"))
    try:
        raise ValueError(f"a\n{FORGED}")  # noqa: TRY301 - an exception to log
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = capsys.readouterr().err.rstrip("\n").split("\n")
    assert "failed" in first
    assert rest
    assert all(line.startswith(log.BAR) for line in rest)
