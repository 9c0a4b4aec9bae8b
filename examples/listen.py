"""Show every alert on one screen, as soon as it is there: `python listen.py [count]`.

The channel says that there is something new, and in which stream; what it is, is read from the stream, from where we were. So
what was missed while the connection was away is caught up with, and nothing comes twice.
"""

import json
import os
import sys
import time

import redis

CATCH_UP_EVERY_S = float(os.environ.get("CATCH_UP_EVERY_S", "10"))
"""Looked at without a hint, too: a hint may be lost."""


class Listener:
    """Where we are in each stream."""

    def __init__(self, client: "redis.Redis", prefix: str) -> None:
        self.client, self.prefix = client, prefix
        self.places: dict[str, str] = {}

    def catch_up(self, streams: list[str] | None = None) -> int:
        """Show what is new in these streams, or in all; return how many that were."""
        shown = 0
        for stream in streams or sorted(self.client.scan_iter(f"{self.prefix}:{{*}}:alerts", count=1_000)):
            for entry_id, fields in self.client.xrange(stream, min=f"({self.places.get(stream, '0')}"):
                self.places[stream] = entry_id
                event = json.loads(fields["event"])
                print(json.dumps({"id": event["id"], "type": event["type"], "subject": event["subject"]}), flush=True)
                shown += 1
        return shown


def main(count: int, url: str, prefix: str) -> None:
    """Show alerts until there were so many (0: for ever)."""
    client = redis.Redis.from_url(url, decode_responses=True, health_check_interval=15, socket_timeout=30)
    listener, shown = Listener(client, prefix), 0
    while not count or shown < count:
        try:
            with client.pubsub(ignore_subscribe_messages=True) as channel:
                channel.subscribe(f"{prefix}:alerts")  # first listen, then look: what comes in between is seen by one of them
                shown += listener.catch_up()
                while not count or shown < count:
                    hint = channel.get_message(timeout=CATCH_UP_EVERY_S)
                    shown += listener.catch_up([json.loads(hint["data"])["stream"]] if hint else None)
        except redis.ConnectionError as error:
            print(f"{error}; connecting again", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    main(count, os.environ.get("REDIS", "redis://127.0.0.1:6379/0"), os.environ.get("PREFIX", "tidings"))
