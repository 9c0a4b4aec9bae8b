import numpy as np
import pytest
import torch

import training.build
import training.meaning
from tests.unit.training.builders import tiny_adapter, tiny_model, tiny_world, tokenizer_file
from training.adapter import adapter_sha256
from training.errors import GateError, TrainingError
from training.export import export, is_fresh
from training.meaning import MeaningHead, TwoAnswers, layer_means, learn_meaning, load_meaning, read_layers, save_meaning
from training.predict import OnnxModel
from training.repository import ServingSpec
from training.tokens import load_tokenizer, pad, token_ids
from training.trained import load_trained
from worker.score.contract import parse_contract

TEXTS = [f"the {noun} is very {word}" for noun in ("day", "film", "phone", "vote") for word in ("good", "bad", "plain", "day")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tuned tiny model with a second head, exported; the encoder is that of `tiny_world`."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        encoder = tiny_world(patch, folder / "encoder")
        adapter = tiny_adapter(encoder, folder / "adapter")
        learned = learn_meaning(load_trained(adapter), TEXTS)
        save_meaning(learned.head, adapter)
        yield adapter, learned, export(adapter, folder / "repo")


def test_the_head_finds_the_untouched_encoder_again(world) -> None:
    """On texts that it did not learn from: the tuned layers still hold what the texts are about."""
    _, learned, _ = world
    assert learned.cosine > 0.98


def test_sentiment_is_what_it_was(tmp_path) -> None:
    """To the last bit: the second answer reads the layers and changes none."""
    model, head = tiny_model(tmp_path), MeaningHead(96, 8).eval()
    ids, mask = map(torch.from_numpy, pad([[2, 4, 9, 3], [2, 5, 3]]))
    with torch.inference_mode():
        logits, vectors = TwoAnswers(model, head)(ids, mask)
        assert torch.equal(logits, model(ids, mask))
    assert vectors.shape == (2, 8)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_padding_counts_for_nothing(tmp_path) -> None:
    """A layer's mean is over the real tokens."""
    model = tiny_model(tmp_path)
    alone, padded = (map(torch.from_numpy, pad([[2, 4, 3]], length)) for length in (3, 16))
    with torch.inference_mode():
        for one, other in zip(layer_means(model.encoder, *alone), layer_means(model.encoder, *padded), strict=True):
            torch.testing.assert_close(one, other)


def test_the_head_is_read_as_it_was_saved_at_half_precision(world, tmp_path) -> None:
    """An adapter without one has none."""
    adapter, learned, _ = world
    saved = load_meaning(adapter)
    assert saved is not None
    torch.testing.assert_close(saved.map.weight, learned.head.map.weight, atol=1e-3, rtol=1e-3)
    assert load_meaning(tmp_path) is None


def test_the_worker_is_promised_both_answers(world) -> None:
    """The contract names the second output, Triton's configuration too, and the exported file gives what the head says."""
    adapter, _, exported = world
    contract = parse_contract((exported.folder / "contract.json").read_bytes())
    assert contract.outputs == {"logits": 3, "sentence_embedding": 32}
    assert 'name: "sentence_embedding"' in (exported.folder / "config.pbtxt").read_text()
    assert contract.embedding is not None
    assert (exported.folder / contract.embedding.background.file).is_file()
    rows = token_ids(load_tokenizer(tokenizer_file(), 16), ["the day is very good"])
    vectors = OnnxModel(exported.folder / "1" / "model.onnx", "sentence_embedding").logits(*pad(rows, 16))
    head, trained = load_meaning(adapter), load_trained(adapter)
    assert head is not None
    with torch.inference_mode():
        expected = head(torch.from_numpy(read_layers(trained, ["the day is very good"])).float())
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-4)


def test_a_second_export_finds_nothing_to_do(world) -> None:
    """But where the background is gone."""
    adapter, _, exported = world
    assert export(adapter, exported.folder.parent).was_fresh
    made_of, spec = adapter_sha256(adapter), ServingSpec(embedding=32)
    assert is_fresh(exported.folder, exported.contract, made_of, spec)
    (exported.folder / "background.txt").rename(exported.folder / "elsewhere.txt")
    assert not is_fresh(exported.folder, exported.contract, made_of, spec)
    (exported.folder / "elsewhere.txt").rename(exported.folder / "background.txt")


def test_another_head_than_the_proved_one_is_not_exported(world, tmp_path, monkeypatch) -> None:
    """The gate compares each vector with torch's."""
    adapter, _, _ = world
    heads = iter([MeaningHead(96, 32).eval(), MeaningHead(96, 32).eval()])
    monkeypatch.setattr(training.build, "load_meaning", lambda _: next(heads))
    with pytest.raises(GateError, match="from torch's"):
        export(adapter, tmp_path)


def test_too_few_texts_are_refused(world) -> None:
    """A map of thousands of numbers from five texts would be a guess."""
    adapter, _, _ = world
    with pytest.raises(TrainingError, match="too few"):
        learn_meaning(load_trained(adapter), TEXTS[:5])
