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
_TOLD = ("fetch_state", "broker", "leader", "next_offset", "app_offset", "ls_offset", "fetchq_cnt")


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
    """Return in one line how far the worker `name` with the slot `folder` had come when it last told; [] if it has not.

    Of each partition: the offset to be fetched next and the end as the last fetch saw it, what was given out last if that is
    another offset, how many records wait to be given out, and whatever of the rest is not as it should be.
    """
    try:
        partitions = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return []
    return [f"{name} fetches {'; '.join(map(_in_short, partitions))}"] if partitions else []


def _in_short(its: dict[str, Any]) -> str:
    told = f"{its['partition']} at {its['next_offset']} of {its['ls_offset']}"
    if its["app_offset"] != its["next_offset"]:
        told += f", given out {its['app_offset']}, {its['fetchq_cnt']} waiting"
    if its["fetch_state"] != "active" or its["broker"] != its["leader"]:
        told += f", {its['fetch_state']} at broker {its['broker']}, leader {its['leader']}"
    return told
