"""Files and folders as records: where each one stands, and its fields by name. CSV, TSV, JSONL, Parquet, datasets."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from training.errors import TrainingError

_BATCH = 2_000
_SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one row by name; `where` is its file and line, or row, as an error names it; `number` counts the rows."""

    where: str
    number: int
    fields: Mapping[str, object]


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file, by the ending of its name, or of a folder of `datasets`.

    A TSV has no quoting, since a tweet may begin with a quotation mark; a CSV has. Of a folder all splits are read, one
    after another; both what `save_to_disk` and what `load_dataset` know is understood, and an integer label is given its
    name where the folder has names for them.

    Raises:
        TrainingError: there is no such file, it cannot be read, or a line of it is not what the format says.
    """
    if path.is_dir():
        return _dataset(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise TrainingError(f"{path}: what is in it? The name must end in {', '.join(_READERS)}, or be a datasets folder")
    return reader(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise TrainingError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): convert it first, as with iconv"
        ) from error
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror or error}") from error


def _csv(path: Path) -> Iterator[Record]:
    return _separated(path, ",", csv.QUOTE_MINIMAL)


def _tsv(path: Path) -> Iterator[Record]:
    return _separated(path, "\t", csv.QUOTE_NONE)


def _separated(path: Path, delimiter: str, quoting: Any) -> Iterator[Record]:
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        try:
            header = next(reader, [])
            for number, fields in enumerate(filter(None, reader), 1):
                yield Record(f"{path}:{reader.line_num}", number, _named(header, fields, f"{path}:{reader.line_num}"))
        except csv.Error as error:
            raise TrainingError(f"{path}:{reader.line_num}: {error}; quote the field, or save the file as JSONL") from error


def _named(header: list[str], fields: list[str], where: str) -> dict[str, object]:
    if len(fields) != len(header):
        raise TrainingError(
            f"{where}: {len(fields)} fields, where the header names {len(header)}: quote what holds the separator"
        )
    return dict(zip(header, fields, strict=True))


def _jsonl(path: Path) -> Iterator[Record]:
    with _readable(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield Record(f"{path}:{number}", number, _object(line, f"{path}:{number}"))


def _object(line: str, where: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{where}: not JSON ({error}): each line must be one whole object") from None
    if not isinstance(value, dict):
        raise TrainingError(f"{where}: a {type(value).__name__}, where each line must be a JSON object")
    return value


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa  # noqa: PLC0415 # slow to load, and most files are not Parquet
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with _readable(path), pq.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(_BATCH))
            for number, fields in enumerate(rows, 1):
                yield Record(f"{path}: row {number}", number, fields)
    except pa.ArrowException as error:
        raise TrainingError(f"{path} cannot be read as Parquet: {error}") from error


def _dataset(path: Path) -> Iterator[Record]:
    import datasets  # type: ignore[import-untyped] # noqa: PLC0415 # takes a second to load
    from datasets.exceptions import DatasetGenerationError  # type: ignore[import-untyped] # noqa: PLC0415

    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        with _readable(path), TemporaryDirectory(prefix="tidings-datasets-") as cache:
            parts = _parts(datasets, path, cache)
            found = chain.from_iterable(_rows_of(part, f"{path}[{name}]") for name, part in parts.items())
            for number, (where, fields) in enumerate(found, 1):
                yield Record(where, number, fields)
    except (ValueError, DatasetGenerationError) as error:
        raise TrainingError(f"{path} is no folder of datasets: {str(error).splitlines()[0]}") from error
    finally:
        if shown:
            datasets.utils.logging.enable_progress_bar()


def _parts(datasets: Any, path: Path, cache: str) -> dict[str, Any]:
    if any((path / name).is_file() for name in _SAVED):
        loaded = datasets.load_from_disk(str(path))
    else:
        loaded = datasets.load_dataset(str(path), cache_dir=cache)
    return dict(loaded) if isinstance(loaded, dict) else {"all": loaded}


def _rows_of(part: Any, where: str) -> Iterator[tuple[str, dict[str, object]]]:
    named = {name: feature.names for name, feature in part.features.items() if hasattr(feature, "names")}
    for number, fields in enumerate(part, 1):
        names = {name: names[fields[name]] for name, names in named.items() if _is_index(fields[name], names)}
        yield f"{where} row {number}", {**fields, **names}


def _is_index(value: object, names: list[str]) -> bool:
    return isinstance(value, int) and 0 <= value < len(names)


_READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
