"""One labelled text as every step of preparation passes it on, and the hash of many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its label. `source` is what figures are broken down by, `group` what must stay in one part of a split.

    `at` is when it was written, in seconds of the Unix epoch, if the data says so; `lang` its ISO 639-1 code, once known.
    """

    id: str
    text: str
    label: str
    source: str
    group: str
    at: float | None = None
    lang: str | None = None


def content_hash(rows: Iterable[Row]) -> str:
    """Return a SHA-256 that two sets share if they hold the same texts, labels, sources, groups and times, in whatever order.

    Ids do not count, nor groups of one row, which are named by its id: they may tell the order, or where a file lay.
    """
    lines = sorted(json.dumps(_content(row), ensure_ascii=False) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def to_json(row: Row) -> str:
    """Return the row as one line of JSON, without what is not known."""
    return json.dumps({name: value for name, value in asdict(row).items() if value is not None}, ensure_ascii=False)


def _content(row: Row) -> tuple[object, ...]:
    return row.text, row.label, row.source, "" if row.group == row.id else row.group, row.at
