"""What all peers share: the exported model on ONNX Runtime, the tokenizer, and the JSON that comes in and goes out.

The settings come from the environment: PEER_BOOTSTRAP, PEER_INPUT, PEER_OUTPUT, PEER_GROUP, PEER_MODEL (model.onnx),
PEER_TOKENIZER (tokenizer.json), PEER_MAX_LENGTH, PEER_BATCH (texts at once, for those that can) and PEER_WAIT_S.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Tokenizer

BOOTSTRAP, INPUT, OUTPUT, GROUP = (os.environ[f"PEER_{name}"] for name in ("BOOTSTRAP", "INPUT", "OUTPUT", "GROUP"))
BATCH, WAIT_S = int(os.environ["PEER_BATCH"]), float(os.environ["PEER_WAIT_S"])
LABELS = ("negative", "neutral", "positive")
AT_ONCE = 8
"""What the model is quickest with on a CPU."""


class Engine:
    """The same engine and variant for everybody, used as well as it can be: sorted by length, in eights, a core for each.

    One message at a time has all cores.
    """

    def __init__(self) -> None:
        self._cores = len(os.sched_getaffinity(0))
        self._tokenizer = Tokenizer.from_file(os.environ["PEER_TOKENIZER"])
        self._tokenizer.enable_truncation(int(os.environ["PEER_MAX_LENGTH"]))
        self._pool = ThreadPoolExecutor(self._cores)

    def score(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a prediction for each message."""
        rows = [one.ids for one in self._tokenizer.encode_batch([message["text"] for message in messages])]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        parts = [order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE)]
        session = _session(1 if len(parts) > 1 else self._cores)
        logits = np.empty((len(rows), len(LABELS)), np.float32)
        for part, found in zip(
            parts, self._pool.map(lambda part: _run(session, [rows[place] for place in part]), parts), strict=True
        ):
            logits[part] = found
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        return [prediction(message["id"], row.tolist()) for message, row in zip(messages, shares, strict=True)]


@cache
def _session(threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, rows: Sequence[Sequence[int]]) -> Any:
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def prediction(name: str, shares: Sequence[float]) -> dict[str, Any]:
    """Return what goes out."""
    probabilities = dict(zip(LABELS, shares, strict=True))
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"id": name, "label": label, "probabilities": probabilities}


def encoded(found: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return a prediction's key and value."""
    return found["id"].encode(), json.dumps(found).encode()
