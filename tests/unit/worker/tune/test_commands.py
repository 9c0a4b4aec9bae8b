from pathlib import Path

import pytest
import yaml

from worker.errors import SettingsError
from worker.testing.model import FakeModel, contract
from worker.tune import commands, measure


def test_texts_are_lines_or_messages(tmp_path: Path) -> None:
    """A JSON object with a text is that text, any other line is one itself, empty ones are none."""
    path = tmp_path / "texts"
    path.write_text('{"id": "m1", "text": "good news"}\n\nplain\n{broken\n', encoding="utf-8")
    assert commands.read(path) == ["good news", "plain", "{broken"]
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(SettingsError, match="holds no text"):
        commands.read(path)


def test_other_settings_stay_as_they_are(tmp_path: Path) -> None:
    """What was found takes its places, and nothing else moves."""
    path = tmp_path / "tidings.yaml"
    path.write_text("delivery: at_least_once\nscore:\n  deadline_ms: 5\n  max_pending: 9\n", encoding="utf-8")
    commands.merge(path, {"score": {"deadline_ms": 40, "buckets": [8, 64]}})
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found == {"delivery": "at_least_once", "score": {"deadline_ms": 40, "max_pending": 9, "buckets": [8, 64]}}
    commands.merge(tmp_path / "new.yaml", {"score": {"in_flight": 2}})
    assert yaml.safe_load((tmp_path / "new.yaml").read_text(encoding="utf-8")) == {"score": {"in_flight": 2}}
    path.write_text("- a\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="holds no settings"):
        commands.merge(path, {})


def test_a_model_is_tuned_within_its_contract() -> None:
    """Edges end at the model's maximum, no batch was larger than it takes, and every text fits."""
    model, steps, of = FakeModel(), list[str](), contract()
    found = measure.tune(model, of, [[1] * length for length in (4, 9, 9, 30, 64)], 300.0, steps.append)
    assert found.buckets[-1] == of.max_length
    assert max(texts for texts, _ in model.shapes) <= of.max_batch_size
    assert 2 <= found.deadline_ms <= 500
    assert 0 <= found.padding < 1
    assert all(seconds >= 0 for seconds in found.model_cost)
    assert steps
