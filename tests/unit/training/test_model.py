import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel

from tests.unit.training.builders import tiny_encoder
from training.adapter import adapter_sha256
from training.data import LABELS, label_of
from training.errors import TrainingError
from training.model import load_encoder, load_model, mean_pool, merge, new_model, save_adapter, soft_labels
from training.quiet import quiet_libraries
from training.recipe import Method, Recipe

RECIPE = Recipe(lora_rank=2, lora_alpha=4, head_dropout=0.0)
IDS = torch.tensor([[2, 4, 5, 3], [2, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def trained(folder):
    """A model whose adapter does something: fresh LoRA weights add nothing."""
    with quiet_libraries():
        model = new_model(tiny_encoder(folder), RECIPE)
    torch.manual_seed(5)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.2)
    return model.eval()


def reloaded(adapter, encoder):
    """The adapter as it comes back from disk."""
    with quiet_libraries():
        return load_model(adapter, load_encoder(encoder))


def test_the_mean_goes_over_real_tokens_only() -> None:
    """Padding has no part in the embedding."""
    hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert mean_pool(hidden, torch.tensor([[1, 1, 0]])).tolist() == [[2.0]]


def test_a_text_of_no_tokens_has_an_embedding() -> None:
    """An all-padding row gives zeros, not NaN."""
    assert mean_pool(torch.ones(1, 2, 4), torch.zeros(1, 2, dtype=torch.int64)).tolist() == [[0.0] * 4]


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=20), st.floats(0.05, 1))
def test_soft_labels_are_probabilities(ratings: list[float], sigma: float) -> None:
    """They sum to one and none is negative."""
    soft = soft_labels(torch.tensor(ratings), sigma)
    assert torch.allclose(soft.sum(dim=1), torch.ones(len(ratings)), atol=1e-5)
    assert soft.min() >= -1e-6


@pytest.mark.parametrize("rating", [-3.0, -1.0, 0.0, 0.2, 1.0, 3.0])
def test_soft_labels_lean_to_the_label(rating: float) -> None:
    """Away from a threshold, the most likely soft label is the label itself."""
    [soft] = soft_labels(torch.tensor([rating]), 0.35)
    assert LABELS[int(soft.argmax())] == label_of(rating)


def test_a_rating_on_the_threshold_is_half_and_half() -> None:
    """The noise says what a hard label hides."""
    [soft] = soft_labels(torch.tensor([0.5]), 0.35)
    assert soft[2].item() == pytest.approx(0.5)


def test_only_adapter_and_head_are_trained(tmp_path) -> None:
    """The encoder's own weights stay frozen."""
    with quiet_libraries():
        model = new_model(tiny_encoder(tmp_path), RECIPE)
    trained = {name for name, weights in model.named_parameters() if weights.requires_grad}
    assert trained
    assert all("lora_" in name or name.startswith("head.") for name in trained)


def test_a_saved_adapter_answers_as_the_model_did(tmp_path) -> None:
    """Up to the half precision that its weights are stored in."""
    model = trained(tmp_path / "encoder")
    save_adapter(model, RECIPE, tmp_path / "adapter")
    with torch.inference_mode():
        again = reloaded(tmp_path / "adapter", tmp_path / "encoder")(IDS, MASK)
        assert torch.allclose(again, model(IDS, MASK), atol=2e-3)


def test_merging_changes_no_answer(tmp_path) -> None:
    """The updates move into the encoder's weights."""
    model = trained(tmp_path / "encoder")
    with torch.inference_mode():
        before = model(IDS, MASK)
        merged = merge(model)
        assert not isinstance(merged.encoder, PeftModel)
        assert torch.allclose(merged(IDS, MASK), before, atol=1e-5)


def test_a_saved_adapter_names_no_path_of_this_machine(tmp_path) -> None:
    """The configuration carries the encoder's name, not where it lay."""
    save_adapter(trained(tmp_path / "encoder"), RECIPE, tmp_path / "adapter")
    assert str(tmp_path) not in (tmp_path / "adapter" / "adapter_config.json").read_text()


def test_the_hash_is_of_everything_that_shapes_predictions(tmp_path) -> None:
    """Another temperature is another model; another model card is not."""
    save_adapter(trained(tmp_path / "encoder"), RECIPE, tmp_path / "adapter")
    (tmp_path / "adapter" / "calibration.json").write_text("{}")
    first = adapter_sha256(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").write_text("card")
    assert adapter_sha256(tmp_path / "adapter") == first
    (tmp_path / "adapter" / "calibration.json").write_text('{"temperature": 2}')
    assert adapter_sha256(tmp_path / "adapter") != first


def test_a_folder_without_an_adapter_is_named(tmp_path) -> None:
    """The message says which file is missing and what to run."""
    with pytest.raises(TrainingError, match=r"no adapter_config\.json: run `tidings train`"):
        load_model(tmp_path, tiny_encoder(tmp_path / "encoder"))


def test_weights_for_another_encoder_are_refused(tmp_path) -> None:
    """A full fine-tune of one encoder is not poured into another."""
    recipe = Recipe(method=Method.FULL)
    with quiet_libraries():
        model = new_model(tiny_encoder(tmp_path / "encoder"), recipe)
    save_adapter(model, recipe, tmp_path / "adapter")
    with quiet_libraries():
        smaller = load_encoder(tmp_path / "encoder", layers=1)
    with pytest.raises(TrainingError, match="does not fit this encoder"):
        load_model(tmp_path / "adapter", smaller)


def test_an_encoder_cannot_be_cut_where_it_has_no_layer(tmp_path) -> None:
    """The message says how many there are."""
    tiny_encoder(tmp_path)
    with pytest.raises(TrainingError, match="has 2 layers, not 3"):
        load_encoder(tmp_path, layers=3)
