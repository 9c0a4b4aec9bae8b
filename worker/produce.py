"""Send the lines of a stream to a topic, at a rate, with a progress bar."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from worker.adapters.kafka import PlainProducer
from worker.codec import decode_signal
from worker.errors import DecodeError, SettingsError
from worker.messages import OutRecord
from worker.settings import KafkaSettings


class Plan(msgspec.Struct, frozen=True):
    """What to send: to which topic, how many a second (0: no limit), plain text or not, how many bytes there are, if known.

    Signals are checked, and sent under their alert keys: those of one key must come to one partition.
    """

    topic: str
    rate: float
    as_text: bool = False
    total_bytes: int | None = None
    as_signals: bool = False


def produce(kafka: KafkaSettings, plan: Plan, lines: BinaryIO) -> int:
    """Send every line that is not empty; return how many were delivered, on Ctrl-C those so far.

    Raises:
        RetryableError: there is no such topic, or a record could not be delivered.
        SettingsError: a line is no signal where signals were to be sent; those before it were.
    """
    producer = PlainProducer(kafka)
    producer.require(plan.topic)
    sent = 0
    try:
        for line in _paced(_shown(lines, plan), plan.rate):
            producer.send(_record(plan, line, sent + 1))
            sent += 1
    except KeyboardInterrupt:
        producer.flush()
        return sent
    except SettingsError:
        producer.flush()
        raise
    producer.flush()
    return sent


def _record(plan: Plan, line: bytes, number: int) -> OutRecord:
    if not plan.as_signals:
        return OutRecord(plan.topic, None, msgspec.json.encode({"text": _text(line)}) if plan.as_text else line)
    try:
        signal = decode_signal(line)
    except DecodeError as error:
        raise SettingsError(f"line {number} is no signal: {error}; `tidings schema signal` says what one is") from error
    return OutRecord(plan.topic, signal.alert_key.encode(), line)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _shown(lines: BinaryIO, plan: Plan) -> Iterator[bytes]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(f"to {plan.topic}", total=plan.total_bytes)
        for line in lines:
            if body := line.rstrip(b"\r\n"):
                yield body
            progress.advance(task, len(line))


def _paced(lines: Iterable[bytes], rate: float) -> Iterator[bytes]:
    """Yield the lines no faster than `rate` a second; a line that comes late is not made up for by a burst later."""
    due = time.monotonic()
    for line in lines:
        time.sleep(max(0.0, due - time.monotonic()))
        yield line
        if rate > 0:
            due = max(due, time.monotonic() - 1.0) + 1.0 / rate
