import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.worker.alert.builders import signal
from worker import adapters
from worker.backtest import inputs
from worker.backtest.inputs import Input, JsonLines, ParquetFile, Topic, opened
from worker.codec import control_record, encode_signal
from worker.errors import SelectionError, SettingsError
from worker.messages import Control, Record, Signal, Tick, TopicPartition
from worker.settings import KafkaSettings

SIGNALS = [signal(at, message_id=f"m{at}") for at in range(5)]


def everything(source: Input) -> tuple[list[Signal | Control], list[inputs.Fault]]:
    """All signals and faults."""
    batches = list(source.batches())
    assert sum(batch.done for batch in batches) == source.total
    return [one for batch in batches for one in batch.signals], [one for batch in batches for one in batch.faults]


def test_json_lines_are_read_in_order_and_faults_have_a_line(tmp_path: Path) -> None:
    """Empty lines mean nothing; neither does a missing end of line; what is bad is named, and what follows it is read."""
    path = tmp_path / "signals.jsonl"
    bodies = [encode_signal(one) for one in SIGNALS]
    path.write_bytes(b"\n".join([bodies[0], b"", b"{not json", bodies[1], b"\xff\xfe", b"  ", b"{}", *bodies[2:]]))
    found, faults = everything(JsonLines(path))
    assert found == SIGNALS
    assert [fault.place for fault in faults] == [f"{path}:{line}" for line in (3, 5, 7)]
    assert all(fault.reason for fault in faults)


def test_a_file_may_be_read_again_and_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the second pass does; lines keep their numbers."""
    path = tmp_path / "signals.jsonl"
    path.write_bytes(b"\n".join([*map(encode_signal, SIGNALS), b"x"]))
    monkeypatch.setattr(inputs, "_CHUNK_BYTES", 300)
    source = JsonLines(path)
    assert len(list(source.batches())) > 1
    assert everything(source) == everything(source) == (SIGNALS, [inputs.Fault(f"{path}:6", everything(source)[1][0].reason)])


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    """Nested columns as the fields are; rows that cannot be read are named by their number."""
    path = tmp_path / "signals.parquet"
    rows: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in SIGNALS]
    rows.insert(2, {**rows[0], "label": "bad"})
    pq.write_table(pa.Table.from_pylist(rows), path)
    found, faults = everything(ParquetFile(path))
    assert found == SIGNALS
    assert [fault.place for fault in faults] == [f"{path} row 3"]


def test_parquet_rows_may_be_labelled_rows_with_timestamps(tmp_path: Path) -> None:
    """A column of timestamps is a time."""
    path = tmp_path / "rows.pq"
    times = pa.array([1_000, 2_000], pa.timestamp("ms", tz="UTC"))
    pq.write_table(
        pa.table({"published_at": times, "entities": [["a"], []], "topics": [["t"], []], "label": ["negative"] * 2}), path
    )
    found, faults = everything(ParquetFile(path))
    assert [(one.alert_key, one.event_time_ms) for one in found if isinstance(one, Signal)] == [
        ("entity:a", 1_000),
        ("topic:t", 1_000),
    ]
    assert faults == []


class Snapshot:
    """A topic of two partitions with a tick, and bytes that are no signal."""

    offsets = 6

    def __init__(self, *_: Any) -> None:
        self.closed = False

    def records(self) -> Iterator[Record]:
        """All."""
        tick = control_record(TopicPartition("signals", 0), Tick(9_000))
        values = [*map(encode_signal, SIGNALS[:2]), tick.value, b"{}"]
        for offset, value in enumerate(values):
            yield Record("signals", 0, offset, b"k", value, 0, tick.headers if value == tick.value else ())
        yield from (Record("signals", 1, offset, b"k", encode_signal(one), 0) for offset, one in enumerate(SIGNALS[2:4]))

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_a_topic_is_read_partition_by_partition() -> None:
    """Ticks stand where they stood; what cannot be read is named by partition and offset."""
    batches = list(Topic("signals", Snapshot()).batches())
    assert [batch.partition for batch in batches] == [0, 1]
    assert batches[0].signals == [*SIGNALS[:2], Tick(9_000)]
    assert batches[1].signals == SIGNALS[2:4]
    assert [fault.place for fault in batches[0].faults] == ["signals-0 offset 3"]


def test_a_long_partition_comes_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """None mixes two partitions."""
    monkeypatch.setattr(inputs, "_RECORDS", 3)
    batches = list(Topic("signals", Snapshot()).batches())
    assert [(batch.partition, batch.done) for batch in batches] == [(0, 3), (0, 1), (1, 2)]


def test_a_name_is_a_file_if_it_is_there_or_looks_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is a topic, which is let go of at the end."""
    snapshot = Snapshot()
    monkeypatch.setattr(adapters.kafka, "TopicSnapshot", lambda *_: snapshot)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_bytes(b"")
    with opened("plain", KafkaSettings()) as file, opened("sentiment.signals", KafkaSettings()) as topic:
        assert (type(file), type(topic)) == (JsonLines, Topic)
        assert not snapshot.closed
    assert snapshot.closed


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.parquet", "a/b", "."])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name, whether missing, a folder, or no Parquet."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SelectionError, match="cannot be read"), opened(name, KafkaSettings()) as source:
        list(source.batches())


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    """Not with a traceback of a library's own."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SelectionError, match=r"x\.parquet cannot be read as Parquet"):
        ParquetFile(tmp_path / "x.parquet")


def test_without_pyarrow_it_says_which_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Parquet needs it."""
    hide(monkeypatch, "parquet")
    with pytest.raises(SettingsError, match=r"tidings\[backtest\]"):
        ParquetFile(tmp_path / "x.parquet")


def hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let `from worker.backtest import <name>` fail as it does where its library is missing."""
    real = builtins.__import__

    def without(module: str, *arguments: Any, **named: Any) -> Any:
        if module == "worker.backtest" and name in (arguments[2] or ()):
            raise ImportError(name)
        return real(module, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
