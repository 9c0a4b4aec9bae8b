"""A process that hosts librdkafka's built-in mock broker, for a machine with no Java.

A program of its own: `python -P mock_kafka.py FILE` writes the broker's address to FILE and serves until SIGTERM.
What the mock cannot do is in `stand_ins.py`.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer


def main(ready_file: Path) -> None:
    """Host the broker until a signal ends the process."""
    client = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    brokers = client.list_topics(timeout=10).brokers.values()
    address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    partial = ready_file.with_suffix(".part")
    partial.write_text(address)
    partial.rename(ready_file)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(Path(sys.argv[1]))
