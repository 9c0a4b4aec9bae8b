"""A model that judges real text at next to no cost, VADER's lexicon as a table of logits, in a model repository.

Each token of the shipped tokenizer has the valence that VADER gives the word, 0 for most; a text's logits are the mean over
its tokens. Valences are rounded so that every sum is exact in float32: whatever the batch, the padding or the order of adding
up, an answer is the same to the last bit, and what differs between two runs is not the model's doing.

The table ends before the last tokens of the vocabulary. A text with one of those makes ONNX Runtime's Gather fail, and with it
the whole batch, each time it is tried: a poison message that no decoder can see.

The lexicon: C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM 2014; MIT licence.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf import text_format  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from training.paths import repository_dir
from training.repository import (
    CONTRACT_FILE,
    INPUTS,
    MODEL_FILE,
    OUTPUT,
    TOKENIZER_FILE,
    ModelFiles,
    ServingSpec,
    model_config,
    write_model,
)

NAME = "sentiment"
TABLE_ROWS = 29_700
"""Tokens with a row. Those that follow are letters of other alphabets within a word."""
POISON_WORD = "αβγδ"
"""A word whose tokens have no row; the snippets hold none such."""
DECOY_VERSION = "2"

_STEP = 16
"""Valences are multiples of 1/16, and logits of valences multiples of 1."""
_NEUTRAL = 5 / 16
"""The neutral logit: a text is neutral while its mean valence lies within 5/256 of 0."""

Table = NDArray[np.float32]


@cache
def table() -> Table:
    """Return the logits of each token, of shape (TABLE_ROWS, 3), in the order negative, neutral, positive."""
    valences = np.zeros(TABLE_ROWS)
    vocabulary: dict[str, int] = _tokenizer().get_vocab()
    for word, valence in SentimentIntensityAnalyzer().lexicon.items():
        if vocabulary.get(word, TABLE_ROWS) < TABLE_ROWS:
            valences[vocabulary[word]] = round(valence * _STEP)
    return np.stack([-valences, np.full(TABLE_ROWS, _NEUTRAL), valences], axis=1).astype(np.float32)


def onnx_model(rows: Table) -> bytes:
    """Return the ONNX file that gives each text the masked mean of its tokens' rows."""
    constants = {"table": rows, "last": np.array([-1]), "tokens": np.array([1])}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "lexicon",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens_in"]) for name in INPUTS],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected_logits(texts: Sequence[str]) -> Table:
    """Return what the model says of each text, of shape (texts, 3), reckoned without ONNX; texts of up to 256 tokens."""
    encodings = _tokenizer().encode_batch_fast(list(texts))
    return np.stack([table()[encoding.ids].sum(axis=0) / np.float32(len(encoding.ids)) for encoding in encodings])


def token_ids(text: str) -> list[int]:
    """Return the tokens of a text, the two special ones included, none cut off."""
    ids: list[int] = _tokenizer().encode(text).ids
    return ids


def build_repository(folder: Path) -> None:
    """Write `<folder>/sentiment`: version 1 is the model, version 2 a decoy that says the opposite and is not served.

    `contract.json` is the shipped model's, but for what is another's: what it was made of, its digests and its figures; and
    it says nothing of what a text means.

    Raises:
        OSError: the folder cannot be written.
    """
    model, decoy = onnx_model(table()), onnx_model(table()[:, ::-1].copy())
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / MODEL_FILE
        file.write_bytes(model)
        write_model(folder / NAME, ModelFiles(_config(), _contract(model), _tokenizer_json(), file))
    (folder / NAME / DECOY_VERSION).mkdir()
    (folder / NAME / DECOY_VERSION / MODEL_FILE).write_bytes(decoy)


def _config() -> str:
    config = model_config(ServingSpec(name=NAME, cores=1))
    config.version_policy.CopyFrom(pb.ModelVersionPolicy(specific=pb.ModelVersionPolicy.Specific(versions=[1])))
    return str(text_format.MessageToString(config))


def _contract(model: bytes) -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads((_shipped() / CONTRACT_FILE).read_text("utf-8"))
    made = {"adapter_sha256": _sha256(table().tobytes()), "onnx_sha256": _sha256(model), "opset": 17}
    return {
        **shipped,
        "model": {**shipped["model"], **made, "base": "VADER's lexicon"},
        "calibration": {"method": "temperature", "temperature": 1.0},
        "embedding": None,
        "metrics": {},
        "parity": {},
    }


@cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_str(_tokenizer_json())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _tokenizer_json() -> str:
    return (_shipped() / TOKENIZER_FILE).read_text("utf-8")


def _shipped() -> Path:
    return repository_dir() / NAME


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
