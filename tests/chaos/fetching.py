"""How far each worker's consumer has come, in librdkafka's own words: told for a run that does not come to its end.

The worker keeps the last statistics in its slot (`consumer_that_tells`), the harness reads them (`fetching`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka as ck

_FILE = "consumer.json"
_TOLD = ("fetch_state", "broker", "leader", "next_offset", "app_offset", "committed_offset", "ls_offset", "fetchq_cnt")


def consumer_that_tells(folder: Path) -> type[ck.Consumer]:
    """Return a Consumer that keeps what librdkafka last said of its partitions in `folder`."""

    class TellingConsumer(ck.Consumer):  # type: ignore[misc]
        """See `consumer_that_tells`."""

        def __init__(self, config: dict[str, Any]) -> None:
            hear = config.get("stats_cb")

            def keep(text: str) -> None:
                (folder / _FILE).write_text(json.dumps(list(_partitions(json.loads(text)))))
                if hear is not None:
                    hear(text)

            super().__init__(config | {"stats_cb": keep})

    return TellingConsumer


def _partitions(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for topic, its in told["topics"].items():
        for number, partition in its["partitions"].items():
            if partition["desired"]:
                yield {"partition": f"{topic}-{number}"} | {name: partition.get(name) for name in _TOLD}


def fetching(name: str, folder: Path) -> list[str]:
    """Return a line for each partition that the worker `name` with the slot `folder` had when it last told."""
    try:
        partitions = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return []
    return [f"{name} fetches " + ", ".join(f"{what} {value}" for what, value in its.items()) for its in partitions]
