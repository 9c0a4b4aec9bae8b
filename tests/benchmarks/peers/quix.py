"""Quix Streams: a dataframe over the topic, message by message (it has no micro-batches), exactly-once as it offers it."""

from typing import Any

from engine import BOOTSTRAP, GROUP, INPUT, OUTPUT, Engine  # type: ignore[import-not-found]
from quixstreams import Application  # type: ignore[import-not-found]


def main() -> None:
    """Run the application; until it is ended."""
    engine = Engine()
    app = Application(
        broker_address=BOOTSTRAP,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.1,
        auto_create_topics=False,
    )

    def score(message: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = engine.score([message])[0]
        return found

    source, target = app.topic(INPUT, value_deserializer="json"), app.topic(OUTPUT, value_serializer="json")
    app.dataframe(source).apply(score).to_topic(target, key=lambda found: found["id"])
    app.run()


if __name__ == "__main__":
    main()
