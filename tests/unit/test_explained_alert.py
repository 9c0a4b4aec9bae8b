"""`tidings alerts show --explain`: the worker asks, training answers, and JSON is all they share."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.tiny_versions import label_of, write_model
from tests.unit.worker.alert.builders import event
from worker.errors import SelectionError
from worker.messages import AlertEvent, ModelRef, Origin, Sample
from worker.open_alerts import explaining

ROOT = Path(__file__).parents[2]
TEXTS = ("w7 w8 w7 w9", "w40, w41!", "...")


def offering() -> EntryPoint:
    """The entry point as pyproject.toml declares it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][explaining.GROUP]
    [(name, value)] = declared.items()
    return EntryPoint(name, value, explaining.GROUP)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training package is installed beside the worker."""
    monkeypatch.setattr(explaining, "entry_points", lambda group: [offering()] if group == explaining.GROUP else [])


def alert(version: str = "1", **fields: Any) -> AlertEvent:
    """An alert on messages of this model."""
    samples = tuple(Sample(f"m{n}", text, -0.9, None, 5, Origin("chat", 0, n)) for n, text in enumerate(TEXTS))
    plain = event(model=ModelRef("sentiment", version), **fields)
    return replace(plain, evidence=replace(plain.evidence, samples=samples))


@pytest.mark.usefixtures("offered")
def test_each_message_of_the_evidence_is_explained_by_its_words(tmp_path: Path) -> None:
    """By the model that serves, in the messages' order; a word's weight is what the label loses without it."""
    write_model(tmp_path / "sentiment")
    found = explaining.explained(alert(), tmp_path)
    assert found.model == ModelRef("sentiment", "1")
    first, second, none = found.explanations
    assert none is None, "a text without a word"
    assert first is not None
    assert second is not None
    assert (first.text, first.label) == (TEXTS[0], label_of(TEXTS[0]))
    assert [word.word for word in first.words] == ["w7", "w8", "w7", "w9"]
    assert [word.word for word in second.words] == ["w40", ",", "w41", "!"]
    assert all(first.text[word.start : word.end] == word.word for word in first.words)
    strongest = max(first.words, key=lambda word: abs(word.weight))
    without = first.text[: strongest.start] + first.text[strongest.end :]
    asked = {"repository": str(tmp_path), "model": {"name": "sentiment", "version": "1"}, "texts": [without]}
    [again] = json.loads(offering().load()(json.dumps(asked).encode()))["explanations"]
    lost = first.probabilities[first.label] - again["probabilities"][first.label]
    assert strongest.weight == pytest.approx(lost, abs=1e-6)
    shown = explaining.shown(found, ModelRef("sentiment", "1")).plain
    assert all(text in shown for text in TEXTS[:2])
    assert "the alert is by" not in shown


@pytest.mark.usefixtures("offered")
def test_a_model_that_is_gone_is_answered_for_by_the_one_that_serves(tmp_path: Path) -> None:
    """And that is said."""
    write_model(tmp_path / "sentiment")
    found = explaining.explained(alert("7"), tmp_path)
    assert found.model.version == "1"
    assert "version 1; the alert is by version 7" in explaining.shown(found, ModelRef("sentiment", "7")).plain


@pytest.mark.usefixtures("offered")
def test_what_cannot_be_explained_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model in the repository, none in the alert, and nobody to ask: each in one line with what to do."""
    with pytest.raises(SelectionError, match=r"cannot be explained here: .*contract\.json cannot be read"):
        explaining.explained(alert(), tmp_path)
    with pytest.raises(SelectionError, match="names no model"):
        explaining.explained(replace(alert(), model=None), tmp_path)
    monkeypatch.setattr(explaining, "entry_points", lambda **_: [])
    with pytest.raises(SelectionError, match=r"tidings\[train\]"):
        explaining.explained(alert(), tmp_path)


def test_nothing_in_a_text_steers_the_terminal() -> None:
    """Control characters are shown, not obeyed."""
    words = (explaining.Word("w\x1b[2J", 0, 6, 1.0),)
    one = explaining.Explanation("w\x1b[2J ok", "negative", {"negative": 0.9}, "occlusion", words)
    assert "\x1b" not in explaining.shown(explaining.Explained(ModelRef("m", "1"), (one,)), None).plain
