"""Without a terminal the demo prints plain lines, and a screenshot is an image of the view."""

import io
from pathlib import Path

from rich.console import Console

from deploy.local.demo.show import Camera, PlainLines, progress_line, save_screenshot, shown, steps
from deploy.local.demo.stage import Stage
from tests.unit.deploy.demo.builders import a_good_run, a_stage, an_alert


def a_console() -> tuple[Console, io.StringIO]:
    """No terminal, and what was printed on it."""
    file = io.StringIO()
    return Console(file=file, width=80), file


def lines_of(stage: Stage, times: int = 1) -> list[str]:
    """What is printed when the stage is shown so many times."""
    console, file = a_console()
    lines = PlainLines(stage, console)
    for _ in range(times):
        lines()
    return file.getvalue().splitlines()


def test_events_are_printed_once() -> None:
    """Each alert event has one line, however often the stage is shown."""
    lines = lines_of(a_good_run(), times=3)
    assert [line.split()[0] for line in lines] == ["FIRING", "RESOLVED", "10/10"]


def test_progress_comes_now_and_then() -> None:
    """A line when the words change, and otherwise one every five seconds."""
    console, file = a_console()
    stage = a_stage()
    lines = PlainLines(stage, console)
    for stage.now_s, stage.words in ((0.0, "a"), (1.0, "a"), (2.0, "b"), (6.0, "b"), (7.0, "b")):
        lines()
    assert [line[-1] for line in file.getvalue().splitlines()] == ["a", "b", "b"]


def test_no_terminal_no_live_view() -> None:
    """Where output is not a terminal, lines are printed."""
    console, _ = a_console()
    with shown(a_stage(), console, plain=False) as show:
        assert isinstance(show, PlainLines)


def test_a_terminal_has_a_live_view() -> None:
    """On a terminal the view is drawn, with its frame."""
    file = io.StringIO()
    console = Console(file=file, width=120, height=60, force_terminal=True)
    with shown(a_good_run(), console, plain=False) as show:
        show()
    assert "╭─ sentiment" in file.getvalue()


def test_the_line_before_anything_happened() -> None:
    """Without a message there is no share and no latency."""
    assert "topic:film negative -" in progress_line(a_stage())


def test_screenshot(tmp_path: Path) -> None:
    """The image is SVG and holds the view's words; folders are made."""
    path = tmp_path / "docs" / "demo.svg"
    save_screenshot(a_good_run(), path)
    image = path.read_text("utf-8")
    assert image.startswith("<svg")
    assert "RESOLVED" in image
    assert "font-face" not in image


def test_the_picture_is_taken_once_when_the_alert_has_resolved(tmp_path: Path) -> None:
    """Not before, and not again."""
    shown_times: list[int] = []
    path = tmp_path / "demo.svg"
    stage = a_stage()
    camera = Camera(stage, lambda: shown_times.append(1), path)
    camera()
    assert not path.exists()
    for state in ("firing", "resolved"):
        stage.alerts.on_topic(an_alert(state))
    camera()
    stage.words = "later"
    camera()
    camera.take()
    assert "later" not in path.read_text("utf-8")
    assert len(shown_times) == 3


def test_a_run_without_an_alert_has_its_picture_too(tmp_path: Path) -> None:
    """It is taken at the end."""
    path = tmp_path / "demo.svg"
    Camera(a_stage(), lambda: None, path).take()
    assert path.exists()


def test_steps_are_lines_without_a_terminal() -> None:
    """Set-up says what it does, one line a step."""
    console, file = a_console()
    with steps(console) as say:
        say("waiting for kafka")
    assert "waiting for kafka\n" in file.getvalue()
