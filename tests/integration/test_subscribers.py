"""The readers of alert streams in `examples/`, in moments that a first run does not show: a death, a cut, a lost hint."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.conftest import Names
from tests.integration.test_examples import lines, running
from tests.unit.worker.builders import alert_event
from worker.codec import encode_alert_event

pytestmark = pytest.mark.slow
GROUP = "example"


@pytest.fixture
def client(real_redis_url: str) -> Iterator["redis.Redis"]:
    """Redis as a subscriber has it."""
    with redis.Redis.from_url(real_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def env(real_redis_url: str, names: Names) -> dict[str, str]:
    """What the examples read from the environment."""
    return {"REDIS": real_redis_url, "PREFIX": names.prefix, "GROUP": GROUP}


@pytest.fixture
def stream(client: "redis.Redis", names: Names) -> Iterator[str]:
    """A stream as the alert role writes it, with our group."""
    key = f"{names.prefix}:{{sentiment.signals-0}}:alerts"
    client.xgroup_create(key, GROUP, id="0", mkstream=True)
    yield key
    client.delete(key)


def append(client: "redis.Redis", stream: str, *ids: str) -> list[str]:
    """Add events with these ids, without a hint; return their places."""
    bodies = [encode_alert_event(alert_event(id=one)) for one in ids]
    return [str(client.xadd(stream, {"event": body})) for body in bodies]


def told(printed: list[dict[str, Any]]) -> list[str]:
    """The ids of what was printed."""
    return [one["id"] for one in printed]


def test_what_a_dead_subscriber_held_is_taken_over(client: "redis.Redis", env: dict[str, str], stream: str) -> None:
    """Not before its time, for it may be at work still; then all of it, but for what was trimmed; nothing is left pending."""
    places = append(client, stream, "first", "trimmed", "third")
    client.xreadgroup(GROUP, "dead", {stream: ">"})
    client.xdel(stream, places[1])
    append(client, stream, "fresh")
    with running("subscribe.py", "1", env=env) as early:
        assert told(lines(early)) == ["fresh"]
    held = {entry["message_id"]: entry["consumer"] for entry in client.xpending_range(stream, GROUP, "-", "+", 9)}
    assert (held[places[0]], held[places[2]]) == ("dead", "dead")
    with running("subscribe.py", "2", env={**env, "CLAIM_AFTER_MS": "1"}) as heir:
        assert told(lines(heir)) == ["first", "third"]
    assert client.xpending(stream, GROUP)["pending"] == 0


def test_what_was_missed_is_caught_up_with(client: "redis.Redis", env: dict[str, str], stream: str, names: Names) -> None:
    """What came before, what came while the connection was cut, and what no hint told of: each is shown, once and in order."""
    append(client, stream, "before")
    with running("listen.py", "3", env={**env, "CATCH_UP_EVERY_S": "0.2"}) as screen:
        assert screen.stdout is not None
        assert json.loads(screen.stdout.readline())["id"] == "before"
        for listener in client.client_list(_type="pubsub"):
            client.client_kill_filter(_id=listener["id"])
        append(client, stream, "cut")
        assert json.loads(screen.stdout.readline())["id"] == "cut"
        (place,) = append(client, stream, "hinted")
        client.publish(f"{names.prefix}:alerts", json.dumps({"stream": stream, "id": place}))
        assert told(lines(screen)) == ["hinted"]
