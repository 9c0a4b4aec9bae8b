from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_versions import label_of, texts, write_model
from tests.unit.training.evaluation.test_checklist import write
from training.examples import Example
from training.promote import versions
from training.promote.gates import Bounds, judge
from training.promote.measuring import Pair, measure

EXAMPLES = [Example(text, label_of(text), "tiny", f"g{n}") for n, text in enumerate(texts(60))]
LABELS = ("negative", "neutral", "positive")


def pair(folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> Pair:
    """A model, and one that says the opposite, measured beside it where this is the measuring data's folder."""
    monkeypatch.setenv("TIDINGS_DATA_DIR", str(data))
    serving, candidate = (versions.serving(write_model(folder / name, scale)) for name, scale in (("a", 1.0), ("b", -1.0)))
    return measure(serving, candidate, EXAMPLES, lambda _: None)


def test_checklist_is_put_to_both_models_where_it_is(tmp_path, monkeypatch) -> None:
    """At most twenty cases a test, the same to both; a capability that the candidate has lost is refused by its name."""
    cases = [{"test": "words", "data": text, "label": LABELS.index(label_of(text))} for text in texts(40, seed=5)]
    data = write(tmp_path, [("words", "Vocabulary", "pred==label")], list(cases))
    found = pair(tmp_path, monkeypatch, data)
    assert found.skipped == ()
    assert {name: len(held) for name, held in found.serving.held.items()} == {"Vocabulary": 20}
    assert found.serving.held["Vocabulary"].all()
    checks = {check.name: check for check in judge(found.true, found.groups, found.serving, found.candidate, Bounds())}
    assert not checks["CheckList failures, Vocabulary"].ok
    assert checks["CheckList failures, Vocabulary"].candidate == np.mean(~found.candidate.held["Vocabulary"])


def test_without_the_suite_the_other_gates_are_asked_and_it_is_told(tmp_path, monkeypatch) -> None:
    """With where it was looked for."""
    found = pair(tmp_path, monkeypatch, tmp_path / "nowhere")
    assert found.skipped[0].startswith("CheckList is skipped: ")
    assert "TIDINGS_DATA_DIR" in found.skipped[0]
    checks = judge(found.true, found.groups, found.serving, found.candidate, Bounds())
    assert not [check for check in checks if "CheckList" in check.name]
    assert "accuracy" in {check.name for check in checks}
