import pytest
import torch
from torch import Tensor

from tests.unit.training.builders import tiny_adapter, tiny_encoder
from tests.unit.training.compress.builders import rated, tiny_sentiment, word_pieces
from training.compress.compact import Compact, load_compact, save_compact
from training.compress.pruning import (
    Batch,
    drop_layers,
    importance,
    layers_of,
    least,
    least_each,
    plain_bert,
    prune_heads,
    prune_neurons,
)
from training.compress.rows import labelled_batches
from training.data import Split
from training.errors import TrainingError
from training.model import SentimentModel, load_model
from training.onnx_file import write_onnx
from training.predict import OnnxModel
from training.quiet import quiet_libraries


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    """Two batches of real rows."""
    return list(labelled_batches(rated(Split.VALIDATION)[:16], word_pieces(), batch_size=8))


@torch.inference_mode()
def logits(model: SentimentModel, batch: Batch) -> Tensor:
    """The model's answers to a batch."""
    found: Tensor = model(batch["input_ids"], batch["attention_mask"])
    return found


def size(model: SentimentModel) -> int:
    """How many weights there are."""
    return sum(weights.numel() for weights in model.parameters())


def silence_head(model: SentimentModel, layer: int, head: int) -> None:
    """Make what one head says count for nothing."""
    with torch.no_grad():
        layers_of(model.encoder)[layer].attention.output.dense.weight[:, head * 8 : (head + 1) * 8] = 0


def test_a_head_that_counts_for_nothing_has_no_importance_and_pruning_it_changes_nothing(batches) -> None:
    """And only that head: the others' gradients are not zero."""
    model = tiny_sentiment()
    silence_head(model, layer=0, head=2)
    silence_head(model, layer=1, head=0)
    before, weights = logits(model, batches[0]), size(model)
    scores = importance(model, batches).heads
    pruned = {layer: [h for h, score in enumerate(row.tolist()) if score == 0] for layer, row in enumerate(scores)}
    assert pruned == {0: [2], 1: [0]} == least(scores, share=0.25)
    prune_heads(model.encoder, pruned)
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-6)
    assert weights - size(model) == 2 * (3 * (32 * 8 + 8) + 8 * 32)


def test_a_neuron_that_counts_for_nothing_can_go(batches) -> None:
    """The same for the feed-forward part."""
    model = tiny_sentiment()
    with torch.no_grad():
        layers_of(model.encoder)[1].output.dense.weight[:, [3, 40]] = 0
    before = logits(model, batches[1])
    pruned = least(importance(model, batches).neurons, share=2 / 128)
    assert pruned == {1: [3, 40]}
    prune_neurons(model.encoder, pruned)
    assert torch.allclose(logits(model, batches[1]), before, atol=1e-6)
    assert layers_of(model.encoder)[1].intermediate.dense.out_features == 62


def test_importance_is_the_gradient_of_a_mask(batches) -> None:
    """Against differences: the loss of one text with a head turned down a little."""
    model = tiny_sentiment().double()
    one = {name: value[:1].double() if name == "targets" else value[:1] for name, value in batches[0].items()}
    scores = importance(model, [one]).heads[0]
    change = 1e-4
    found = []
    for head in range(4):
        dense = layers_of(model.encoder)[0].attention.output.dense
        columns = slice(head * 8, (head + 1) * 8)
        kept = dense.weight[:, columns].detach().clone()
        before = torch.nn.functional.cross_entropy(logits(model, one), one["targets"])
        with torch.no_grad():
            dense.weight[:, columns] = kept * (1 - change)
        found.append(abs(before - torch.nn.functional.cross_entropy(logits(model, one), one["targets"])) / change)
        with torch.no_grad():
            dense.weight[:, columns] = kept
    expected = torch.stack(found)
    assert torch.allclose(scores.double(), expected / expected.norm(), atol=2e-3)


def test_importance_leaves_the_model_as_it_was(batches) -> None:
    """No hook, no gradient, no mode changed."""
    model = tiny_sentiment().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    importance(model, batches)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weights.grad is None for weights in model.parameters())
    assert torch.equal(logits(model.eval(), batches[0]), logits(tiny_sentiment(), batches[0]))


def test_importance_of_no_texts_is_refused() -> None:
    """Zeros all over would prune at random."""
    with pytest.raises(TrainingError, match="no texts"):
        importance(tiny_sentiment(), [])


def test_the_kept_layers_are_the_model(batches) -> None:
    """Dropping the last of three layers is the model of the first two; the order is the caller's."""
    model, other = tiny_sentiment(layers=3), tiny_sentiment(layers=3)
    drop_layers(model.encoder, [0, 1])
    assert plain_bert(model.encoder).config.num_hidden_layers == 2
    assert torch.equal(layers_of(model.encoder)[1].output.dense.weight, layers_of(other.encoder)[1].output.dense.weight)
    drop_layers(other.encoder, [1, 0])
    assert not torch.allclose(logits(model, batches[0]), logits(other, batches[0]))


@pytest.mark.parametrize("keep", [[], [2], [-1]])
def test_a_layer_that_is_not_there_is_named(keep: list[int]) -> None:
    """Also a negative number: which layer that is depends on what was dropped before."""
    with pytest.raises(TrainingError, match="layers 0 to 1"):
        drop_layers(tiny_sentiment().encoder, keep)


def test_no_layer_loses_its_last_head() -> None:
    """It would answer nothing; whoever wants that drops the layer."""
    with pytest.raises(TrainingError, match="drop the layer"):
        prune_heads(tiny_sentiment().encoder, {1: [0, 1, 2, 3]})


@pytest.mark.parametrize(("share", "expected"), [(0.0, {}), (0.5, {0: [0], 1: [1]}), (1.0, {0: [0], 1: [1]})])
def test_the_least_important_go_first_and_one_a_layer_stays(share: float, expected: dict[int, list[int]]) -> None:
    """Over all layers together, not the same number in each."""
    assert least([torch.tensor([0.1, 0.9]), torch.tensor([0.8, 0.2])], share) == expected


def test_each_layer_can_keep_the_same_number() -> None:
    """Which makes a student of known cost."""
    assert least_each([torch.tensor([0.1, 0.9, 0.5]), torch.tensor([0.8, 0.2, 0.3])], keep=2) == {0: [0], 1: [1]}


def test_an_encoder_with_an_adapter_is_refused(tmp_path) -> None:
    """Its matrices are not where they seem to be."""
    tiny_encoder(tmp_path / "encoder")
    tiny_adapter(tmp_path / "encoder", tmp_path / "adapter")
    with quiet_libraries():
        model = load_model(tmp_path / "adapter", tiny_encoder(tmp_path / "encoder"))
    with pytest.raises(TrainingError, match="merge its adapter first"):
        layers_of(model.encoder)


@pytest.fixture(scope="module")
def pruned(batches) -> SentimentModel:
    """A model whose layers have different shapes."""
    model = tiny_sentiment(layers=3)
    found = importance(model, batches)
    prune_heads(model.encoder, {0: [1], 1: [0, 2, 3]})
    prune_neurons(model.encoder, least(found.neurons, share=0.4))
    drop_layers(model.encoder, [0, 1])
    return model


def test_a_pruned_model_comes_back_from_its_folder(pruned, batches, tmp_path) -> None:
    """Shapes that no configuration tells are read off the weights."""
    save_compact(Compact(pruned, word_pieces(), 1.5), tmp_path / "model")
    again = load_compact(tmp_path / "model")
    assert (again.tokenizer, again.temperature) == (word_pieces(), 1.5)
    assert [layer.attention.self.num_attention_heads for layer in layers_of(again.model.encoder)] == [3, 1]
    assert torch.equal(logits(again.model, batches[0]), logits(pruned, batches[0]))


def test_a_pruned_model_is_exported(pruned, batches, tmp_path) -> None:
    """The ONNX file has the smaller matrices, and answers the same."""
    write_onnx(pruned, tmp_path / "model.onnx")
    batch = batches[0]
    exported = OnnxModel(tmp_path / "model.onnx").logits(batch["input_ids"].numpy(), batch["attention_mask"].numpy())
    assert torch.allclose(torch.from_numpy(exported), logits(pruned, batch), atol=1e-5)


def test_a_folder_without_a_model_is_named(tmp_path) -> None:
    """By the file that is missing."""
    with pytest.raises(TrainingError, match=r"has no config\.json"):
        load_compact(tmp_path)
