"""Send the lines of a stream to a topic, at a rate, with a progress bar."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from worker.adapters.kafka import PlainProducer
from worker.messages import OutRecord
from worker.settings import KafkaSettings


class Plan(msgspec.Struct, frozen=True):
    """What to send: to which topic, how many a second (0: no limit), plain text or not, how many bytes there are, if known."""

    topic: str
    rate: float
    as_text: bool = False
    total_bytes: int | None = None


def produce(kafka: KafkaSettings, plan: Plan, lines: BinaryIO) -> int:
    """Send every line that is not empty; return how many were delivered, on Ctrl-C those so far.

    Raises:
        RetryableError: there is no such topic, or a record could not be delivered.
    """
    producer = PlainProducer(kafka)
    producer.require(plan.topic)
    sent = 0
    try:
        for line in _paced(_shown(lines, plan), plan.rate):
            producer.send(OutRecord(plan.topic, None, msgspec.json.encode({"text": _text(line)}) if plan.as_text else line))
            sent += 1
    except KeyboardInterrupt:
        producer.flush()
        return sent
    producer.flush()
    return sent


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
