from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.batches import batch_of, rows
from tests.support.tiny_onnx import VOCABULARY, expected_logits, tiny_model
from worker.adapters.onnx import UNBOUNDED_BATCH, OnnxModel
from worker.errors import ContractError, ModelError, RetryableError
from worker.messages import ModelRef
from worker.ports import TokenBatch

REF = ModelRef("sentiment", "1")
WAIT_S = 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a file."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(tiny_model())
    return path


@pytest.fixture
def model(path: Path) -> Iterator[OnnxModel]:
    """A model with two batches at one time."""
    model = OnnxModel(path, REF, threads=1, in_flight=2)
    yield model
    model.close()


def test_several_outputs_stand_side_by_side(path: Path) -> None:
    """In the order they are named."""
    model, batch = OnnxModel(path, REF, threads=1, outputs=("logits", "logits")), batch_of(rows(4))
    answer = model.submit(batch).result(WAIT_S)
    model.close()
    np.testing.assert_allclose(answer, np.concatenate([expected_logits(batch)] * 2, axis=1), atol=1e-5)


def test_logits_are_the_models_own(model: OnnxModel) -> None:
    """What ONNX Runtime says is what numpy says."""
    batch = batch_of(rows(8))
    logits = model.submit(batch).result(WAIT_S)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected_logits(batch), atol=1e-5)


def test_info_is_read_from_the_file(model: OnnxModel) -> None:
    """Names, types and shapes come from the graph; name and version from the contract."""
    info = model.info()
    assert (info.name, info.versions, info.max_batch_size) == ("sentiment", ("1",), UNBOUNDED_BATCH)
    assert info.inputs == {"input_ids": ("INT64", (-1,)), "attention_mask": ("INT64", (-1,))}
    assert info.outputs == {"logits": ("FP32", (3,))}
    assert info.server.startswith("onnxruntime 1.")


def test_a_token_that_the_model_does_not_know_is_refused(model: OnnxModel) -> None:
    """An id past the vocabulary: this batch fails, and the next is served."""
    with pytest.raises(ModelError, match="sentiment cannot take the batch") as refused:
        model.submit(batch_of([[1, VOCABULARY + 1, 2]])).result(WAIT_S)
    assert refused.value.reason == "refused"
    assert model.submit(batch_of(rows(2))).result(WAIT_S).shape == (2, 3)


def test_an_output_that_is_not_there_fails_every_batch(path: Path) -> None:
    """The name in the contract is held to the file's at start; should that have been missed, nothing is scored wrongly."""
    model = OnnxModel(path, REF, outputs=("scores",))
    with pytest.raises(ModelError, match="scores"):
        model.submit(batch_of(rows(1))).result(WAIT_S)
    model.close()


def test_closing_lets_no_future_hang(path: Path) -> None:
    """What runs is finished, what waits fails as retryable, never as cancelled."""
    model = OnnxModel(path, REF, threads=1, in_flight=1)
    large = TokenBatch(np.ones((512, 512), np.int64), np.ones((512, 512), np.int64))
    futures = [model.submit(large) for _ in range(20)]
    model.close()
    outcomes = [future.exception(timeout=0) for future in futures]
    assert all(outcome is None or isinstance(outcome, RetryableError) for outcome in outcomes)
    assert isinstance(outcomes[-1], RetryableError)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    """The message holds the path."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"model\.onnx is no model that ONNX Runtime can run"):
        OnnxModel(path, REF)


def test_a_file_that_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    """Model files are not committed, so this is everybody's first error."""
    with pytest.raises(ContractError, match=r"model\.onnx does not exist; `tidings export` makes it"):
        OnnxModel(tmp_path / "model.onnx", REF)
