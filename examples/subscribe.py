"""Act on alerts, sharing them with other subscribers: `python subscribe.py [count]`.

Every partition of the signals has a stream of its own. A consumer group gives each event to one subscriber; it is done when it
is acknowledged. What a subscriber died over is claimed by another after a minute.
"""

import json
import os
import socket
import sys
from typing import Any

import redis

GROUP, ME = os.environ.get("GROUP", "example"), f"{socket.gethostname()}-{os.getpid()}"
CLAIM_AFTER_MS = int(os.environ.get("CLAIM_AFTER_MS", "60000"))


def main(count: int, url: str, prefix: str) -> None:
    """Act on events until there were so many (0: for ever)."""
    client = redis.Redis.from_url(url, decode_responses=True, health_check_interval=15, socket_timeout=30)
    seen = 0
    while not count or seen < count:
        streams = joined(client, prefix)
        entries = [(stream, entry) for stream in streams for entry in abandoned(client, stream)]
        if streams and not entries:
            answer = client.xreadgroup(GROUP, ME, dict.fromkeys(streams, ">"), count=100, block=1_000) or []
            entries = [(stream, entry) for stream, found in answer for entry in found]
        for stream, (entry_id, fields) in entries:
            act(json.loads(fields["event"]))
            client.xack(stream, GROUP, entry_id)  # only now: what we die over is somebody else's
            seen += 1


def joined(client: "redis.Redis", prefix: str) -> list[str]:
    """Return the streams there are, each with our group, which begins with the oldest event kept."""
    streams = sorted(client.scan_iter(f"{prefix}:{{*}}:alerts", count=1_000))
    for stream in streams:
        try:
            client.xgroup_create(stream, GROUP, id="0")
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
    return streams


def abandoned(client: "redis.Redis", stream: str) -> list[tuple[str, dict[str, str]]]:
    """Take over what another subscriber took and did not acknowledge; entries that were trimmed meanwhile are gone."""
    _, entries, *_ = client.xautoclaim(stream, GROUP, ME, CLAIM_AFTER_MS, count=100)
    return [(entry_id, fields) for entry_id, fields in entries if fields]


def act(event: dict[str, Any]) -> None:
    """What there is to do. Should it come twice, `id` is the same."""
    data = event["data"]
    if not data["suppressed_by"]:  # a silence, or another alert: nobody is to be woken
        print(
            json.dumps({"id": event["id"], "state": data["state"], "key": data["alert_key"], "rule": data["rule"]}), flush=True
        )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    main(count, os.environ.get("REDIS", "redis://127.0.0.1:6379/0"), os.environ.get("PREFIX", "tidings"))
