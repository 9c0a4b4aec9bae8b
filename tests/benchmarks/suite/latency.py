"""How long a message takes, in the open: arrivals by Poisson, whether or not the worker keeps up, at shares of its capacity.

Open loop, without coordinated omission: each message has its moment beforehand, and its latency counts from that, not from when
the producer came to send it. Capacity is what the same worker did with a full topic just before. One message in `EVERY` is
about a watched name of its own and of the kind that alerts at once, so that the way to the alert is seen too.
"""

import json
import math
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.stack import LocalStack
from tests.benchmarks.suite.figures import figure, quantile
from tests.benchmarks.suite.result import Result
from tests.benchmarks.suite.stage import Process, Site, metrics_of, running
from tests.benchmarks.suite.texts import bodies, some
from worker.adapters.kafka import PlainProducer, PlainReader
from worker.messages import OutRecord

LOADS = (30, 50, 70, 90)
"""Per cent of capacity."""
WAYS = ("exactly_once", "at_least_once")
SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
EVERY = 20
NAMES = 4_000
RULES = """
rules:
  - name: severe
    detector: {type: single, threshold: 0.6, window: 1m, bucket: 1s}
"""
SEVERE = "{name} is a disaster: the worst, most horrible, disgusting failure I have ever seen. I hate it."
_LATENESS_S = "0"
_WARM = 300
_PATIENCE_S = 15.0


class Sent(NamedTuple):
    """When a message was due, in seconds of the clock that the reader reads too, and what it said."""

    due_s: float
    body: bytes


def run(result: Result, folder: Path) -> None:
    """Measure capacity, then each load by both ways of delivery, in turn."""
    with running({"kafka", "redis", "triton"}, folder) as stack:
        result.details |= {"parts": stack.versions(), "runs": []}
        capacity = _capacity(stack, folder, result)
        result.details["capacity_per_s"] = round(capacity, 1)
        if not capacity:
            result.details["failed"] = "the worker answered nothing in half of the time: there is no capacity to take shares of"
            return
        for load in LOADS:
            for way in WAYS:
                if result.left_s < 2 * result.options.seconds:
                    return
                rate = capacity * load / 100
                found = _open_loop(_site(stack, folder, way), rate, result.options.seconds)
                result.details["runs"].append({"load": load, "delivery": way, "rate_per_s": round(rate, 1), **found})
                _tell(result)


def _site(stack: LocalStack, folder: Path, way: str) -> Site:
    folder = folder / way
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    names = "".join(f"  - name: Zentiq{number}\n" for number in range(NAMES))
    (folder / "watchlist.yaml").write_text("entities:\n" + names, encoding="utf-8")
    more = {"TIDINGS_DELIVERY": way, "TIDINGS_ALERT__ALLOWED_LATENESS_S": _LATENESS_S}
    return Site(stack, folder, partitions=2, more=more)


def _capacity(stack: LocalStack, folder: Path, result: Result) -> float:
    """Messages a second with a full topic, exactly-once."""
    site = _site(stack, folder, WAYS[0])
    count = min(result.options.messages, 2_000)
    site.fill(bodies(some(count)))
    with site.watching() as watcher, site.worker("score,alert") as worker:
        pace = watcher.until(count, result.left_s / 2, worker.require_alive).per_s
        page = metrics_of(worker)
    result.figures["latency_asked"] = figure([asked_ms(page, pace, site.settings.score.deadline_ms)]).as_json()
    return pace


def asked_ms(page: Mapping[str, float], pace: float, deadline_ms: float) -> float:
    """Return twice the deadline, a full batch's inference and a commit, in ms: infinite as long as nothing was measured."""
    batches, commits = page.get("tidings_batches_total", 0.0), page.get("tidings_commit_seconds_count", 0.0)
    if not (batches and commits and pace):
        return math.inf
    batch_s = page["tidings_batch_texts_total"] / batches / pace
    return 2 * (deadline_ms + (batch_s + page["tidings_commit_seconds_sum"] / commits) * 1_000)


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the moments of a Poisson process within so many seconds."""
    drawn, at_s = random.Random(seed), 0.0
    while (at_s := at_s + drawn.expovariate(rate)) < seconds:
        yield at_s


def _open_loop(site: Site, rate: float, seconds: float) -> dict[str, Any]:
    moments = list(arrivals(rate, seconds, seed=1))
    topics = site.settings.kafka.topics
    with (
        site.worker("score,alert") as worker,
        closing(PlainReader(site.settings.kafka, [topics.predictions, topics.alerts], from_beginning=True)) as reader,
    ):
        _warm_up(site, reader, worker)
        sent: dict[str, float] = {}
        sender = threading.Thread(target=_send, args=(site, moments, sent), daemon=True)
        sender.start()
        seen = _read(reader, topics.alerts, moments, seconds)
        sender.join()
    return _quantiles(sent, seen, moments)


def _warm_up(site: Site, reader: PlainReader, worker: Process) -> None:
    """A worker that has just begun is slow at first; what it needs is opened by some messages that do not count."""
    site.fill(bodies(some(_WARM, start=15_000), prefix="warm"))
    count, deadline_s = 0, time.monotonic() + 120
    while count < _WARM and time.monotonic() < deadline_s:
        worker.require_alive()
        count += sum(1 for _ in reader.read(0.2))


def _send(site: Site, moments: Sequence[float], sent: dict[str, float]) -> None:
    producer, texts = PlainProducer(site.settings.kafka), some(len(moments), start=1_000)
    began_s = time.perf_counter()
    for number, (moment, text) in enumerate(zip(moments, texts, strict=True)):
        time.sleep(max(0.0, began_s + moment - time.perf_counter()))
        alerts = number % EVERY == 0
        said = SEVERE.format(name=f"Zentiq{number // EVERY % NAMES}") if alerts else text
        sent[f"o{number}"] = began_s + moment
        body = json.dumps({"id": f"o{number}", "text": said, "published_at": round(time.time() * 1000)}).encode()
        producer.send(OutRecord(site.input, b"%d" % number, body))
    producer.flush()


def _read(reader: PlainReader, alerts: str, moments: Sequence[float], seconds: float) -> dict[str, dict[str, float]]:
    """Return when each prediction, by its id, and each name's alert was first visible."""
    seen: dict[str, dict[str, float]] = {"predictions": {}, "alerts": {}}
    deadline_s = time.perf_counter() + seconds + _PATIENCE_S
    wanted = {"predictions": len(moments), "alerts": min(NAMES, -(-len(moments) // EVERY))}
    while time.perf_counter() < deadline_s and any(len(seen[what]) < count for what, count in wanted.items()):
        for record in reader.read(0.002):
            what = "alerts" if record.topic == alerts else "predictions"
            key = (record.key or b"").decode()
            if not key.startswith("warm"):
                seen[what].setdefault(key, time.perf_counter())
    return seen


def _quantiles(sent: dict[str, float], seen: dict[str, dict[str, float]], moments: Sequence[float]) -> dict[str, Any]:
    """Latencies in milliseconds. What was never seen is counted, and is not left out of the quantiles: it took forever."""
    found: dict[str, Any] = {"sent": len(sent)}
    due = {
        "predictions": sent,
        "alerts": {f"entity:Zentiq{n // EVERY % NAMES}": sent[f"o{n}"] for n in range(0, len(moments), EVERY)},
    }
    for what, moments_of in due.items():
        took = sorted((seen[what].get(key, float("inf")) - due_s) * 1000 for key, due_s in moments_of.items())
        found[what] = {name: quantile(took, share) for name, share in SHARES.items()}  # infinite where it was never seen
        found[what]["unseen"] = sum(ms == float("inf") for ms in took)
    return found


def _tell(result: Result) -> None:
    figures = {"latency_asked": result.figures["latency_asked"]}
    for one in result.details["runs"]:
        group = figures.setdefault("latency" if one["delivery"] == WAYS[0] else "latency_at_least_once", {})
        group[str(one["load"])] = {
            **{name: figure([one["predictions"][name]]).as_json() for name in SHARES},
            "alert": {name: figure([one["alerts"][name]]).as_json() for name in SHARES},
        }
    result.figures |= figures
    result.save()
