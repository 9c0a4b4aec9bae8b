"""Rows as features: what can be known of a text, of a prediction, or of both; whatever a row has is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from training.data import LABELS
from training.data.language import language_of
from training.data.records import Record
from training.drift.statistics import Drift, Limits, of_names, of_numbers
from training.errors import TrainingError

_LEAST = 30
"""Of fewer rows on either side nothing is said."""
_NUMBER, _WORD = re.compile(r"\d"), re.compile(r"\S+")


@dataclass(slots=True)
class Sample:
    """The features of many rows: numbers and names, by feature, and embeddings [n, width] where rows have them."""

    numbers: dict[str, list[float]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    embeddings: list[list[float]] = field(default_factory=list)

    def number(self, feature: str, value: float) -> None:
        """Add a number."""
        self.numbers.setdefault(feature, []).append(value)

    def name(self, feature: str, value: str) -> None:
        """Add a name."""
        self.names.setdefault(feature, []).append(value)


def sample(records: Iterable[Record]) -> Sample:
    """Return the features of the records.

    Known fields are `text`, `lang` (else recognised from the text), `label`, `probabilities` (by label, or in the order of the
    labels) and `embedding`: those of our predictions, and what a log of yours may hold.

    Raises:
        TrainingError: a field is not what its name says, with the line.
    """
    found = Sample()
    for record in records:
        try:
            _add(found, record.fields)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise TrainingError(f"{record.where}: a field is not what its name says: {error}") from error
    return found


def _add(found: Sample, fields: Mapping[str, object]) -> None:
    text = fields.get("text")
    if isinstance(text, str):
        found.number("words", len(_WORD.findall(text)))
        found.number("characters", len(text))
        found.number("share of capitals", sum(map(str.isupper, text)) / max(1, len(text)))
        found.number("share of digits", len(_NUMBER.findall(text)) / max(1, len(text)))
    if language := fields.get("lang") or (language_of(text) if isinstance(text, str) else None):
        found.name("language", str(language))
    for name in ("kind", "label"):
        if isinstance(value := fields.get(name), str):
            found.name(name, value)
    if (given := fields.get("probabilities")) is not None:
        found.number("confidence", max(_probabilities(given)))
    if (embedding := fields.get("embedding")) is not None:
        found.embeddings.append([float(value) for value in _floats(embedding)])


def _probabilities(given: object) -> list[float]:
    values = [given[label] for label in LABELS] if isinstance(given, Mapping) else given
    return _floats(values)


def _floats(values: object) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise TypeError(f"expected numbers, got {type(values).__name__}")
    return [float(value) for value in values]


def compare(reference: Sample, live: Sample, limits: Limits) -> list[Drift]:
    """Compare the features that both sides have enough of, the most drifted first.

    Raises:
        TrainingError: there is no such feature.
    """
    drifts = [
        of_numbers(name, reference.numbers[name], live.numbers[name], limits)
        for name in _shared(reference.numbers, live.numbers)
    ]
    drifts += [of_names(name, reference.names[name], live.names[name], limits) for name in _shared(reference.names, live.names)]
    if min(len(reference.embeddings), len(live.embeddings)) >= _LEAST:
        drifts.append(_embeddings(reference.embeddings, live.embeddings, limits))
    if not drifts:
        raise TrainingError(f"the two sides have no field in common of which each has {_LEAST} rows or more")
    return sorted(drifts, key=lambda drift: -drift.psi)


def _shared(reference: Mapping[str, Sequence[object]], live: Mapping[str, Sequence[object]]) -> list[str]:
    both = sorted(reference.keys() & live.keys())
    return [name for name in both if min(len(reference[name]), len(live[name])) >= _LEAST]


def _embeddings(reference: Sequence[Sequence[float]], live: Sequence[Sequence[float]], limits: Limits) -> Drift:
    """Compare how near texts lie to the middle of the reference: a new subject lies elsewhere."""
    was, now = (np.asarray(part, dtype=np.float64) for part in (reference, live))
    if was.shape[1:] != now.shape[1:]:
        raise TrainingError(f"embeddings have {was.shape[1]} dimensions in the reference and {now.shape[1]} live")
    middle = was.mean(axis=0)
    near = [part @ middle / (np.linalg.norm(part, axis=1) * np.linalg.norm(middle) + 1e-12) for part in (was, now)]
    return of_numbers("nearness to the middle", near[0].tolist(), near[1].tolist(), limits)
