"""Labelled files for topics and for entities, cleaned and split, with nothing that crosses from one part to another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from training.data import Split
from training.data.cleaning import Rules, agreeing, clean
from training.data.records import Record, read_records
from training.data.rows import Row, content_hash
from training.data.splitting import by_group
from training.errors import TrainingError
from training.recipe import Task
from training.tasks.conll import read_conll
from training.tasks.spans import Span, from_bio

CONLL = (".conll", ".bio", ".iob")
_SEPARATORS = str.maketrans(";,", "||")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with its topics, or with the entities in it; `group` is what must stay in one part of a split."""

    text: str
    group: str
    topics: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskCorpus:
    """Three parts of labelled texts, the labels' names in order, and what the model's card says of them."""

    labels: tuple[str, ...]
    manifest: Mapping[str, Any]
    parts: Mapping[Split, tuple[Labelled, ...]]


def read_labelled(path: Path, task: Task, seed: int = 7) -> TaskCorpus:
    """Return the texts of a file or a `datasets` folder, in three parts by group; near duplicates stay together.

    For topics a record has `text` and `topics` (or `labels`): a list, or names with | ; or , between them. For entities it has
    `text` and `entities` (or `spans`), objects with `start`, `end` and `label`; or `tokens` and `tags`; or the file is CoNLL's,
    a word and its BIO tag a line. `group` is optional.

    Raises:
        TrainingError: it cannot be read, a record is wrong (named by its line), or a label has no text to learn from.
    """
    records = read_conll(path) if path.suffix.lower() in CONLL else read_records(path)
    read = _topics if task is Task.TOPICS else _entities
    rows = [_row(record, read(record), path.stem) for record in records]
    cleaned, dropped = _clean(rows, task)
    divided = by_group(cleaned, seed=seed)
    parts = {part: tuple(_labelled(row, task) for row in found) for part, found in divided.parts.items()}
    return TaskCorpus(_labels(path, parts), _manifest(path, parts, cleaned, dropped), parts)


def _row(record: Record, label: str, source: str) -> Row:
    text, name = record.fields.get("text"), f"{source}-{record.number}"
    if not isinstance(text, str):
        text = " ".join(map(str, _list(record, ("tokens",))))
    return Row(id=name, text=text, label=label, source=source, group=str(record.fields.get("group") or name))


def _topics(record: Record) -> str:
    """The topics as one text, so that two rows contradict each other as any two with other labels do."""
    value = _first(record, ("topics", "labels"))
    names = value.translate(_SEPARATORS).split("|") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrainingError(f"{record.where}: topics must be a list of names, or names with | between them, not {value!r}")
    return json.dumps(sorted({name.strip() for name in names} - {""}), ensure_ascii=False)


def _entities(record: Record) -> str:
    try:
        spans = _spans(record) if isinstance(record.fields.get("text"), str) else _from_tokens(record)
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{record.where}: entities are objects with start, end and label, or tags as B-NAME, I-NAME and O ({error!r})"
        ) from None
    text = record.fields.get("text")
    ordered = sorted(spans)
    if isinstance(text, str) and any(not 0 <= one.start < one.end <= len(text) for one in ordered):
        raise TrainingError(f"{record.where}: an entity lies outside of its text of {len(text)} characters")
    if any(one.end > other.start for one, other in pairwise(ordered)):
        raise TrainingError(f"{record.where}: two entities overlap; a piece of text can be in one alone")
    return json.dumps(ordered, ensure_ascii=False)


def _spans(record: Record) -> list[Span]:
    value = _first(record, ("entities", "spans"))
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise TypeError(type(found).__name__)
    return [Span(int(one["start"]), int(one["end"]), str(one["label"])) for one in found]


def _from_tokens(record: Record) -> list[Span]:
    words, tags = _list(record, ("tokens",)), _list(record, ("tags", "ner_tags"))
    ends, at = [], 0
    for word in words:
        ends.append((at, at + len(str(word))))
        at += len(str(word)) + 1
    return from_bio([str(tag) for tag in tags], ends)


def _list(record: Record, names: Sequence[str]) -> list[Any]:
    value = _first(record, names)
    if not isinstance(value, list):
        raise TrainingError(f"{record.where}: {names[0]} must be a list, not {value!r}")
    return value


def _first(record: Record, names: Sequence[str]) -> object:
    for name in names:
        if record.fields.get(name) is not None:
            return record.fields[name]
    raise TrainingError(f"{record.where}: there is no {' or '.join(names)}; there are {', '.join(record.fields) or 'none'}")


def _clean(rows: Sequence[Row], task: Task) -> tuple[Sequence[Row], dict[str, int]]:
    """Spans are counted in characters, so where there are some the texts stay as they are: only repeated ones go."""
    if not rows:
        raise TrainingError("there are no rows to learn from; a file needs at least a few hundred")
    if task is Task.TOPICS:
        cleaned = clean(rows, Rules())
        return cleaned.rows, cleaned.counts
    return agreeing([row for row in rows if row.text.strip()])


def _labelled(row: Row, task: Task) -> Labelled:
    found = json.loads(row.label)
    if task is Task.TOPICS:
        return Labelled(row.text, row.group, topics=tuple(found))
    return Labelled(row.text, row.group, spans=tuple(Span(*one) for one in found))


def _names(texts: Sequence[Labelled]) -> Iterator[str]:
    for one in texts:
        yield from one.topics
        yield from (span.label for span in one.spans)


def _labels(path: Path, parts: Mapping[Split, Sequence[Labelled]]) -> tuple[str, ...]:
    learned = set(_names(parts[Split.TRAIN]))
    unseen = sorted({name for texts in parts.values() for name in _names(texts)} - learned)
    if unseen or not learned:
        what = f"{unseen[0]!r} is in no text of the training part" if unseen else "no text has a label"
        raise TrainingError(f"{path}: {what}: add texts with it, or take the label out")
    return tuple(sorted(learned))


def _manifest(
    path: Path, parts: Mapping[Split, Sequence[Labelled]], rows: Sequence[Row], dropped: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "name": path.name,
        "content_sha256": content_hash(rows),
        "rows": {part.value: len(texts) for part, texts in parts.items()},
        "labels": {part.value: dict(sorted(Counter(_names(texts)).items())) for part, texts in parts.items()},
        "dropped": dict(dropped),
    }
