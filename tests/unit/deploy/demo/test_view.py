"""The view shows what happened, in words and figures, and draws in any state."""

import io

import pytest
from rich.console import Console

from deploy.local.demo.board import Tally
from deploy.local.demo.stage import Stage
from deploy.local.demo.view import TALL, WIDTH, figures_of, render, spark
from tests.unit.deploy.demo.builders import a_good_run, a_stage


def drawn(stage: Stage, height: int = TALL, width: int = WIDTH) -> str:
    """The view as text."""
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(render(stage, height))
    return console.export_text()


def test_before_anything_happened() -> None:
    """An empty run can be drawn."""
    assert "none yet" in drawn(a_stage())


def test_the_evidence_is_there() -> None:
    """An alert comes with its figures and its worst texts; a text is never taken for markup."""
    text = drawn(a_good_run())
    for words in ("FIRING", "RESOLVED", "topic:film", "30 of 40 negative (75%), lower bound 0.62 ≥ 0.50", "a dull film [red]"):
        assert words in text


def test_parts_and_dead_letters_are_there() -> None:
    """Versions, stand-ins and dead letters are named."""
    text = drawn(a_good_run())
    for words in ("apache-kafka 4.3.1", "onnx in-process  stand-in", "a number: not_an_object", "1 of 1"):
        assert words in text


def test_it_says_what_is_arranged() -> None:
    """The view says that the order of the texts is arranged."""
    assert "the order" in drawn(a_stage())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width(width: int) -> None:
    """No line is wider than the terminal."""
    lines = drawn(a_good_run(), width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_short_terminal_sees_the_last_event() -> None:
    """With few lines only the newest event is shown."""
    text = drawn(a_good_run(), height=24)
    assert "RESOLVED" in text
    assert "FIRING" not in text


def test_spark() -> None:
    """A bar for each tally, as high as the share; a dot for nothing."""
    text = spark([Tally(4, 0), Tally(), Tally(4, 2), Tally(4, 4)])
    assert text.plain == "▁·▅█"


def test_a_bound_below_its_threshold_says_so() -> None:
    """The sign follows the figures."""
    resolved = a_good_run().alerts.events[-1]
    assert "lower bound 0.20 < 0.50" in figures_of(resolved)
