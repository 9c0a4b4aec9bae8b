"""Labelled texts to evaluate on: the dataset's own splits, or a person's file."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.data import LABELS, Snippet, label_of
from training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its true label; `source` is what results are broken down by, `group` what belongs together."""

    text: str
    label: str
    source: str
    group: str


def from_snippets(snippets: Iterable[Snippet]) -> list[Example]:
    """Return the snippets as examples."""
    return [Example(s.text, s.label, s.source.value, s.group) for s in snippets]


def read_tsv(path: Path) -> list[Example]:
    """Read a tab-separated file with a header: `text`, and `label` or `rating`; optional `source` and `group`.

    Raises:
        TrainingError: the file cannot be read, has no usable column or row, or a row is wrong (named by its line).
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            _check_columns(path, reader.fieldnames or ())
            examples = [_example(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error
    if not examples:
        raise TrainingError(f"{path} has no rows below its header")
    return examples


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    found = set(columns)
    if "text" not in found or not found & {"label", "rating"}:
        raise TrainingError(f"{path}: the first line must name the columns `text` and `label` or `rating`, tab-separated")


def _example(path: Path, line: int, row: dict[str, str | None]) -> Example:
    text = row["text"] or ""
    if not text.strip():
        raise TrainingError(f"{path}:{line}: the text is empty")
    return Example(text, _label(path, line, row), row.get("source") or path.stem, row.get("group") or f"line-{line}")


def _label(path: Path, line: int, row: dict[str, str | None]) -> str:
    label = row.get("label") or _label_of_rating(row.get("rating"))
    if label not in LABELS:
        raise TrainingError(f"{path}:{line}: expected a label of {', '.join(LABELS)} or a rating from -4 to 4")
    return label


def _label_of_rating(rating: str | None) -> str:
    try:
        return label_of(float(rating or ""))
    except ValueError:
        return ""
