"""Sends the mutated messages, each to the partition where the account looks for it; runs in a process of its own."""

import argparse
import json
import signal

import confluent_kafka as ck
from confluent_kafka import KafkaError

from tests.fuzz.accounting import Layout
from tests.fuzz.mutations import mutant

MAX_QUEUED = 5_000
"""Messages in memory: the stream has no end that would have to fit."""


class Sending:
    """An idempotent producer, so that no retry doubles a message and offsets come out as the layout says."""

    def __init__(self, bootstrap: str) -> None:
        self._failed: KafkaError | None = None
        self._producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "queue.buffering.max.messages": MAX_QUEUED,
                "message.max.bytes": 16 * 1024 * 1024,
                "linger.ms": 20,
                "log_level": 0,
            }
        )

    def send(self, seed: int, number: int, layout: Layout) -> None:
        """Queue one message, waiting for room."""
        place, made = layout.place(number), mutant(seed, number)
        while self._failed is None:
            try:
                self._producer.produce(
                    place.topic,
                    made.value,
                    made.key,
                    place.partition,
                    headers=list(made.headers),
                    timestamp=made.timestamp_ms or 0,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Wait until all is delivered; SystemExit if it is not."""
        if self._producer.flush(120) or self._failed is not None:
            raise SystemExit(f"not everything could be produced: {self._failed}")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        self._failed = self._failed or error


def main() -> None:
    """Send messages 0 to N - 1 of a seed."""
    parser = argparse.ArgumentParser()
    for name in ("--seed", "--messages", "--partitions"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topics", type=json.loads, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends whoever started us, and that ends us
    sending, layout = Sending(given.bootstrap), Layout(given.topics, given.partitions)
    for number in range(given.messages):
        sending.send(given.seed, number, layout)
    sending.finish()


if __name__ == "__main__":
    main()
