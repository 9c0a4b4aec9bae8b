"""What a run learns from and is measured on: the shipped model's snippets, or a folder that `tidings data prepare` made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.augment.enlarge import enlarge
from training.data import DATASET_NAME, LABELS, Snippet, Split, manifest, of_split
from training.data.prepare import REPORT_FILE
from training.data.reading import read_rows
from training.data.rows import Row, content_hash
from training.errors import TrainingError
from training.examples import Example, from_snippets
from training.finetune.texts import Text, from_rows
from training.finetune.texts import from_snippets as texts_of_snippets
from training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Corpus:
    """Three parts of labelled texts; `manifest` is what the model's card says of them."""

    name: str
    manifest: Mapping[str, Any]
    train: Sequence[Text]
    validation: Sequence[Text]
    validation_examples: Sequence[Example]
    test_examples: Sequence[Example]


def of_snippets(snippets: Sequence[Snippet], recipe: Recipe) -> Corpus:
    """Return the rated snippets, with soft targets."""
    train, validation, test = (of_split(snippets, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST))
    return Corpus(
        DATASET_NAME,
        manifest(snippets),
        enlarge(texts_of_snippets(train, recipe), recipe),
        texts_of_snippets(validation, recipe),
        from_snippets(validation),
        from_snippets(test),
    )


def prepared(folder: Path, recipe: Recipe) -> Corpus:
    """Return the parts in a folder of `tidings data prepare`.

    Raises:
        TrainingError: it is no such folder, or a part cannot be read.
    """
    if not (folder / REPORT_FILE).is_file():
        raise TrainingError(f"{folder} was not made by `tidings data prepare`: it has no {REPORT_FILE}")
    parts = {split: read_rows(folder / f"{split.value}.jsonl") for split in Split}
    examples = {split: [Example(row.text, row.label, row.source, row.group) for row in rows] for split, rows in parts.items()}
    return Corpus(
        folder.name,
        _manifest(folder, parts),
        enlarge(from_rows(parts[Split.TRAIN], recipe), recipe),
        from_rows(parts[Split.VALIDATION], recipe),
        examples[Split.VALIDATION],
        examples[Split.TEST],
    )


def _manifest(folder: Path, parts: Mapping[Split, Sequence[Row]]) -> dict[str, Any]:
    report = json.loads((folder / REPORT_FILE).read_text("utf-8"))
    return {
        "name": folder.name,
        "counts": {split.value: _counts(rows) for split, rows in parts.items()},
        "content_sha256": content_hash([row for rows in parts.values() for row in rows]),
        "dropped": report["dropped"],
    }


def _counts(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    found = Counter((row.source, row.label) for row in rows)
    return {source: {label: found[source, label] for label in LABELS} for source in sorted({row.source for row in rows})}
