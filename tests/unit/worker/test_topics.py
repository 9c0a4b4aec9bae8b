import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from tests.unit.worker.score.role_builders import Words
from tests.unit.worker.topics_builders import FILE, SERVED, TEXTS, Opener, digest, promised, repository, vector
from worker.errors import ContractError, ModelError, SettingsError
from worker.messages import ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import Contract, parse_contract
from worker.score.matching import WatchedTopic
from worker.settings import ModelSettings, ScoreSettings, Settings
from worker.testing.model import FakeModel, contract
from worker.topics import background, find_encoder, understand

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
FLOODS = WatchedTopic(name="floods", description="wet", examples=("very wet", "water"), threshold=0.9)
TRAINS = WatchedTopic(name="trains", description="late")


def test_thresholds_come_from_the_model_that_is_asked(tmp_path: Path) -> None:
    """Of every described topic, in the watchlist's order; the model is opened for its embeddings, and closed."""
    settings, opener = repository(tmp_path), Opener()
    encoder = find_encoder(settings, contract())
    meaning = understand(settings, encoder, (FLOODS, TRAINS), opener.tools())
    assert [topic.topic for topic in meaning.thresholds] == ["floods", "trains"]
    assert meaning.thresholds[0].threshold == 0.9
    assert meaning.thresholds[1].share == pytest.approx(0.02, abs=0.006)
    assert meaning.dimensions == 4
    assert opener.outputs == ("vector",)
    assert max(texts for texts, _ in opener.model.shapes) <= 64
    assert {tokens for _, tokens in opener.model.shapes} <= {16, 32, 64}
    with pytest.raises(ModelError, match="closed"):
        opener.model.info()


def test_each_topic_is_made_of_its_own_passages(tmp_path: Path) -> None:
    """A text that is said in one topic's words is most like that one."""
    settings, opener = repository(tmp_path), Opener()
    meaning = understand(settings, find_encoder(settings, contract()), (TRAINS, FLOODS), opener.tools())
    (late,) = meaning.find(np.array([vector(Words().encode(["late"])[0])], np.float32))
    assert late["trains"] == pytest.approx(1.0, abs=1e-3)
    assert "floods" not in late


def test_a_model_that_scores_may_give_embeddings_itself(tmp_path: Path) -> None:
    """Then no second one is looked for, and its own background is taken."""
    body = json.loads((ROOT / "triton_repo" / "sentiment" / "contract.json").read_bytes())
    body["embedding"] = {"output": "meaning", "dimensions": 4, "background": {"file": "b.txt", "sha256": digest(FILE)}}
    both: Contract = parse_contract(json.dumps(body).encode())
    (tmp_path / "sentiment").mkdir()
    (tmp_path / "sentiment" / "b.txt").write_bytes(FILE)
    settings = Settings(model=ModelSettings(repository=tmp_path))
    encoder = find_encoder(settings, both)
    assert encoder.second is None
    assert encoder.contract.outputs == {"logits": 3, "meaning": 4}
    assert background(settings, encoder) == TEXTS


def test_without_a_model_it_is_said_what_makes_one(tmp_path: Path) -> None:
    """And why one is needed."""
    with pytest.raises(ContractError, match=r"tidings export --embedding.*topics with a description"):
        find_encoder(Settings(model=ModelSettings(repository=tmp_path)), contract())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokenizer": {"file": "tokenizer.json", "sha256": "1" * 64}}, "its tokenizer is another one"),
        ({"pad_id": 1}, "its tokenizer is another one"),
        ({"max_length": 32, "buckets": [16, 32]}, "it takes 32 tokens at most, batches have up to 64"),
        ({"buckets": [16, 32]}, "buckets: expected rising lengths that end at max_length, 64"),
        ({"inputs": ["ids"]}, "inputs: expected"),
        ({"schema_version": 2}, "schema_version: expected 1, got 2"),
        ({"embedding": {"output": "vector", "dimensions": 0}}, "embedding.dimensions"),
        ({"model": promised()["model"] | {"onnx_sha256": "2" * 64}}, "1/model.onnx is not the file of the contract"),
    ],
)
def test_a_model_that_cannot_be_asked_the_same_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """By its contract, before anything is asked."""
    with pytest.raises(ContractError) as refused:
        find_encoder(repository(tmp_path, **changes), contract())
    assert says in str(refused.value)


def test_a_background_that_was_changed_is_refused(tmp_path: Path) -> None:
    """The thresholds would not be those that everybody else has."""
    settings = repository(tmp_path)
    (tmp_path / "embedding" / "b.txt").write_bytes(FILE + b"one more\n")
    with pytest.raises(ContractError, match=r"b\.txt is not the file of the contract"):
        background(settings, find_encoder(settings, contract()))


def test_a_background_may_be_ones_own(tmp_path: Path) -> None:
    """One text a line; empty lines are none."""
    mine = tmp_path / "mine.txt"
    mine.write_text("\n\n".join(TEXTS[:150]) + "\n")
    encoder = find_encoder(repository(tmp_path), contract())
    assert background(Settings(score=ScoreSettings(background=mine)), encoder) == TEXTS[:150]


@pytest.mark.parametrize(("body", "says"), [(None, "cannot be read"), (b"\xff", "cannot be read"), (b"one\n", "has 1 texts")])
def test_a_background_of_ones_own_that_cannot_serve_is_refused(tmp_path: Path, body: bytes | None, says: str) -> None:
    """By the setting that names it."""
    mine = tmp_path / "mine.txt"
    if body is not None:
        mine.write_bytes(body)
    encoder = find_encoder(repository(tmp_path), contract())
    with pytest.raises(SettingsError, match=says) as refused:
        background(Settings(score=ScoreSettings(background=mine)), encoder)
    assert "score.background" in str(refused.value)


def test_a_served_model_that_is_another_one_is_refused(tmp_path: Path) -> None:
    """The server says what it serves."""
    settings = repository(tmp_path)
    opener = Opener(FakeModel(vector, info=ModelInfo(**{**_fields(SERVED), "outputs": {"vector": ("FP32", (5,))}})))
    with pytest.raises(ContractError, match=r"output vector: the contract says FP32 \[4\], the server says FP32 \[5\]"):
        understand(settings, find_encoder(settings, contract()), (FLOODS,), opener.tools())


def _fields(info: ModelInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__struct_fields__}


def test_embeddings_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """No threshold could be made of them."""
    settings = repository(tmp_path)
    opener = Opener(FakeModel(lambda _ids: [float("nan")] * 4, info=SERVED))
    with pytest.raises(ContractError, match="no numbers"):
        understand(settings, find_encoder(settings, contract()), (FLOODS,), opener.tools())


def test_a_model_that_is_away_is_asked_again(tmp_path: Path) -> None:
    """`until` decides how often; each batch is asked by itself, so that one that was answered is not asked again."""

    def away(call: int, _batch: TokenBatch) -> ModelError | None:
        return ModelError("unavailable", "nobody there") if call == 1 else None

    def patient(call: Callable[[], T]) -> T:
        try:
            return call()
        except ModelError:
            return call()

    settings, opener = repository(tmp_path), Opener(FakeModel(vector, failure=away, info=SERVED))
    encoder = find_encoder(settings, contract())
    patiently = understand(settings, encoder, (TRAINS,), opener.tools(patient))
    untroubled = Opener()
    assert patiently.thresholds == understand(settings, encoder, (TRAINS,), untroubled.tools()).thresholds
    assert len(opener.model.shapes) == len(untroubled.model.shapes) + 1


def test_the_second_model_is_named_as_triton_names_it(tmp_path: Path) -> None:
    """By its contract, not by its folder."""
    encoder = find_encoder(repository(tmp_path), contract())
    assert encoder.contract.model.ref == ModelRef("embedding", "1")
