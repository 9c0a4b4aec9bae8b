"""What a cluster needs, on paper: from what was measured on one machine to any number of messages a second. Pure.

A worker process is one core's worth of work. Kafka's and Redis's own limits are not measured here, but taken with the room that
their users leave: they are written down so that anybody can put in their own.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.benchmarks.suite.simulation import lose_one

RATES = (10_000, 100_000, 1_000_000)
"""Messages a second."""
ROOM = 0.7
"""Of capacity, so that a rebalance or a burst is caught up with: at 1 - 1/r of load a queue is r times as long."""
REST = 0.8
"""Of capacity that the others work at when one worker is lost: what waited is worked off beside what comes."""
SIGNALS_PER_MESSAGE = 0.2
GPU_TEXTS_PER_S = 25_000
"""ASSUMED, not measured here: six layers of 384 in fp16 on one data-centre GPU. `tidings bench gpu` measures it."""
BROKER_BYTES_PER_S = 50e6
"""ASSUMED: what one broker takes in with three replicas, and leaves itself room."""
MESSAGE_BYTES = 700
"""Input, prediction and a fifth of a signal, as JSON before compression."""
PARTITION_SHARE = 0.5
"""No partition should need more than this share of what one worker does, so that it can catch up."""


class Measured(NamedTuple):
    """What a core does: messages through a worker, signals through the alert role; and texts that this machine's model does."""

    worker_per_core: float
    signals_per_s: float
    texts_per_s: float


def measured(figures: Mapping[str, Mapping[str, Any]]) -> Measured | None:
    """Return what the scenarios found, None as long as one of them is missing."""
    try:
        cores = figures["overhead"]["overhead"]["messages_per_core_s"]["exactly_once"]["value"]
        signals = min(one["value"] for one in figures["alerts"]["alerts"]["signals_per_s"].values())
        texts = figures["ceiling"]["ceiling"]["texts_per_s"]["value"]
    except (KeyError, ValueError):
        return None
    return Measured(cores, signals, texts)


def plans(figures: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the plan for each rate, with its arithmetic in words; empty as long as something was not measured."""
    found = measured(figures)
    return [plan(found, rate) for rate in RATES] if found else []


def plan(one: Measured, rate: int) -> dict[str, Any]:
    """Return what this rate needs."""
    workers = max(math.ceil(rate / (one.worker_per_core * ROOM)), math.ceil(rate / (one.worker_per_core * REST)) + 1)
    loss = lose_one(rate, workers, one.worker_per_core)
    alerts = math.ceil(rate * SIGNALS_PER_MESSAGE / (one.signals_per_s * ROOM))
    partition = one.worker_per_core * PARTITION_SHARE
    partitions = max(workers, math.ceil(rate / partition))
    return {
        "messages_per_s": rate,
        "gpus": math.ceil(rate / (GPU_TEXTS_PER_S * ROOM)),
        "or_machines_like_this": math.ceil(rate / (one.texts_per_s * ROOM)),
        "score_workers": workers,
        "partitions": partitions,
        "alert_workers": alerts,
        "redis_shards": max(1, math.ceil(alerts / 8)),
        "brokers": max(3, math.ceil(rate * MESSAGE_BYTES * 3 / BROKER_BYTES_PER_S)),
        "simulated": {"one_worker_lost": loss._asdict()},
        "arithmetic": {
            "score_workers": f"{rate:,} / ({one.worker_per_core:,.0f} a core x {ROOM}), or one more than at {REST}",
            "alert_workers": f"{rate:,} x {SIGNALS_PER_MESSAGE} signals / ({one.signals_per_s:,.0f} x {ROOM})",
            "partitions": f"one a worker, and at most {partition:,.0f} messages a second each",
            "gpus": f"{rate:,} / ({GPU_TEXTS_PER_S:,} assumed x {ROOM})",
            "brokers": f"{rate:,} x {MESSAGE_BYTES} bytes x 3 replicas / {BROKER_BYTES_PER_S / 1e6:.0f} MB/s assumed",
            "redis_shards": "a script takes a fifth of an alert worker's time; eight of those to a shard leave it room",
        },
    }
