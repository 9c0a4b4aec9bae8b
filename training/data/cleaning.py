"""Rows fit to learn from: encoding and markup put right, boilerplate taken out, duplicates and empties dropped; all counted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import ftfy
from bs4 import BeautifulSoup

from training.data.language import UNKNOWN, language_of
from training.data.near import clusters
from training.data.rows import Row

_MARKUP = re.compile(r"</?[a-zA-Z!][^<>]*>|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);")
"""Tags and entities. What else has a `<`, a heart or a comparison, is text."""


class Change(StrEnum):
    """What was done to a text that stayed."""

    ENCODING = "encoding"
    MARKUP = "markup"
    BOILERPLATE = "boilerplate"


class Reason(StrEnum):
    """Why a row was dropped."""

    EMPTY = "empty"
    LANGUAGE = "language"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is cleaned. A line that stands in `boilerplate_rows` texts of several lines is taken out of all of them.

    `languages` are the ISO 639-1 codes to keep, all if empty; a text whose language cannot be told is kept. Near duplicates
    are dropped only where their labels agree: nearly the same words may well mean the opposite.
    """

    boilerplate_rows: int = 10
    languages: tuple[str, ...] = ()
    drop_near: bool = True


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that was dropped, why, and the row that it repeats or contradicts."""

    id: str
    reason: Reason
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The rows that stayed, in their order, with their language; how many were changed, and each that was dropped."""

    rows: tuple[Row, ...]
    changed: dict[str, int]
    dropped: tuple[Dropped, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows were dropped for each reason."""
        found = Counter(one.reason.value for one in self.dropped)
        return {reason.value: found[reason.value] for reason in Reason}


def clean(rows: Sequence[Row], rules: Rules | None = None, done: Callable[[int], None] | None = None) -> Cleaned:
    """Return the rows cleaned; `done` is told of rows gone through: for their texts, and of those left, for their like."""
    rules = rules or Rules()
    changed: Counter[str] = Counter({change.value: 0 for change in Change})
    repaired = [_repaired(row, changed, done) for row in rows]
    bare = list(_without_boilerplate(repaired, rules.boilerplate_rows, changed))
    dropped: list[Dropped] = []
    kept = list(_readable([_on_one_line(row) for row in bare], rules, dropped))
    kept = _agreeing(kept, dropped)
    if rules.drop_near:
        kept = _unlike(kept, dropped, done)
    return Cleaned(tuple(kept), dict(changed), tuple(dropped))


def agreeing(rows: Sequence[Row]) -> tuple[list[Row], dict[str, int]]:
    """Return the rows without repeated texts, and without those that another row contradicts; and the count of both."""
    dropped: list[Dropped] = []
    kept = _agreeing(rows, dropped)
    return kept, dict(Counter(one.reason.value for one in dropped))


def without_markup(text: str) -> str:
    """Return the text that a browser would show, if there are tags or entities in it; else the text itself."""
    if not _MARKUP.search(text):
        return text
    soup = BeautifulSoup(text, "html.parser")
    for unseen in soup(["script", "style"]):
        unseen.decompose()
    for broken in soup(["br", "p", "div", "li"]):
        broken.append("\n")
    return str(soup.get_text())


def same_key(text: str) -> str:
    """Return what two texts share that are the same but for case, width and spacing; a smiley makes a difference."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _repaired(row: Row, changed: Counter[str], done: Callable[[int], None] | None) -> Row:
    mended = ftfy.fix_text(row.text, unescape_html=False)
    changed[Change.ENCODING] += mended != row.text
    shown = without_markup(mended)
    changed[Change.MARKUP] += shown != mended
    if done:
        done(1)
    return replace(row, text="\n".join(filter(None, (" ".join(line.split()) for line in shown.splitlines()))))


def _without_boilerplate(rows: list[Row], limit: int, changed: Counter[str]) -> Iterator[Row]:
    texts = {row.text for row in rows if "\n" in row.text}
    found = Counter(line for text in texts for line in set(text.splitlines()))
    for row in rows:
        lines = row.text.splitlines()
        left = [line for line in lines if found[line] < limit]
        # a text of nothing else is no text with boilerplate, but one of many duplicates
        stays = left if left and len(lines) > 1 else lines
        changed[Change.BOILERPLATE] += len(stays) < len(lines)
        yield replace(row, text="\n".join(stays))


def _on_one_line(row: Row) -> Row:
    return replace(row, text=" ".join(row.text.split()))


def _readable(rows: Iterable[Row], rules: Rules, dropped: list[Dropped]) -> Iterator[Row]:
    for row in rows:
        if not row.text:
            dropped.append(Dropped(row.id, Reason.EMPTY))
            continue
        lang = language_of(row.text)
        if rules.languages and lang not in {*rules.languages, UNKNOWN}:
            dropped.append(Dropped(row.id, Reason.LANGUAGE))
        else:
            yield replace(row, lang=lang)


def _agreeing(rows: Sequence[Row], dropped: list[Dropped]) -> list[Row]:
    firsts: dict[str, Row] = {}
    labels: dict[str, set[str]] = {}
    for row in rows:
        firsts.setdefault(same_key(row.text), row)
        labels.setdefault(same_key(row.text), set()).add(row.label)
    kept = []
    for row in rows:
        key = same_key(row.text)
        if len(labels[key]) > 1:
            dropped.append(Dropped(row.id, Reason.CONTRADICTION, firsts[key].id))
        elif firsts[key] is row:
            kept.append(row)
        else:
            dropped.append(Dropped(row.id, Reason.DUPLICATE, firsts[key].id))
    return kept


def _unlike(rows: Sequence[Row], dropped: list[Dropped], done: Callable[[int], None] | None) -> list[Row]:
    firsts: dict[tuple[int, str], Row] = {}
    kept = []
    for row, root in zip(rows, clusters([row.text for row in rows], done), strict=True):
        first = firsts.setdefault((root, row.label), row)
        if first is row:
            kept.append(row)
        else:
            dropped.append(Dropped(row.id, Reason.NEAR_DUPLICATE, first.id))
    return kept
