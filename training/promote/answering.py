"""What a version's file says here, by the runtime it is served on. Without torch, whose import a rollback must not wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.special import softmax  # type: ignore[import-untyped]

from training.metrics import Floats
from training.promote.versions import Version
from training.repository import INPUTS, MODEL_FILE, TOKENIZER_FILE
from training.tokens import Ids, load_tokenizer, pad, token_ids
from training.variant import Variant

Logits = NDArray[np.float32]
_BATCH = 32


class FileModel:
    """The model of a version with all that its answers need: tokenizer, lengths, temperature."""

    def __init__(self, version: Version) -> None:
        contract = version.contract
        self._ask = _runtime(version)
        self._temperature = float(contract["calibration"]["temperature"])
        tokenizer = (version.folder.parent / TOKENIZER_FILE).read_text("utf-8")
        self._tokenizer = load_tokenizer(tokenizer, contract["max_length"])

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of the texts."""
        return token_ids(self._tokenizer, texts)

    def logits(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return float32 logits [texts, 3] for int64 ids and mask [texts, tokens]."""
        return self._ask(input_ids, attention_mask)

    def probabilities(self, logits: Logits) -> Floats:
        """Return calibrated probabilities [n, 3] of logits [n, 3]."""
        return np.asarray(softmax(logits.astype(np.float64) / self._temperature, axis=1))

    def say(self, texts: Sequence[str], progress: str | None = None) -> Floats:
        """Return calibrated probabilities [n, 3], asked in batches of similar length; `progress` names a bar."""
        rows = self.rows(texts)
        order = np.argsort([len(row) for row in rows], kind="stable")
        answers = np.empty((len(rows), 3), dtype=np.float32)
        starts = range(0, len(rows), _BATCH)
        for start in track(starts, progress or "", console=Console(stderr=True), disable=progress is None, transient=True):
            some = order[start : start + _BATCH]
            answers[some] = self._ask(*pad([rows[index] for index in some]))
        return self.probabilities(answers)


def _runtime(version: Version) -> Callable[[Ids, Ids], Logits]:
    path, contract = version.folder / MODEL_FILE, version.contract
    if (variant := Variant(contract["model"]["precision"])) is not Variant.FP32:
        from training.predict import exported_model  # noqa: PLC0415 - imports torch, and only other variants need it

        return exported_model(path, variant).logits
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several wait for the slowest of them, and on a busy machine that is what would be timed
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def ask(input_ids: Ids, attention_mask: Ids) -> Logits:
        feeds = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        return np.asarray(session.run([contract["output"]], feeds)[0], dtype=np.float32)

    return ask
