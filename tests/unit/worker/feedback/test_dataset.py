import json
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.worker.builders import feedback, record
from worker.codec import encode_feedback
from worker.feedback.dataset import row, rows_of
from worker.messages import Feedback, Label, Record


def at(minute: int) -> datetime:
    """A time of that day."""
    return datetime(2026, 11, 30, 12, minute, tzinfo=UTC)


def said(name: str, label: Label, minute: int, annotator: str = "ann") -> Record:
    """An answer as it lies on the topic."""
    return record(encode_feedback(feedback(id=name, label=label, at=at(minute), annotator=annotator)))


def test_each_persons_last_word_on_each_message_counts() -> None:
    """By the time of the answer, in whatever order partitions are read; what cannot be read is counted."""
    found = rows_of(
        [
            said("a", "negative", 2),
            said("b", "neutral", 3),
            said("a", "positive", 1),
            said("a", "positive", 4, annotator="kim"),
            said("b", "positive", 5),
            record(b"no answer"),
            record(None),
        ]
    )
    assert [(one.id, one.annotator, one.label) for one in found.answers] == [
        ("a", "ann", "negative"),
        ("b", "ann", "positive"),
        ("a", "kim", "positive"),
    ]
    assert (found.replaced, found.unreadable) == (2, 2)


def test_a_row_is_what_training_reads(tmp_path: Path) -> None:
    """The reader of labelled files finds text, label, group, source and time by itself."""
    from training.data.columns import Columns  # noqa: PLC0415 - the one test that holds the two sides together
    from training.data.reading import read_all  # noqa: PLC0415

    answer: Feedback = feedback(text="Ärger\nwith lines", label="negative", at=at(7))
    path = tmp_path / "feedback.jsonl"
    path.write_bytes(row(answer))
    assert len(path.read_text("utf-8").splitlines()) == 1
    (read,) = read_all([path], Columns())
    assert (read.text, read.label, read.group, read.source) == (answer.text, "negative", answer.id, "feedback")
    assert json.loads(path.read_text("utf-8"))["predicted"] == answer.predicted
