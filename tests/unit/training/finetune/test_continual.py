from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import training.trained
from tests.unit.training.builders import tokenizer_file
from tests.unit.training.finetune.builders import TINY, encoder, score, texts
from training.finetune.continual import Batch, Memory, go_on, remembered
from training.finetune.texts import Text
from training.finetune.trainer import Material, finetune
from training.model import save_adapter
from training.quiet import quiet_libraries
from training.recipe import Method


def new_texts() -> list[Text]:
    """A language of its own: what was plain is bad there, and nothing is plain."""
    words = {"phone": "positive", "vote": "negative"}
    found = [(f"very very {word} {n}", label) for n in range(40) for word, label in words.items()]
    return [Text(text, label, (1.0, 0.0, 0.0) if label == "negative" else (0.0, 0.0, 1.0)) for text, label in found]


@pytest.fixture(params=[Method.LORA, Method.FULL])
def adapter(request, tmp_path: Path, monkeypatch) -> Path:
    """A model of the old texts, saved."""
    recipe = replace(TINY, epochs=3, method=request.param, learning_rate=2e-3 if request.param is Method.FULL else 2e-2)
    base = encoder(tmp_path / "encoder")
    with quiet_libraries():
        model, _ = finetune(recipe, Material(base, tokenizer_file(), texts()[:96], texts()[96:]))
    save_adapter(model, recipe, tmp_path / "adapter")
    (tmp_path / "encoder" / "tokenizer.json").write_text(tokenizer_file())
    monkeypatch.setattr(training.trained, "fetch_encoder", lambda _: tmp_path / "encoder")
    return tmp_path / "adapter"


def test_what_is_new_is_learned_and_what_is_old_is_kept(adapter: Path) -> None:
    """With replay, the old test is as good as before; without, it suffers."""
    recipe, batch = replace(TINY, epochs=3, learning_rate=4e-3), Batch(new_texts()[:64], new_texts()[64:], texts()[:96])
    with quiet_libraries():
        kept, _ = go_on(adapter, recipe, batch, Memory(replay=1.0))
        lost, _ = go_on(adapter, recipe, batch, Memory(replay=0.0))
    labels = {"negative", "positive"}
    assert {one.label for one in new_texts()} == labels
    assert score(kept, new_texts()[64:]) > 0.6
    assert score(kept, texts()[96:]) > 0.9
    assert score(lost, texts()[96:]) < score(kept, texts()[96:])


def test_targets_are_drawn_to_what_the_model_says(adapter: Path) -> None:
    """By the share that is asked for, and they stay probabilities."""
    trained = training.trained.load_trained(adapter)
    old = texts()[:8]
    said, mixed = (remembered(trained.model, trained.tokenizer, old, share) for share in (1.0, 0.5))
    for before, pure, half in zip(old, said, mixed, strict=True):
        np.testing.assert_allclose(half.targets, (np.array(before.targets) + np.array(pure.targets)) / 2, atol=1e-9)
        assert sum(half.targets) == pytest.approx(1.0, abs=1e-6)
