"""CoNLL's files of tagged words: a word and its tag a line, an empty line between sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.data.records import Record
from training.errors import TrainingError

_DOCUMENT = "-DOCSTART-"


def read_conll(path: Path) -> Iterator[Record]:
    """Yield one record a sentence, with `tokens` and `tags`; the word is a line's first field and the tag its last.

    Sentences of one document, between two -DOCSTART- lines, are of one group; without such lines each is its own.

    Raises:
        TrainingError: the file cannot be read, or a line has no tag.
    """
    number, document, first, words = 0, 0, 1, list[tuple[str, str]]()
    for line, text in enumerate([*_lines(path), ""], 1):
        fields = text.split()
        if fields and fields[0] != _DOCUMENT:
            if len(fields) < 2:
                raise TrainingError(f"{path}:{line}: a word and its tag must stand on a line, as in `Paris B-PLACE`")
            words.append((fields[0], fields[-1]))
            continue
        if words:
            number += 1
            yield _record(f"{path}:{first}", number, words, document)
            words = []
        document += bool(fields)
        first = line + 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error


def _record(where: str, number: int, words: list[tuple[str, str]], document: int) -> Record:
    fields: dict[str, object] = {"tokens": [word for word, _ in words], "tags": [tag for _, tag in words]}
    return Record(where, number, {**fields, "group": f"document-{document}"} if document else fields)
