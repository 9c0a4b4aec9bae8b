"""A task's model in Triton's repository: ONNX, held to the gates of every export, with a contract that names its columns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.adapter import RECIPE_FILE, adapter_sha256
from training.compress.int8 import as_variant
from training.contract import BUCKETS, MAX_LENGTH, SCHEMA_VERSION, Made
from training.data import DATASET_NAME, Split, load_snippets, of_split
from training.encoder import shown_name
from training.files import sha256_of, sha256_of_text
from training.gates import BATCH, EXACT, PARITY, Agreement, drawn, require
from training.model import merge
from training.onnx_file import OPSET, write_onnx
from training.predict import LogitsModel, TorchModel, exported_model
from training.recipe import Recipe
from training.repository import INPUTS, MODEL_FILE, TOKENIZER_FILE, VERSION, ModelFiles, ServingSpec, config_pbtxt, write_model
from training.steps import Say
from training.tasks.heads import Answers, Head, TaskModel, answers_of, read_head
from training.tokens import PAD_ID, load_tokenizer, pad, token_ids
from training.train import METRICS_FILE
from training.variant import Variant


def task_spec(adapter: Path, spec: ServingSpec) -> ServingSpec:
    """Return how Triton serves the adapter's model: under its task's name, with a column for each of its outputs."""
    task = Recipe.read(adapter / RECIPE_FILE).task
    head = read_head(adapter, task)
    return replace(spec, name=task.value, columns=len(head.outputs), per_token=head.per_token)


def build_task(adapter: Path, folder: Path, spec: ServingSpec, say: Say) -> dict[str, Any]:
    """Put the adapter's model at `folder` and return its contract.

    The texts of the gates are those of every export, the test split of the snippets: any text shows whether two models agree.

    Raises:
        GateError: the exported model is not the one that was trained, or an answer depends on its neighbours; `folder` is left
            as it was.
    """
    say("Merging the adapter and writing ONNX")
    saved = TaskModel(adapter)
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        write_onnx(merge(saved.model), onnx)
        as_variant(onnx, spec.variant, lambda: _ids(saved.tokenizer, Split.TRAIN))
        rows, exported = _ids(saved.tokenizer, Split.TEST), exported_model(onnx, spec.variant)
        parity = prove(exported, TaskModel(adapter), rows, spec.variant, say)
        made = Made(adapter_sha256(adapter), sha256_of(onnx), sha256_of_text(saved.tokenizer), shown_name(saved.recipe.encoder))
        measured = json.loads((adapter / METRICS_FILE).read_text("utf-8"))
        written = _contract(spec, made, saved, measured, parity)
        write_model(folder, ModelFiles(config_pbtxt(spec), written, saved.tokenizer, onnx))
    return written


def prove(
    exported: LogitsModel, trained: TaskModel, rows: Sequence[Sequence[int]], variant: Variant, say: Say
) -> dict[str, Agreement]:
    """Hold the exported model to torch and to itself among other texts; `rows` are token ids.

    Raises:
        GateError: a decision (a topic said, a token's tag) or a probability differs by more than the variant may.
    """
    say("Checking that no answer depends on its neighbours in a batch")
    alone, among = _alone_and_among(exported, rows, padded=variant is not Variant.FP32)
    neighbours = require(agreement(trained.head, alone, among), "independence from batch neighbours", EXACT)
    say("Checking parity with the torch model")
    answers, reference = answers_of(exported, rows), answers_of(TorchModel(trained.model), rows)
    same = require(agreement(trained.head, reference, answers), "parity with the torch model", PARITY[variant])
    return {"torch": same, "neighbours": neighbours}


def agreement(head: Head, reference: Answers, answers: Answers) -> Agreement:
    """Compare two sets of answers to the same texts: every decision, and every probability."""
    (before, decided), (after, again) = head.judged(reference), head.judged(answers)
    return Agreement(decided.size, int((decided != again).sum()), float(np.abs(before - after).max()))


def _alone_and_among(model: LogitsModel, rows: Sequence[Sequence[int]], *, padded: bool) -> tuple[Answers, Answers]:
    alone: Answers = []
    among: Answers = []
    for chosen, bucket in drawn(rows, BUCKETS, seed=0):
        alone += [_cut(model.logits(*pad([row], bucket if padded else None))[0], row) for row in chosen]
        for start in range(0, len(chosen), BATCH):
            batch = chosen[start : start + BATCH]
            among += [_cut(one, row) for one, row in zip(model.logits(*pad(batch, bucket)), batch, strict=True)]
    return alone, among


def _cut(logits: Any, row: Sequence[int]) -> Any:
    return logits[: len(row)] if logits.ndim == 2 else logits


def _ids(tokenizer: str, split: Split) -> list[list[int]]:
    texts = [snippet.text for snippet in of_split(load_snippets(), split)]
    return token_ids(load_tokenizer(tokenizer, MAX_LENGTH), texts)


def _contract(
    spec: ServingSpec, made: Made, saved: TaskModel, measured: Mapping[str, Any], parity: Mapping[str, Agreement]
) -> dict[str, Any]:
    test, manifest = measured["test"], measured["manifest"]
    return {
        "schema_version": SCHEMA_VERSION,
        "task": saved.recipe.task.value,
        "model": {
            "name": spec.name,
            "version": VERSION,
            "base": made.base,
            "adapter_sha256": made.adapter,
            "onnx_sha256": made.onnx,
            "precision": spec.variant.value,
            "opset": OPSET,
        },
        **saved.head.settings(),
        "inputs": list(INPUTS),
        "output": spec.output,
        "columns": list(saved.head.outputs),
        "per_token": saved.head.per_token,
        "max_length": MAX_LENGTH,
        "buckets": list(BUCKETS),
        "max_batch_size": spec.max_batch_size,
        "pad_id": PAD_ID,
        "tokenizer": {"file": TOKENIZER_FILE, "sha256": made.tokenizer},
        "data": {"name": manifest["name"], "sha256": manifest["content_sha256"]},
        "metrics": {"split": "test", "rows": test["rows"], **{name: round(test[name], 4) for name in ("micro_f1", "macro_f1")}},
        "parity": {"texts": f"{DATASET_NAME}, test split", **{name: _gate(found) for name, found in parity.items()}},
    }


def _gate(found: Agreement) -> dict[str, Any]:
    return {
        "decisions": found.answers,
        "decisions_changed": found.labels_changed,
        "probability_gap_below": found.gap_below,
    }
