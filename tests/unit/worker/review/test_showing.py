import io
import json

from rich.console import Console

from tests.unit.worker.builders import feedback, review
from worker.review.showing import answer_json, panel, question_json


def shown(text: str) -> str:
    """What a terminal of 60 columns shows of a question with this text."""
    console = Console(file=io.StringIO(), width=60)
    console.print(panel(review(text=text, source="wire", title="Markets")))
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    return written


def test_a_question_shows_text_prediction_and_keys() -> None:
    """Everything that a person needs to decide, and nothing of it is markup."""
    said = shown("Acme [red]rose[/red]\nagain")
    for part in (
        "Markets",
        "Acme [red]rose[/red]",
        "again",
        "the model says positive at 40%",
        "negative 0.30",
        "wire",
        "[q]uit",
    ):
        assert part in said


def test_nothing_in_a_question_steers_the_terminal() -> None:
    """Texts come from outside."""
    said = shown("a\x1b[2Jb\x07")
    assert not {"\x1b", "\x07"} & set(said)
    assert "a\\x1b[2Jb" in said


def test_json_is_what_stands_on_the_topics() -> None:
    """One object a line."""
    assert json.loads(question_json(review(id="q")))["id"] == "q"
    assert json.loads(answer_json(feedback())) == {
        "id": "m0",
        "text": "Acme rose",
        "label": "negative",
        "annotator": "ann",
        "at": "2023-11-14T22:13:20Z",
        "predicted": "positive",
        "model_version": "1",
    }
