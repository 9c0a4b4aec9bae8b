"""A labelled file or folder as typed rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from training.data.columns import Columns, resolve, row_of
from training.data.records import Record, read_records
from training.data.rows import Row
from training.errors import TrainingError


def read_rows(path: Path, columns: Columns | None = None) -> list[Row]:
    """Return the labelled texts of a file or a folder of `datasets`, in their order; see `records` and `columns`.

    Raises:
        TrainingError: it cannot be read, or a record is wrong; the message names file, line, field and what to do.
    """
    return rows_of(read_records(path), columns or Columns(), path.stem, str(path))


def read_all(paths: Sequence[Path], columns: Columns | None = None) -> list[Row]:
    """Return the rows of several files, one after another; each file's name is its rows' source where they name none."""
    return [row for path in paths for row in read_rows(path, columns)]


def rows_of(records: Iterable[Record], columns: Columns, source: str, name: str) -> list[Row]:
    """Return the rows of records; which column is which is settled by the first.

    Raises:
        TrainingError: there are no records, or one is wrong.
    """
    chosen: dict[str, str] = {}
    rows = []
    for record in records:
        chosen = chosen or resolve(columns, record.fields, record.where)
        rows.append(row_of(record, chosen, columns, source))
    if not rows:
        raise TrainingError(f"{name} has no rows; a file needs a header or objects, and at least one row below it")
    return rows
