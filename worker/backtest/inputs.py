"""What a backtest reads: a file of JSON lines, a Parquet file, or a topic; a batch at a time, and more than once if asked to.

A line that cannot be read is a `Fault` with its place; nothing is dropped without one. A file is one partition, in the order of
its lines; of a topic each partition is read to the end that it had when it was opened.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from worker.backtest.rows import Place, RowReader
from worker.codec import believed, decode_placed
from worker.errors import DecodeError, SelectionError, SettingsError
from worker.messages import Control, Record, Signal
from worker.settings import KafkaSettings

_CHUNK_BYTES = 1 << 20
_RECORDS = 2_000
_MAX_FUTURE_MS = 300_000
_FILE_ENDINGS = (".jsonl", ".json", ".ndjson", ".parquet", ".pq", ".txt", ".csv", ".gz")
EXTRA = "pip install 'tidings[backtest]'"
"""What to do where a library of the extra is missing."""


class Fault(NamedTuple):
    """A line that could not be read: `file:line`, or what names a row or record; and why."""

    place: str
    reason: str


class Batch(NamedTuple):
    """Signals, and ticks, of one partition in their order; what could not be read among them; how much of the input it was.

    `other` are the signals of the other side, where that is not decided on the same ones (`worker.backtest.shadow`).
    """

    partition: int
    signals: list[Signal] | list[Signal | Control]
    faults: list[Fault]
    done: int
    other: list[Signal] | None = None


class Input(Protocol):
    """An input: its name, how much there is of it (bytes, rows or offsets), and its batches from the beginning."""

    name: str
    total: int

    def batches(self) -> Iterator[Batch]:
        """Read it from the beginning.

        Raises:
            SelectionError: the file cannot be read.
            RetryableError: the cluster did not answer.
        """
        ...


class JsonLines:
    """A file with a JSON object a line; empty lines mean nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        with _readable(path):
            self.total = path.stat().st_size

    def batches(self) -> Iterator[Batch]:
        """Read about a megabyte at a time."""
        reader, number = RowReader(), 1
        with _readable(self._path), self._path.open("rb") as file:
            for lines in _chunks(file):
                yield self._batch(reader, number, lines)
                number += len(lines)

    def _batch(self, reader: RowReader, number: int, lines: list[bytes]) -> Batch:
        signals, faults = list[Signal](), list[Fault]()
        for at, line in enumerate(lines, number):
            try:
                signals += reader.read_json(line, Place(self.name, at))
            except DecodeError as error:
                if line.strip():
                    faults.append(Fault(f"{self.name}:{at}", str(error)))
        return Batch(0, signals, faults, sum(map(len, lines)))


class ParquetFile:
    """A Parquet file with a row a signal, a prediction or a labelled row; columns are named as the fields.

    Raises:
        SettingsError: pyarrow is not there.
        SelectionError: it is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        try:
            from worker.backtest import parquet  # noqa: PLC0415 - of an extra, and slow to load
        except ImportError as error:
            raise SettingsError(f"{path}: to read Parquet takes pyarrow: {EXTRA}") from error
        self._path, self._read = path, parquet.read
        self.name = str(path)
        self.total = parquet.rows(path)

    def batches(self) -> Iterator[Batch]:
        """Read some thousand rows at a time."""
        reader, number = RowReader(), 1
        for rows in self._read(self._path):
            yield self._batch(reader, number, rows)
            number += len(rows)

    def _batch(self, reader: RowReader, number: int, rows: list[dict[str, object]]) -> Batch:
        signals, faults = list[Signal](), list[Fault]()
        for at, fields in enumerate(rows, number):
            try:
                signals += reader.read_fields(fields, Place(self.name, at))
            except DecodeError as error:
                faults.append(Fault(f"{self.name} row {at}", str(error)))
        return Batch(0, signals, faults, len(rows))


class Snapshot(Protocol):
    """A topic as it was; `adapters.kafka.TopicSnapshot` has it."""

    @property
    def offsets(self) -> int:
        """How many offsets it has."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield every record in order of partition and offset."""
        ...


class Topic:
    """A topic of signals, partition after partition. Times further ahead of their records' than that are not believed."""

    def __init__(self, name: str, snapshot: Snapshot, max_future_ms: int = _MAX_FUTURE_MS) -> None:
        self.name = name
        self.total = snapshot.offsets
        self._snapshot = snapshot
        self._max_future_ms = max_future_ms

    def batches(self) -> Iterator[Batch]:
        """Read some thousand records at a time."""
        for records in _runs(self._snapshot.records()):
            yield self._batch(records)

    def _batch(self, records: list[Record]) -> Batch:
        placed, faults = list[Signal | Control](), list[Fault]()
        for record in records:
            try:
                placed.append(believed(decode_placed(record), record.timestamp_ms, self._max_future_ms))
            except DecodeError as error:
                faults.append(Fault(f"{self.name}-{record.partition} offset {record.offset}", str(error)))
        return Batch(records[0].partition, placed, faults, len(records))


def is_file(name: str) -> bool:
    """Tell whether the name is a file's rather than a topic's."""
    path = Path(name)
    return path.exists() or path.suffix in _FILE_ENDINGS or len(path.parts) > 1


@contextmanager
def opened(name: str, kafka: KafkaSettings, max_future_ms: int = _MAX_FUTURE_MS) -> Iterator[Input]:
    """Open the file of that name, else the topic.

    Raises:
        SelectionError: it looks like a file, and there is none; or it cannot be read.
        SettingsError: it takes a library that is not there.
        RetryableError: there is no such topic, or the cluster did not answer.
    """
    path = Path(name)
    if is_file(name):
        yield ParquetFile(path) if path.suffix in {".parquet", ".pq"} else JsonLines(path)
        return
    from worker.adapters.kafka import TopicSnapshot  # noqa: PLC0415 - a file needs no client

    with ExitStack() as stack:
        yield Topic(name, stack.enter_context(closing(TopicSnapshot(kafka, name, "backtest"))), max_future_ms)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}") from error


def _chunks(file: BinaryIO) -> Iterator[list[bytes]]:
    while lines := file.readlines(_CHUNK_BYTES):
        yield lines


def _runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Gather records of one partition."""
    run: list[Record] = []
    for record in records:
        if run and (record.partition != run[0].partition or len(run) >= _RECORDS):
            yield run
            run = []
        run.append(record)
    if run:
        yield run
