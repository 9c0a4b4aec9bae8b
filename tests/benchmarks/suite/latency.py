"""How long a message takes, in the open: arrivals by Poisson, whether or not the worker keeps up, at shares of its capacity.

Open loop, without coordinated omission: each message has its moment beforehand, and its latency counts from that, not from when
the producer came to send it. Capacity is what the same worker did with a full topic just before. One message in `EVERY` is
about a watched name of its own and of the kind that alerts at once, so that the way to the alert is seen too. Each names one of
`TICKERS` as well, as a busy stream would: a window is looked at when a later signal of its partition has come.
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
ASKED = 70
"""The load of which something is asked. It comes early, so that there is time for it, but not first: a broker that has just
begun is slow, and no production's is."""
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
TICKERS = 8
_LATENESS_S = 2.0
"""Two input partitions may be so far out of step; an alert waits as long for it."""
_WARM_S, _WARM = 4.0, 300
"""A worker is warm after so many seconds at its full pace, or so many messages."""
_PATIENCE_S = 15.0
_TAIL_S = _LATENESS_S + 2.5
"""At the end nothing that alerts is sent: nothing would follow it, and an alert waits for what follows."""
_CAPACITY = 1_000
"""Messages that the capacity is found with. All of them: at first little is visible, for offsets are committed without gaps."""
_LEAST_S = 5.0
"""A load that would be sent for less is left out."""
_START_S = 8.0
"""What a run takes beside the sending, until the first has shown it: a worker's start and end."""


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
        first, *others = (load for load in LOADS if load != ASKED)
        cases = [(load, way) for load in (first, ASKED, *others) for way in WAYS]
        beside_s = _START_S + min(_WARM_S, _WARM / capacity)
        for number, (load, way) in enumerate(cases):
            began_s, seconds = result.left_s, sending_s(result, len(cases) - number, beside_s)
            if seconds < _LEAST_S:
                result.say(f"there was no time for {len(cases) - number} of {len(cases)} loads")
                return
            rate = capacity * load / 100
            found = _open_loop(_site(stack, folder, way), rate, seconds, min(_WARM, round(_WARM_S * capacity) + 1))
            beside_s = max(beside_s, began_s - result.left_s - seconds)
            about = {"load": load, "delivery": way, "rate_per_s": round(rate, 1), "seconds": round(seconds, 1)}
            result.details["runs"].append({**about, **found})
            _tell(result)


def sending_s(result: Result, runs: int, beside_s: float) -> float:
    """Return how long the next of so many runs sends: as asked, or as the time allows if each takes `beside_s` more.

    Where it allows not all of them, it is for as many as can be sent for `_LEAST_S`.
    """
    fitting = max(1, min(runs, int(result.left_s / (beside_s + _LEAST_S))))
    seconds = min(result.options.seconds, result.left_s / fitting - beside_s)
    if seconds < result.options.seconds:
        result.say(f"some loads were sent for less than {result.options.seconds:.0f} s")
    return seconds


def _site(stack: LocalStack, folder: Path, way: str) -> Site:
    folder = folder / way
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    watched = [*(f"Zentiq{number}" for number in range(NAMES)), *(f"Ticker{number}" for number in range(TICKERS))]
    names = "".join(f"  - name: {name}\n" for name in watched)
    (folder / "watchlist.yaml").write_text("entities:\n" + names, encoding="utf-8")
    more = {"TIDINGS_DELIVERY": way, "TIDINGS_ALERT__ALLOWED_LATENESS_S": str(_LATENESS_S)}
    return Site(stack, folder, partitions=2, more=more)


def _capacity(stack: LocalStack, folder: Path, result: Result) -> float:
    """Messages a second with a full topic, exactly-once."""
    site = _site(stack, folder, WAYS[0])
    count = min(result.options.messages, _CAPACITY)
    site.fill(bodies(some(count)))
    with site.watching() as watcher, site.worker("score,alert") as worker:
        seen = watcher.until(count, result.left_s / 2, worker.require_alive)
        page = metrics_of(worker)
    if seen.found < count:
        result.say(f"capacity was found with {seen.found:,} messages instead of {count:,}")
    result.figures["latency_asked"] = figure([asked_ms(page, seen.per_s, site.settings.score.deadline_ms)]).as_json()
    return seen.per_s


def asked_ms(page: Mapping[str, float], pace: float, deadline_ms: float) -> float:
    """Return twice the deadline, a full batch's inference and a commit, in ms: infinite as long as nothing was measured."""
    took_s, commits = (page.get(f'tidings_commit_seconds_{what}{{role="score"}}', 0.0) for what in ("sum", "count"))
    batches = page.get("tidings_batches_total", 0.0)
    if not (batches and commits and pace):
        return math.inf
    batch_s = page["tidings_batch_texts_total"] / batches / pace
    return 2 * (deadline_ms + (batch_s + took_s / commits) * 1_000)


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the moments of a Poisson process within so many seconds."""
    drawn, at_s = random.Random(seed), 0.0
    while (at_s := at_s + drawn.expovariate(rate)) < seconds:
        yield at_s


def alerting(moments: Sequence[float], seconds: float) -> dict[str, int]:
    """Return which messages alert: each name's, with the message's number."""
    numbers = range(0, min(len(moments), EVERY * NAMES), EVERY)
    return {f"Zentiq{number // EVERY}": number for number in numbers if moments[number] < seconds - _TAIL_S}


def _open_loop(site: Site, rate: float, seconds: float, warm: int) -> dict[str, Any]:
    moments = list(arrivals(rate, seconds, seed=1))
    names = alerting(moments, seconds)
    topics = site.settings.kafka.topics
    with (
        site.worker("score,alert") as worker,
        closing(PlainReader(site.settings.kafka, [topics.predictions, topics.alerts], from_beginning=True)) as reader,
    ):
        _warm_up(site, reader, worker, warm)
        sent: dict[str, float] = {}
        sender = threading.Thread(target=_send, args=(site, moments, names, sent), daemon=True)
        sender.start()
        seen = _read(reader, topics.alerts, Wanted(len(moments), {f"entity:{name}" for name in names}), seconds)
        sender.join()
    return _quantiles(sent, seen, {f"entity:{name}": f"o{number}" for name, number in names.items()})


def _warm_up(site: Site, reader: PlainReader, worker: Process, warm: int) -> None:
    """A worker that has just begun is slow at first; what it needs is opened by some messages that do not count."""
    site.fill(bodies(some(warm, start=15_000), prefix="warm"))
    count, deadline_s = 0, time.monotonic() + 120
    while count < warm and time.monotonic() < deadline_s:
        worker.require_alive()
        count += sum(1 for _ in reader.read(0.2))


def _send(site: Site, moments: Sequence[float], names: Mapping[str, int], sent: dict[str, float]) -> None:
    producer, texts = PlainProducer(site.settings.kafka), some(len(moments), start=1_000)
    severe = {number: SEVERE.format(name=name) for name, number in names.items()}
    began_s = time.perf_counter()
    for number, (moment, text) in enumerate(zip(moments, texts, strict=True)):
        time.sleep(max(0.0, began_s + moment - time.perf_counter()))
        sent[f"o{number}"] = began_s + moment
        body = {"id": f"o{number}", "text": severe.get(number, text), "published_at": round(time.time() * 1000)}
        body["entities"] = [f"Ticker{number % TICKERS}"]
        producer.send(OutRecord(site.input, b"%d" % number, json.dumps(body).encode()))
    producer.flush()


class Wanted(NamedTuple):
    """How many predictions to wait for, and the keys of which alerts."""

    predictions: int
    alerts: set[str]


def _read(reader: PlainReader, alerts: str, wanted: Wanted, seconds: float) -> dict[str, dict[str, float]]:
    """Return when each prediction, by its id, and each name's alert was first visible."""
    seen: dict[str, dict[str, float]] = {"predictions": {}, "alerts": {}}
    deadline_s = time.perf_counter() + seconds + _PATIENCE_S
    while time.perf_counter() < deadline_s:
        for record in reader.read(0.002):
            key, is_alert = (record.key or b"").decode(), record.topic == alerts
            if key in wanted.alerts if is_alert else not key.startswith("warm"):
                seen["alerts" if is_alert else "predictions"].setdefault(key, time.perf_counter())
        if len(seen["predictions"]) >= wanted.predictions and len(seen["alerts"]) >= len(wanted.alerts):
            break
    return seen


def _quantiles(sent: dict[str, float], seen: dict[str, dict[str, float]], alerts: Mapping[str, str]) -> dict[str, Any]:
    """Latencies in milliseconds. What was never seen is counted, and is not left out of the quantiles: it took forever."""
    found: dict[str, Any] = {"sent": len(sent)}
    due = {"predictions": sent, "alerts": {key: sent[number] for key, number in alerts.items() if number in sent}}
    for what, moments_of in due.items():
        took = sorted((seen[what].get(key, float("inf")) - due_s) * 1000 for key, due_s in moments_of.items())
        found[what] = {name: quantile(took or [math.inf], share) for name, share in SHARES.items()}  # infinite: never seen
        found[what]["unseen"] = sum(ms == float("inf") for ms in took)
    return found


def _tell(result: Result) -> None:
    figures = {"latency_asked": result.figures["latency_asked"]}
    for one in sorted(result.details["runs"], key=lambda one: one["load"]):
        group = figures.setdefault("latency" if one["delivery"] == WAYS[0] else "latency_at_least_once", {})
        group[str(one["load"])] = {
            **{name: figure([one["predictions"][name]]).as_json() for name in SHARES},
            "alert": {name: figure([one["alerts"][name]]).as_json() for name in SHARES},
        }
    result.figures |= figures
    result.save()
