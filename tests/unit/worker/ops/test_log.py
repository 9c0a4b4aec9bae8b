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
