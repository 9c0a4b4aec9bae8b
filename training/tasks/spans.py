"""Entities as spans of characters: from tags of word pieces and back, and counted as exact matches.

Tags are BIO: B- begins an entity, I- goes on with it, O is outside. A span counts as found if start, end and label are right,
as in the CoNLL-2003 evaluation (Tjong Kim Sang and De Meulder, 2003): half an entity is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from training.tasks.counts import Counts

OUTSIDE = "O"
IGNORED = -100
"""The tag of what is no part of the text: torch's cross-entropy passes over it."""


class Span(NamedTuple):
    """An entity from character `start` to `end`, exclusive."""

    start: int
    end: int
    label: str


class Pieces(Protocol):
    """What the tokenizers library says of a text cut into word pieces."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Where each piece stands in the text."""
        ...

    @property
    def word_ids(self) -> list[int | None]:
        """The number of each piece's word; None for a piece that frames the text."""
        ...


def tags_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of these labels, O first."""
    return (OUTSIDE, *(f"{mark}-{label}" for label in labels for mark in "BI"))


def align(pieces: Pieces, spans: Sequence[Span], tags: Sequence[str]) -> list[int]:
    """Return the index of each piece's tag, `IGNORED` for those that frame the text.

    A piece is inside a span that it overlaps; the first piece of a span begins it. A span past where the text was cut has none.
    """
    index = {tag: place for place, tag in enumerate(tags)}
    begun: set[Span] = set()
    found = []
    for (start, end), word in zip(pieces.offsets, pieces.word_ids, strict=True):
        span = next((one for one in spans if start < one.end and one.start < end), None)
        if word is None or span is None:
            found.append(IGNORED if word is None else index[OUTSIDE])
        else:
            found.append(index[f"{'I' if span in begun else 'B'}-{span.label}"])
            begun.add(span)
    return found


def spans_of(pieces: Pieces, said: Iterable[int], tags: Sequence[str]) -> list[Span]:
    """Return the entities that a tag index a piece tells of, in their order.

    A word has the tag of its first piece, so that no entity ends within one. An I- that goes on with nothing begins an entity,
    as in CoNLL's own evaluation.
    """
    found: list[Span] = []
    is_open, last = False, None
    for (start, end), word, tag in zip(pieces.offsets, pieces.word_ids, said, strict=True):
        if word is None:
            is_open, last = False, None
            continue
        if word == last:
            if is_open:
                found[-1] = found[-1]._replace(end=end)
            continue
        last = word
        mark, _, label = tags[tag].partition("-")
        if mark == "I" and is_open and found[-1].label == label:
            found[-1] = found[-1]._replace(end=end)
        elif mark != OUTSIDE:
            found.append(Span(start, end, label))
        is_open = mark != OUTSIDE
    return found


def count_spans(said: Sequence[Sequence[Span]], there: Sequence[Sequence[Span]], labels: Sequence[str]) -> Counts:
    """Return the counts [texts, labels, 3] of exact spans."""
    counts = np.zeros((len(there), len(labels), 3), dtype=np.int64)
    for row, (one, other) in enumerate(zip(map(set, said), map(set, there), strict=True)):
        for kind, spans in enumerate((one & other, one, other)):
            for span in spans:
                counts[row, labels.index(span.label), kind] += 1
    return counts


def from_bio(tags: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[Span]:
    """Return the spans of BIO tags of whole words that stand at these offsets.

    Raises:
        ValueError: a tag is none of BIO.
    """
    found: list[Span] = []
    before = OUTSIDE
    for tag, (start, end) in zip(tags, offsets, strict=True):
        mark, _, label = tag.partition("-")
        if mark not in {"B", "I", OUTSIDE} or bool(label) == (mark == OUTSIDE):
            raise ValueError(tag)
        if mark == "I" and before.partition("-")[2] == label:
            found[-1] = found[-1]._replace(end=end)
        elif mark != OUTSIDE:
            found.append(Span(start, end, label))
        before = tag
    return found
