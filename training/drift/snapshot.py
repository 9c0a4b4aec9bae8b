"""What the model was judged on, as live rows would tell it: the validation split with what the serving model says of it.

The features alone are kept, in the build folder, by the hash of the model's file; no text is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from training.data import LABELS, Split, load_snippets, of_split
from training.data.records import Record
from training.drift.features import Sample, sample
from training.files import atomic_path
from training.paths import build_dir
from training.promote import versions
from training.promote.answering import FileModel
from training.promote.versions import Version
from training.steps import Say

_HASH_DIGITS = 16


def read_or_make(folder: Path, say: Say) -> Sample:
    """Return the snapshot of the model that serves in `folder`, made once for each model file.

    Raises:
        TrainingError: there is no model, or the data cannot be had.
    """
    serving = versions.serving(folder)
    path = build_dir() / "snapshots" / f"{serving.contract['model']['onnx_sha256'][:_HASH_DIGITS]}.json"
    if not path.is_file():
        say("Making the training snapshot of this model, once")
        _make(serving, path)
    return Sample(**json.loads(path.read_text("utf-8")))


def _make(serving: Version, path: Path) -> None:
    texts = [snippet.text for snippet in of_split(load_snippets(), Split.VALIDATION)]
    said = FileModel(serving).say(texts, progress="Predicting")
    found = sample(_records(texts, said.tolist()))
    with atomic_path(path) as unfinished:
        unfinished.write_text(json.dumps(asdict(found)), "utf-8")


def _records(texts: Sequence[str], said: Sequence[Sequence[float]]) -> Iterator[Record]:
    for number, (text, row) in enumerate(zip(texts, said, strict=True), 1):
        label = LABELS[max(range(len(LABELS)), key=row.__getitem__)]
        yield Record(f"validation row {number}", number, {"text": text, "label": label, "probabilities": row})
