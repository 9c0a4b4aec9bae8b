import json
from pathlib import Path

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from tests.chaos import lexicon
from worker.score.calibration import Calibration
from worker.score.contract import onnx_mismatches, parse_contract, tokenizer_mismatches

TEXTS = ["A wonderful film, I loved it.", "A terrible bore.", "The train leaves at nine.", "great " * 60, "awful, awful day"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder in a repository just built."""
    repository = tmp_path_factory.mktemp("repository")
    lexicon.build_repository(repository)
    return repository / lexicon.NAME


def session(folder: Path, version: str = "1") -> ort.InferenceSession:
    """A model as ONNX Runtime loads it."""
    return ort.InferenceSession(str(folder / version / "model.onnx"), providers=["CPUExecutionProvider"])


def answer(model: ort.InferenceSession, texts: list[str], length: int = 128) -> lexicon.Table:
    """Logits of a batch padded to `length`."""
    ids, mask = np.zeros((2, len(texts), length), np.int64)
    for row, text in enumerate(texts):
        tokens = lexicon.token_ids(text)
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    logits: lexicon.Table = model.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return logits


def test_contract_passes_the_workers_checks(folder: Path) -> None:
    """Digests of tokenizer and model, and the rest of what the worker looks at."""
    contract = parse_contract((folder / "contract.json").read_bytes())
    assert tokenizer_mismatches(contract, (folder / contract.tokenizer.file).read_bytes()) == []
    assert onnx_mismatches(contract, (folder / "1" / "model.onnx").read_bytes()) == []
    assert onnx_mismatches(contract, (folder / "2" / "model.onnx").read_bytes()) != []


def test_two_builds_are_the_same(folder: Path, tmp_path: Path) -> None:
    """Byte for byte, so that two runs have one model."""
    lexicon.build_repository(tmp_path)
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) == 5
    assert all((folder / file).read_bytes() == (tmp_path / lexicon.NAME / file).read_bytes() for file in files)


def test_triton_serves_version_1_alone(folder: Path) -> None:
    """The decoy is there, and is not loaded."""
    config = text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())
    assert list(config.version_policy.specific.versions) == [1]
    assert json.loads((folder / "contract.json").read_text())["model"]["version"] == "1"


def test_model_says_what_numpy_says(folder: Path) -> None:
    """And a person: good, bad, neither."""
    logits = answer(session(folder), TEXTS)
    np.testing.assert_array_equal(logits, lexicon.expected_logits(TEXTS))
    assert logits.argmax(axis=1).tolist() == [2, 0, 1, 2, 0]


def test_decoy_says_the_opposite(folder: Path) -> None:
    """Whoever is answered by it is found out."""
    logits = answer(session(folder, "2"), TEXTS)
    np.testing.assert_array_equal(logits, lexicon.expected_logits(TEXTS)[:, ::-1])


def test_answers_do_not_depend_on_neighbours_or_padding(folder: Path) -> None:
    """To the last bit, and so do the probabilities that the worker makes of them."""
    model, calibration = session(folder), Calibration(1.0)
    batched = answer(model, [*TEXTS * 6, "so good"])
    assert set(batched[0::5][:-1, 0]) == {batched[0, 0]}
    whole = calibration.sentiments(batched)
    for at, text in enumerate(TEXTS):
        for length in (64, 256):
            alone = answer(model, [text], length)
            np.testing.assert_array_equal(alone[0], batched[at])
            assert calibration.sentiments(alone) == [whole[at]]


def test_poison_fails_whatever_is_beside_it(folder: Path) -> None:
    """The run as a whole fails, and the rest of the batch is answered without it."""
    model = session(folder)
    ort.set_default_logger_severity(4)
    with pytest.raises(InvalidArgument, match="out of data bounds"):
        answer(model, [*TEXTS, f"Bad {lexicon.POISON_WORD} here"])
    assert answer(model, TEXTS).shape == (5, 3)
