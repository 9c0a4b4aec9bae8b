"""Bytewax: a dataflow that collects batches; without recovery it is at most a resend from the committed offsets."""

import json
from datetime import timedelta
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found]
from bytewax.connectors.kafka import KafkaSinkMessage  # type: ignore[import-not-found]
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.testing import run_main  # type: ignore[import-not-found]
from engine import BATCH, BOOTSTRAP, GROUP, INPUT, OUTPUT, WAIT_S, Engine, encoded  # type: ignore[import-not-found]


def build() -> Any:
    """Return the dataflow."""
    engine, flow = Engine(), Dataflow("sentiment")
    read = kop.input(
        "in", flow, brokers=[BOOTSTRAP], topics=[INPUT], tail=True, batch_size=BATCH, add_config={"group.id": GROUP}
    )
    keyed = op.map("decode", read.oks, lambda message: ("all", json.loads(message.value)))
    batches = op.collect("batch", keyed, timeout=timedelta(seconds=WAIT_S), max_size=BATCH)
    found = op.flat_map("score", batches, lambda pair: engine.score(sorted(pair[1], key=lambda one: len(one["text"]))))
    kop.output("out", op.map("encode", found, lambda one: KafkaSinkMessage(*encoded(one))), brokers=[BOOTSTRAP], topic=OUTPUT)
    return flow


if __name__ == "__main__":
    run_main(build())
