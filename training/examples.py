"""Labelled texts to evaluate on: the dataset's own splits, or a person's file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.data import Snippet
from training.data.reading import read_rows
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


def read_examples(path: Path) -> list[Example]:
    """Read labelled texts of a person's own: any file that `tidings data prepare` reads (see `training.data.columns`).

    Raises:
        TrainingError: the file cannot be read, or a row is wrong (named by its line).
    """
    try:
        rows = read_rows(path)
    except TrainingError as error:
        options = "--label" in str(error) or "--column" in str(error)
        raise TrainingError(f"{error} (an option of `tidings data prepare`)" if options else str(error)) from error
    for number, row in enumerate(rows, 1):
        if not row.text:
            raise TrainingError(f"{path}: the text of row {number} is empty")
    return [Example(row.text, row.label, row.source, row.group) for row in rows]
