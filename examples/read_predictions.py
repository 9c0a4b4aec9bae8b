"""Follow the predictions: `python read_predictions.py [topic] [count]`.

Reads committed records only, and commits an offset after it has done with the record: what it dies over it sees again.
"""

import json
import os
import sys

from confluent_kafka import Consumer


def main(topic: str, count: int, kafka: str) -> None:
    """Print predictions as they come, until there were so many (0: for ever)."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": os.environ.get("GROUP", "example-reader"),
            "isolation.level": "read_committed",  # what was rolled back is not there
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    seen = 0
    try:
        while not count or seen < count:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if error := record.error():
                print(f"{error}, going on", file=sys.stderr)
                continue
            told = json.loads(record.value() or b"")
            print(json.dumps({name: told[name] for name in ("id", "label", "score", "entities", "topics")}), flush=True)
            consumer.commit(record, asynchronous=False)
            seen += 1
    finally:
        consumer.close()  # leaves the group at once, so that another member need not wait for the session to end


if __name__ == "__main__":
    topic = sys.argv[1] if len(sys.argv) > 1 else "sentiment.predictions"
    main(topic, int(sys.argv[2]) if len(sys.argv) > 2 else 0, os.environ.get("KAFKA", "127.0.0.1:9092"))
