import numpy as np
import pytest
import torch

import training.embedding
import training.export
from tests.unit.training.builders import snippets, tiny_encoder, tiny_world
from training.data import Split
from training.device import Device
from training.embedding import EmbeddingModel, background_texts, prove
from training.errors import GateError
from training.export import EMBEDDING, Exported, export_embedding
from training.files import sha256_of
from training.onnx_file import write_onnx
from training.predict import OnnxModel
from training.repository import ServingSpec
from training.tokens import pad
from worker.score.contract import parse_embedding_contract


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny encoder, exported once as a model of embeddings."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        encoder = tiny_world(patch, folder / "encoder")
        patch.setattr(training.embedding, "fetch_encoder", lambda: encoder)
        patch.setattr(training.embedding, "load_snippets", snippets)
        patch.setattr(training.export, "EMBEDDING", ServingSpec("embedding", output=EMBEDDING.output, columns=32))
        yield folder, export_embedding(folder / "repo")


def test_the_worker_can_read_the_contract(world) -> None:
    """And it describes the files beside it."""
    _, exported = world
    contract = parse_embedding_contract((exported.folder / "contract.json").read_bytes())
    assert contract.outputs == {"sentence_embedding": 32}
    assert contract.model.onnx_sha256 == sha256_of(exported.folder / "1" / "model.onnx")
    assert contract.tokenizer.sha256 == sha256_of(exported.folder / "tokenizer.json")
    assert contract.embedding.background.sha256 == sha256_of(exported.folder / "background.txt")
    assert 'name: "sentence_embedding"' in (exported.folder / "config.pbtxt").read_text()


def test_vectors_are_the_mean_over_real_tokens_at_length_one(world) -> None:
    """What the exported model says is what torch says, whatever the padding."""
    folder, exported = world
    rows = [[2, 4, 7, 3], [2, 5, 3]]
    vectors = OnnxModel(exported.folder / "1" / "model.onnx", "sentence_embedding").logits(*pad(rows, 16))
    encoder = tiny_encoder(folder / "again")
    for row, vector in zip(rows, vectors, strict=True):
        with torch.inference_mode():
            hidden = encoder(input_ids=torch.tensor([row])).last_hidden_state[0].mean(dim=0).numpy()
        np.testing.assert_allclose(vector, hidden / np.linalg.norm(hidden), atol=1e-5)


def test_a_second_export_finds_nothing_to_do(world, monkeypatch) -> None:
    """Nothing is loaded."""
    folder, exported = world
    monkeypatch.setattr(training.embedding, "build_embedding", None)
    assert export_embedding(folder / "repo") == Exported(exported.folder, exported.contract, was_fresh=True)


@pytest.mark.parametrize("name", ["1/model.onnx", "background.txt", "tokenizer.json", "config.pbtxt", "contract.json"])
def test_a_missing_file_is_exported_again(world, monkeypatch, name: str) -> None:
    """Whatever is not what the contract promises."""
    folder, exported = world
    asked: list[ServingSpec] = []
    monkeypatch.setattr(training.embedding, "build_embedding", lambda _folder, spec, *_: asked.append(spec))
    (exported.folder / name).rename(folder / "aside")
    try:
        assert not export_embedding(folder / "repo").was_fresh
    finally:
        (folder / "aside").rename(exported.folder / name)
    assert len(asked) == 1


def test_another_device_is_another_export(world, monkeypatch) -> None:
    """The configuration changes with it."""
    asked: list[ServingSpec] = []
    monkeypatch.setattr(training.embedding, "build_embedding", lambda _folder, spec, *_: asked.append(spec))
    assert not export_embedding(world[0] / "repo", ServingSpec(device=Device.GPU)).was_fresh
    assert [spec.device for spec in asked] == [Device.GPU]


def test_the_background_is_of_the_training_split_and_every_source() -> None:
    """One line each, none twice, and always the same ones."""
    texts = background_texts(snippets())
    of_training = {s.text for s in snippets() if s.split is Split.TRAIN}
    assert set(texts) <= of_training
    assert len(set(texts)) == len(texts) == len(of_training)
    assert background_texts(list(reversed(snippets()))) == texts


def test_a_model_that_is_not_the_encoder_is_not_exported(tmp_path) -> None:
    """The gate compares with torch."""
    model, other = (EmbeddingModel(tiny_encoder(tmp_path / str(seed), seed)).eval() for seed in (0, 1))
    write_onnx(other, tmp_path / "model.onnx", outputs=("sentence_embedding",))
    with pytest.raises(GateError, match="from torch's"):
        prove(model, OnnxModel(tmp_path / "model.onnx", "sentence_embedding"), [[2, 4, 3], [2, 5, 7, 3]])
