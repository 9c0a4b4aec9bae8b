"""Faust (faust-streaming): an agent that takes batches within a time, at least once: acknowledged after the batch."""

import asyncio
import sys

import faust  # type: ignore[import-not-found]
from engine import BATCH, BOOTSTRAP, GROUP, INPUT, OUTPUT, WAIT_S, Engine, encoded  # type: ignore[import-not-found]

app = faust.App(
    GROUP,
    broker=f"kafka://{BOOTSTRAP}",
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    store="memory://",
    web_enabled=False,
    stream_wait_empty=False,
    topic_allow_declare=False,
)
source = app.topic(INPUT, value_serializer="json", key_type=bytes, allow_empty=True)
target = app.topic(OUTPUT, value_serializer="raw", key_type=bytes, key_serializer="raw")
engine = Engine()


@app.agent(source)
async def score(stream):  # type: ignore[no-untyped-def]
    """Score a batch on a thread, so that the loop goes on, and send."""
    async for messages in stream.take(BATCH, within=WAIT_S):
        found = await asyncio.to_thread(engine.score, sorted(messages, key=lambda message: len(message["text"])))
        for one in found:
            key, value = encoded(one)
            await target.send(key=key, value=value)


if __name__ == "__main__":
    app.main() if len(sys.argv) > 1 else faust.Worker(app, loglevel="warning").execute_from_commandline()
