"""FastStream: a batch subscriber on confluent-kafka; the client commits offsets by its own timer, FastStream's default."""

import asyncio
import json
from typing import Any

from engine import BATCH, BOOTSTRAP, GROUP, INPUT, OUTPUT, WAIT_S, Engine, encoded  # type: ignore[import-not-found]
from faststream import FastStream  # type: ignore[import-not-found]
from faststream.confluent import KafkaBroker  # type: ignore[import-not-found]

engine = Engine()
broker = KafkaBroker(BOOTSTRAP)


@broker.subscriber(  # type: ignore[untyped-decorator]
    INPUT, group_id=GROUP, batch=True, max_records=BATCH, polling_interval=WAIT_S, auto_offset_reset="earliest"
)
async def handle(messages: list[dict[str, Any]]) -> None:
    """Score a batch on a thread, so that the loop goes on, and publish."""
    found = await asyncio.to_thread(engine.score, sorted(messages, key=lambda message: len(message["text"])))
    for one in found:
        key, value = encoded(one)
        await broker.publish(json.loads(value), topic=OUTPUT, key=key, no_confirm=True)


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
