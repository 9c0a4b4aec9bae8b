"""Labelled sets that the model never saw, read from the folder of the measuring data.

What is special about some of them:

- `newsmtsc` asks for the sentiment towards a named person, once per person, so a sentence may be there twice with different
  labels. A model that is not told the person answers the sentence: it cannot be right both times. Rows are kept as they are; a
  sentence is one group, so the bootstrap draws whole sentences; and `ceiling` is the accuracy that the best answer to each
  text would have.
- `sst2` has two labels. Macro-F1 is over the two; to say neutral is wrong. Its sentences are film reviews that were cut up
  before: most stand in the ICWSM data too, word for word. `unseen` leaves out what was trained on.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data import LABELS
from training.errors import TrainingError
from training.evaluation.folder import data_file
from training.examples import Example

HOME = "icwsm"
_SHORT = {"neg": "negative", "neu": "neutral", "pos": "positive"}
_NOT_WORDS = re.compile(r"[\W_]+")
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Texts with true labels to measure on; `seen` counts rows left out because the model was trained on their text."""

    name: str
    examples: Sequence[Example]
    seen: int = 0

    @property
    def texts(self) -> list[str]:
        """Return the texts, in order."""
        return [example.text for example in self.examples]

    @property
    def ceiling(self) -> float:
        """Return the best accuracy that one answer a text allows; below 1 where a text has several labels."""
        labels: dict[str, Counter[str]] = {}
        for example in self.examples:
            labels.setdefault(example.text, Counter())[example.label] += 1
        return sum(max(counts.values()) for counts in labels.values()) / max(len(self.examples), 1)


@dataclass(frozen=True, slots=True)
class _Reader:
    file: str
    rows: Callable[[Path], Iterator[Row]]
    label: str = "label"
    source: str | None = None


def _tabs(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _commas(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


READERS = {
    "tweeteval": _Reader("tweeteval/val.tsv", _tabs),
    "twitter_financial": _Reader("twitter_financial/train.tsv", _tabs),
    "newsmtsc": _Reader("newsmtsc/train.tsv", _tabs),
    "newsmtsc_mt": _Reader("newsmtsc/mt.tsv", _tabs),
    "sst2": _Reader("sst2/dev.tsv", _tabs),
    "airline": _Reader("airline/tweets.csv", _commas, label="airline_sentiment", source="airline"),
}
"""The sets by name: `newsmtsc` holds single-target sentences as they were found, `newsmtsc_mt` those with several targets."""


def read_set(name: str, folder: Path) -> EvaluationSet:
    """Read one set from the folder of the measuring data. Its groups are its texts, but for case and punctuation.

    Raises:
        MissingDataError: its file is not there.
        TrainingError: there is no such set, or a row has no text or no label that is known (named by its place).
    """
    if name not in READERS:
        raise TrainingError(f"there is no evaluation set {name!r}; there are {', '.join(READERS)}")
    reader = READERS[name]
    path = data_file(folder, reader.file)
    examples = [_example(name, reader, index, row) for index, row in enumerate(reader.rows(path), 1)]
    if not examples:
        raise TrainingError(f"{path} has no rows below its header")
    return EvaluationSet(name, examples)


def read_sets(folder: Path, names: Iterable[str] = tuple(READERS)) -> list[EvaluationSet]:
    """Read several sets; errors as `read_set`'s."""
    return [read_set(name, folder) for name in names]


def unseen(of: EvaluationSet, trained_on: Iterable[str]) -> EvaluationSet:
    """Return the set without rows whose text was trained on, compared by letters and digits alone."""
    known = {fingerprint(text) for text in trained_on} - {""}
    kept = [example for example in of.examples if fingerprint(example.text) not in known]
    return replace(of, examples=kept, seen=of.seen + len(of.examples) - len(kept))


def sample(of: EvaluationSet, rows: int | None, seed: int = 0) -> EvaluationSet:
    """Return at most so many rows, drawn by the seed and kept in order; all of them for None."""
    if rows is None or rows >= len(of.examples):
        return of
    drawn = np.sort(np.random.default_rng(seed).permutation(len(of.examples))[:rows])
    return replace(of, examples=[of.examples[index] for index in drawn.tolist()])


def fingerprint(text: str) -> str:
    """Return the letters and digits of a text in lower case: equal for texts that differ in spacing and punctuation."""
    return _NOT_WORDS.sub("", text.lower())


def _example(name: str, reader: _Reader, index: int, row: Row) -> Example:
    text, said = row.get("text") or "", row.get(reader.label) or ""
    label = _SHORT.get(said, said)
    if not text.strip() or label not in LABELS:
        raise TrainingError(f"{reader.file}: row {index} has no text, or its {reader.label} is not one of {', '.join(_SHORT)}")
    source = row[reader.source] if reader.source else name
    return Example(text, label, source, fingerprint(text) or text)
