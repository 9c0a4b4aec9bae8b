"""What all peers share: the exported model on ONNX Runtime, the tokenizer, and the JSON that comes in and goes out.

The settings come from the environment: PEER_BOOTSTRAP, PEER_INPUT, PEER_OUTPUT, PEER_GROUP, PEER_MODEL (model.onnx),
PEER_TOKENIZER (tokenizer.json), PEER_MAX_LENGTH, PEER_BATCH (texts at once, for those that can) and PEER_WAIT_S.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Tokenizer

BOOTSTRAP, INPUT, OUTPUT, GROUP = (os.environ[f"PEER_{name}"] for name in ("BOOTSTRAP", "INPUT", "OUTPUT", "GROUP"))
BATCH, WAIT_S = int(os.environ["PEER_BATCH"]), float(os.environ["PEER_WAIT_S"])
LABELS = ("negative", "neutral", "positive")


class Engine:
    """The same engine and variant for everybody, as these libraries are usually called: a batch padded to its longest text."""

    def __init__(self) -> None:
        self._session = ort.InferenceSession(os.environ["PEER_MODEL"], providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(os.environ["PEER_TOKENIZER"])
        self._tokenizer.enable_truncation(int(os.environ["PEER_MAX_LENGTH"]))
        self._tokenizer.enable_padding()

    def score(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a prediction for each message."""
        encoded = self._tokenizer.encode_batch([message["text"] for message in messages])
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        logits = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        return [prediction(message["id"], row.tolist()) for message, row in zip(messages, shares, strict=True)]


def prediction(name: str, shares: Sequence[float]) -> dict[str, Any]:
    """Return what goes out."""
    probabilities = dict(zip(LABELS, shares, strict=True))
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"id": name, "label": label, "probabilities": probabilities}


def encoded(found: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return a prediction's key and value."""
    return found["id"].encode(), json.dumps(found).encode()
