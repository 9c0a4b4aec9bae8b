import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from tests.unit.training.builders import snippets, tiny_encoder, tokenizer_file
from training.errors import TrainingError
from training.finetune.texts import Text, embeddings_of, from_snippets, rows_of
from training.finetune.trainer import Material, Watch, finetune, parameter_groups
from training.model import SentimentModel, load_encoder, load_model, new_model, save_adapter
from training.predict import TorchModel, logits_of
from training.quiet import quiet_libraries
from training.recipe import Loss, Method, Recipe

BASE = Recipe(epochs=3, batch_size=8, learning_rate=2e-2, lora_rank=4, lora_alpha=8, head_dropout=0.0, bf16=False)
RATES = {Method.FULL: 2e-3, Method.HEAD: 5e-2, Method.PROMPT: 5e-2}


def material(folder: Path, recipe: Recipe) -> Material:
    """The learnable texts and the tiny encoder."""
    tiny_encoder(folder)
    with quiet_libraries():
        encoder = load_encoder(folder)
    texts = from_snippets(snippets(), recipe)
    return Material(encoder, tokenizer_file(), texts[:96], texts[96:])


def trained(folder: Path, recipe: Recipe, watch: Watch | None = None) -> tuple[SentimentModel, float]:
    """A model of the recipe, and its validation macro-F1."""
    with quiet_libraries():
        model, run = finetune(recipe, material(folder, recipe), watch)
    return model, run.validation_macro_f1


@pytest.mark.parametrize("method", list(Method))
def test_every_method_learns_and_comes_back_from_disk(tmp_path, method: Method) -> None:
    """It beats guessing by far on texts whose label is one word, and a saved one answers as it did, up to half precision."""
    recipe = replace(BASE, method=method, learning_rate=RATES.get(method, BASE.learning_rate))
    model, macro_f1 = trained(tmp_path / "encoder", recipe)
    assert macro_f1 > (0.5 if method is Method.HEAD else 0.9)
    save_adapter(model, recipe, tmp_path / "adapter")
    with quiet_libraries():
        again = load_model(tmp_path / "adapter", load_encoder(tmp_path / "encoder"))
    rows = [[2, 4, 9, 3], [2, 5, 7, 8, 3], [2, 6, 3]]
    before, after = (logits_of(TorchModel(one), rows) for one in (model, again))
    np.testing.assert_allclose(after, before, atol=0.05)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()


@pytest.mark.parametrize("method", [Method.LORA, Method.ADALORA, Method.ADAPTERS, Method.PROMPT])
def test_what_is_put_in_is_all_that_is_trained(tmp_path, method: Method) -> None:
    """The encoder's own weights are what they were, to the bit."""
    recipe = replace(BASE, method=method, epochs=1)
    found = material(tmp_path, recipe)
    before = {name: value.clone() for name, value in found.encoder.state_dict().items()}
    with quiet_libraries():
        finetune(recipe, found)
    after = dict(found.encoder.state_dict())
    same = [name for name in before if name in after]
    assert same
    assert all(torch.equal(before[name], after[name]) for name in same)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": Loss.ORDINAL},
        {"class_weights": True},
        {"adversary": 0.5},
        {"average": 0.9},
        {"preserve": 1.0},
        {"layer_decay": 0.8, "method": Method.FULL, "learning_rate": 2e-3},
        {"gradient_checkpointing": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_term_and_trick_still_learns(tmp_path, change: dict[str, object]) -> None:
    """Each alone, in a whole run."""
    _, macro_f1 = trained(tmp_path, replace(BASE, **change))  # type: ignore[arg-type]
    assert macro_f1 > 0.9


def test_preservation_keeps_embeddings_where_they_were(tmp_path) -> None:
    """With the term, texts move less from where the untouched encoder puts them than without it."""
    ids = [[2, 4, 9, 3], [2, 5, 7, 8, 3], [2, 6, 12, 3]]
    tiny_encoder(tmp_path / "0")
    with quiet_libraries():
        reference = embeddings_of(load_encoder(tmp_path / "0"), ids)
    cosines = []
    for weight in (0.0, 20.0):
        model, _ = trained(tmp_path / f"w{weight}", replace(BASE, preserve=weight))
        moved = embeddings_of(model.encoder, ids)
        cosines.append(
            float(np.mean((moved * reference).sum(1) / np.linalg.norm(moved, axis=1) / np.linalg.norm(reference, axis=1)))
        )
    assert cosines[1] > cosines[0]
    assert cosines[1] > 0.9


def test_the_prior_is_taken_off_the_bias(tmp_path) -> None:
    """A model trained on one label above all says it less once its share is off the logits."""
    plain, _ = trained(tmp_path / "a", replace(BASE, epochs=0.2))
    adjusted, _ = trained(tmp_path / "b", replace(BASE, epochs=0.2, prior_strength=1.0))
    targets = torch.tensor([row["targets"] for row in rows_of(material(tmp_path / "c", BASE).train, tokenizer_file(), 32)])
    gap = plain.head.bias - adjusted.head.bias
    torch.testing.assert_close(gap, targets.mean(dim=0).log())


def test_a_broken_run_goes_on_and_ends_as_one_that_was_not(tmp_path) -> None:
    """From the last checkpoint, with the average and the best so far, to the very same weights."""
    recipe = replace(BASE, epochs=3, average=0.9)
    whole, _ = trained(tmp_path / "a", recipe)

    def stop(epoch: int, _: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", recipe, Watch(checkpoints=tmp_path / "checkpoints", heard=stop))
    resumed, _ = trained(tmp_path / "c", recipe, Watch(checkpoints=tmp_path / "checkpoints", resume=True))
    for (name, one), (_, other) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_there_must_be_something_to_go_on_from(tmp_path) -> None:
    """The message says which option to leave out."""
    with pytest.raises(TrainingError, match="leave out --resume"):
        trained(tmp_path / "a", BASE, Watch(checkpoints=tmp_path / "none", resume=True))


def test_a_part_without_texts_is_refused(tmp_path) -> None:
    """Before anything is loaded or written."""
    found = material(tmp_path, BASE)
    with pytest.raises(TrainingError, match="one part is empty"):
        finetune(BASE, Material(found.encoder, found.tokenizer, found.train, list[Text]()))


def test_lower_layers_learn_more_slowly(tmp_path) -> None:
    """The head at the full rate, each layer below at a share of it, the embeddings the slowest; no decay on biases."""
    recipe = replace(BASE, method=Method.FULL, layer_decay=0.5, learning_rate=1.0, weight_decay=0.1)
    model = new_model(tiny_encoder(tmp_path), recipe)
    rates = {id(value): group["lr"] for group in parameter_groups(model, recipe) for value in group["params"]}
    decays = {id(value): group["weight_decay"] for group in parameter_groups(model, recipe) for value in group["params"]}
    named = dict(model.named_parameters())
    assert rates[id(named["head.weight"])] == 1.0
    assert rates[id(named["encoder.encoder.layer.1.output.dense.weight"])] == 1.0
    assert rates[id(named["encoder.encoder.layer.0.output.dense.weight"])] == 0.5
    assert rates[id(named["encoder.embeddings.word_embeddings.weight"])] == 0.25
    assert decays[id(named["head.weight"])] == 0.1
    assert decays[id(named["head.bias"])] == 0.0


def test_frozen_layers_stay_as_they_are(tmp_path) -> None:
    """A full fine-tune of the upper layers alone."""
    model = new_model(tiny_encoder(tmp_path), replace(BASE, method=Method.FULL, frozen_layers=1))
    trained_names = {name for name, value in model.named_parameters() if value.requires_grad}
    assert any("layer.1." in name for name in trained_names)
    assert not any("layer.0." in name or "embeddings" in name for name in trained_names)


def test_curves_are_written_where_they_are_wanted(tmp_path) -> None:
    """Loss and macro-F1 by step, for TensorBoard; nothing of it lies among the checkpoints."""
    trained(tmp_path / "encoder", replace(BASE, epochs=1), Watch(logs=tmp_path / "logs"))
    accumulator = EventAccumulator(str(tmp_path / "logs"))
    accumulator.Reload()
    assert "eval/macro_f1" in accumulator.Tags()["scalars"]


def test_without_tensorboard_the_message_says_what_to_install(tmp_path, monkeypatch) -> None:
    """It is an extra of its own."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"tidings\[tensorboard\]"):
        trained(tmp_path / "encoder", BASE, Watch(logs=tmp_path / "logs"))
