"""Signals a second through the alert role, the whole of it: Kafka, decisions, Redis. With more and more keys that have a state.

The states of all keys are put into Redis beforehand, as copies of one that a worker would have made; then the cases take turns,
each with signals whose keys are drawn evenly, the worst there is for a cache.
"""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from deploy.local.stack import LocalStack
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.result import Result
from tests.benchmarks.suite.stage import RULES, Process, Site, metrics_of, running
from worker.alert.partition import PartitionMemory, Placed
from worker.alert.rules import parse_rules
from worker.alert.state import KeyState, decode_state, encode_state
from worker.codec import encode_signal
from worker.messages import LABELS, ModelRef, Origin, Signal

KEYS = (1_000, 100_000, 1_000_000)
BEGAN_MS = 1_772_323_200_000
STEP_MS = 2
"""Event time from one signal to the next."""
_SEEDED = 5_000
_TOLD = "tidings_alert_signals_total"
_LOOK_EVERY_S = 0.1


def run(result: Result, folder: Path) -> None:
    """Seed every case, then let them take turns."""
    paces: dict[int, list[float]] = {keys: [] for keys in KEYS}
    with running({"kafka", "redis"}, folder) as stack:
        result.details |= {"parts": stack.versions(), "signals": result.options.messages, "rules": RULES, "runs": []}
        cases = {keys: _case(stack, folder, keys) for keys in KEYS if result.left_s > 0}
        for turn in result.rounds():
            for keys, site in cases.items():
                one = _turn(site, keys, turn, result)
                result.details["runs"].append({"keys": keys, **one})
                paces[keys].append(one["per_s"])
            _tell(result, paces)


def _case(stack: LocalStack, folder: Path, keys: int) -> Site:
    """Return topics of their own, and all keys' states in Redis."""
    site = Site(stack, folder / f"keys-{keys}", partitions=1)
    seed(site, keys)
    return site


def seed(site: Site, keys: int) -> None:
    """Give every key the state that one signal leaves."""
    tag = f"{site.settings.redis.prefix}:{{{site.settings.kafka.topics.signals}-0}}:"
    memory = PartitionMemory(parse_rules(RULES), 5_000, 10)
    memory.learn(["entity:0"], {})
    effects = memory.apply([Placed(0, signal(0, 0, BEGAN_MS))])
    states = copies(decode_state(effects.states["entity:0"]), keys)
    with closing(redis.Redis.from_url(site.settings.redis.url.get_secret_value())) as client:
        client.hset(f"{tag}meta", mapping={"next_offset": 0, "max_event_time_ms": BEGAN_MS, "digest": ""})
        while some := dict(islice(states, _SEEDED)):
            client.mset({f"{tag}state:{key}": body for key, body in some.items()})


def copies(state: KeyState, keys: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many keys, each with the state as its own."""
    for number in range(keys):
        key = f"entity:{number}"
        yield key, encode_state(KeyState(key, state.rules, state.due_ms))


def signal(key: int, number: int, at_ms: int) -> Signal:
    """Return a signal as the score role makes them; one in four is negative."""
    negative = number % 4 == 0
    return Signal(
        alert_key=f"entity:{key}",
        message_id=f"m{number}",
        label=LABELS[0] if negative else LABELS[2],
        negative=0.8 if negative else 0.1,
        score=-0.7 if negative else 0.6,
        kind="news",
        source=None,
        event_time_ms=at_ms,
        duplicate_of=None,
        excerpt="The crew was kind, but the seats are broken again and nobody seems to care about that any more.",
        model=ModelRef("sentiment", "1"),
        origin=Origin("news", 0, number),
    )


def _turn(site: Site, keys: int, turn: int, result: Result) -> dict[str, Any]:
    """Put signals on the topic, and let a worker take them; the pace is that after the first that were stored."""
    count, drawn = result.options.messages, random.Random(turn)
    numbers = range(turn * count + 1, (turn + 1) * count + 1)
    bodies = (encode_signal(signal(drawn.randrange(keys), number, BEGAN_MS + number * STEP_MS)) for number in numbers)
    site.fill(bodies, site.settings.kafka.topics.signals)
    with site.worker("alert") as worker:
        return _paced(worker, count, min(120.0, max(1.0, result.left_s)))


def _paced(worker: Process, count: int, limit_s: float) -> dict[str, Any]:
    first = last = 0.0
    first_s = last_s = used_s = 0.0
    deadline_s = time.perf_counter() + limit_s
    while last < count and time.perf_counter() < deadline_s:
        time.sleep(_LOOK_EVERY_S)
        worker.require_alive()
        done, now_s = metrics_of(worker).get(_TOLD, 0.0), time.perf_counter()
        if done > last:
            last, last_s = done, now_s
            if not first:
                first, first_s, used_s = done, now_s, worker.cpu_s
    seconds, used_s = last_s - first_s, worker.cpu_s - used_s
    return {
        "per_s": (last - first) / seconds if seconds else 0.0,
        "per_core_s": (last - first) / used_s if used_s else 0.0,
        "signals": last,
    }


def _tell(result: Result, paces: dict[int, list[float]]) -> None:
    done = {keys: found for keys, found in paces.items() if found}
    least = min(done)
    result.figures["alerts"] = {
        "signals_per_s": {str(keys): figure(found).as_json() for keys, found in done.items()},
        "to_the_fewest": {str(keys): ratio(found, done[least]).as_json() for keys, found in done.items()},
    }
    result.save()
