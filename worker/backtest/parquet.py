"""Parquet files as rows of plain Python values. The only module that imports pyarrow, which comes with the extra `backtest`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from worker.errors import SelectionError

_ROWS = 2_000


def rows(path: Path) -> int:
    """Return how many rows the file has.

    Raises:
        SelectionError: it cannot be read, or is no Parquet file.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read(path: Path) -> Iterator[list[dict[str, object]]]:
    """Yield the rows, some thousand at a time, as a mapping of the columns' names.

    Raises:
        SelectionError: it cannot be read, or is damaged.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield batch.to_pylist()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise SelectionError(f"{path} cannot be read as Parquet: {error}") from error
