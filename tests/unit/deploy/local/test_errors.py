from pathlib import Path

from deploy.local.errors import TAIL_LINES, LocalStackError, tail


def test_the_message_is_what_is_shown() -> None:
    """Every error of the stack carries the text for the command line."""
    assert LocalStackError("do this").message == str(LocalStackError("do this")) == "do this"


def test_tail_shows_the_last_lines(tmp_path: Path) -> None:
    """The last lines that are not empty, indented, in order."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n\n" for number in range(100)))
    lines = tail(log).splitlines()
    assert (len(lines), lines[-1]) == (TAIL_LINES, "    line 99")


def test_tail_shows_errors_from_further_up(tmp_path: Path) -> None:
    """What went wrong is often followed by pages of farewell; it is shown all the same."""
    log = tmp_path / "log"
    log.write_text("E1122 10:00:00 model.cc:1] no such opset\n" + "bye\n" * 50)
    lines = tail(log).splitlines()
    assert lines[:2] == ["    E1122 10:00:00 model.cc:1] no such opset", "    ..."]
    assert len(lines) == TAIL_LINES + 2


def test_tail_says_when_there_is_nothing(tmp_path: Path) -> None:
    """An empty log and an absent one are told apart, and bytes that are no text do no harm."""
    log = tmp_path / "log"
    assert "no log" in tail(log)
    log.write_bytes(b"")
    assert "empty" in tail(log)
    log.write_bytes(b"\xff\xfe broken")
    assert "broken" in tail(log)
