import io

from rich.console import Console

from tests.unit.training.test_evaluate import case
from training.evaluate import Evaluation, compare
from training.report import show


def shown(width: int = 80) -> str:
    """The report as a terminal of this width shows it."""
    terminal = io.StringIO()
    show(Evaluation("onnx", "mine.tsv", 1.0, compare(*case())), Console(file=terminal, width=width))
    return terminal.getvalue()


def test_every_source_and_label_is_named_on_80_columns() -> None:
    """Nothing is cut on the narrowest terminal in use."""
    text = shown()
    for needed in ("overall", "chat", "news", "VADER", "accuracy", "negative", "neutral", "positive", "precision"):
        assert needed in text
    assert "\u2026" not in text


def test_figures_stand_over_their_intervals() -> None:
    """A perfect model has an interval of no width."""
    assert "1.000..1.000" in shown()
