"""What exactly-once costs, on a real Kafka. Not a test; run it: `python -m tests.benchmarks.bench_delivery`.

The score role runs in a process of its own, with a model that answers at once, so that what is left is reading, tokenising and
publishing. Both ways take turns, so that what else the machine does falls on both; what counts is the ratio within a round.
"""

import json
import multiprocessing as mp
import threading
import time
import uuid
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, NamedTuple

import structlog
from rich.console import Console
from rich.table import Table

from deploy.local.config import KAFKA_VARIABLE, KafkaChoice, StackConfig
from deploy.local.stack import LocalStack
from worker.adapters.kafka import AtLeastOnceSink, KafkaSink, KafkaSource, PlainProducer, PlainReader, create_topics
from worker.codec import decode_prediction
from worker.messages import ModelRef, OutRecord
from worker.score.batching import BatchLimits
from worker.score.calibration import Calibration
from worker.score.dedupe import DuplicateIndex
from worker.score.matching import Matcher, WatchedEntity, Watchlist
from worker.score.options import ScoreOptions
from worker.score.role import ScorePorts, ScoreRole, ScoreStages
from worker.score.tokenizer import Tokenizer
from worker.settings import KafkaSettings, Topics
from worker.testing.model import FakeModel

ROUNDS = 5
WAITING = 10_000
"""Messages on the topic before the role starts, for the throughput."""
RATE = 200
SECONDS = 10
"""How fast and how long messages come in for the latency."""
ROOT = Path(__file__).parents[2]
Way = Literal["exactly_once", "at_least_once"]
WAYS: tuple[Way, Way] = ("exactly_once", "at_least_once")


class Figures(NamedTuple):
    """Of one way in one round."""

    rate: float
    p50_ms: float
    p99_ms: float


def _settings(bootstrap: str) -> KafkaSettings:
    """Topics and a group that nobody had before."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    topics = Topics(predictions=f"{name}.p", signals=f"{name}.s", alerts=f"{name}.a", dead_letters=f"{name}.d")
    return KafkaSettings(bootstrap_servers=bootstrap, input_topics={f"{name}.in": "news"}, topics=topics, group_prefix=name)


def _role(settings: KafkaSettings, way: Way, stack: ExitStack) -> ScoreRole:
    """The score role as `worker.app` builds it, but for the model."""
    sink = AtLeastOnceSink(settings) if way == "at_least_once" else KafkaSink(settings, settings.group_prefix)
    stack.enter_context(closing(sink))
    source = stack.enter_context(closing(KafkaSource(settings, f"{settings.group_prefix}-score")))
    tokenizer = Tokenizer((ROOT / "triton_repo" / "sentiment" / "tokenizer.json").read_bytes(), 128)
    watchlist = Watchlist(entities=(WatchedEntity(name="Acme"),))
    stages = ScoreStages(Matcher(watchlist), DuplicateIndex(50_000), tokenizer, Calibration(1.0), ModelRef("none", "1"), 0)
    options = ScoreOptions(
        inputs=settings.input_topics,
        predictions=settings.topics.predictions,
        signals=settings.topics.signals,
        dead_letters=settings.topics.dead_letters,
        limits=BatchLimits((16, 32, 64, 128), 2048, 64, 50.0),
        in_flight=3,
        max_pending=4_000,
        commit_interval_s=0.1,
        commit_messages=1_000,
        max_future_ms=300_000,
    )
    return ScoreRole(ScorePorts(source, sink, FakeModel(lambda _ids: (0.1, 0.2, 0.3))), stages, options)


def _work(settings: KafkaSettings, way: Way, count: int, stop: Any, took: Any) -> None:
    """Score until told to stop, or `count` messages; put the seconds from the first message to the last commit."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with ExitStack() as stack:
        role = _role(settings, way, stack)
        role.start()
        began_s = 0.0
        while not stop.is_set() and (role.counts.messages < count or not role.idle):
            role.step()
            began_s = began_s or (time.perf_counter() if role.counts.messages else 0.0)
        took.put(time.perf_counter() - began_s)


def _send(producer: PlainProducer, settings: KafkaSettings, number: int) -> None:
    text = f"Message {number} of many: Acme said on Monday that the quarter went as planned, and shares rose a little."
    body = json.dumps({"text": text, "id": f"m{number}", "sent": time.perf_counter_ns()}).encode()
    producer.send(OutRecord(next(iter(settings.input_topics)), b"%d" % number, body))


def _throughput(bootstrap: str, way: Way) -> float:
    """Messages a second with the topic full."""
    settings = _settings(bootstrap)
    create_topics(settings)
    producer = PlainProducer(settings)
    for number in range(WAITING):
        _send(producer, settings, number)
    producer.flush()
    context = mp.get_context("spawn")
    stop, took = context.Event(), context.Queue()  # held until the child has them: it finds them by name
    process = context.Process(target=_work, args=(settings, way, WAITING, stop, took))
    process.start()
    seconds: float = took.get(timeout=120)
    process.join()
    return WAITING / seconds


def _latencies(bootstrap: str, way: Way) -> list[float]:
    """Milliseconds from production to visible for a read_committed reader, each message's, in order."""
    settings = _settings(bootstrap)
    create_topics(settings)
    context = mp.get_context("spawn")
    stop, took = context.Event(), context.Queue()
    process = context.Process(target=_work, args=(settings, way, 10**9, stop, took))
    process.start()
    producer = PlainProducer(settings)
    with closing(PlainReader(settings, [settings.topics.predictions], from_beginning=True)) as reader:
        _send(producer, settings, -1)
        producer.flush()
        while not list(reader.read(0.2)):
            pass
        sender = threading.Thread(target=_send_at_a_rate, args=(producer, settings))
        sender.start()
        found = _read_latencies(reader, RATE * SECONDS)
        sender.join()
    stop.set()
    took.get(timeout=60)
    process.join()
    return found


def _send_at_a_rate(producer: PlainProducer, settings: KafkaSettings) -> None:
    began_s = time.perf_counter()
    for number in range(RATE * SECONDS):
        time.sleep(max(0.0, began_s + number / RATE - time.perf_counter()))
        _send(producer, settings, number)
    producer.flush()


def _read_latencies(reader: PlainReader, count: int) -> list[float]:
    found: list[float] = []
    deadline_s = time.perf_counter() + 3 * SECONDS
    while len(found) < count and time.perf_counter() < deadline_s:
        for record in reader.read(0.005):
            sent_ns = int(bytes(decode_prediction(record.value or b"").extra["sent"]))
            found.append((time.perf_counter_ns() - sent_ns) / 1e6)
    return found


def _measure(bootstrap: str, way: Way) -> Figures:
    rate = _throughput(bootstrap, way)
    cuts = quantiles(_latencies(bootstrap, way), n=100)
    return Figures(rate, cuts[49], cuts[98])


def _spread(values: list[float], digits: int) -> str:
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def main() -> None:
    """Print both ways' figures after each round, median and range, and their ratios within each round."""
    config = StackConfig.from_environment().but(
        state=ROOT / ".tidings" / "bench", kafka=KafkaChoice.APACHE, parts=frozenset({"kafka"})
    )
    measured: dict[Way, list[Figures]] = {way: [] for way in WAYS}
    with LocalStack.start(config) as stack:
        bootstrap = stack.settings_env()[KAFKA_VARIABLE]
        for number in range(ROUNDS):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                measured[way].append(_measure(bootstrap, way))
                Console().print(number, way, measured[way][-1])
            Console().print(_table(measured))


def _table(measured: dict[Way, list[Figures]]) -> Table:
    table = Table("delivery", "messages/s", "p50 ms", "p99 ms")
    for way in WAYS:
        table.add_row(way, *(_spread([getattr(each, name) for each in measured[way]], 0) for name in Figures._fields))
    pairs = list(zip(*(measured[way] for way in WAYS), strict=True))
    ratios = [[getattr(once, name) / getattr(least, name) for once, least in pairs] for name in Figures._fields]
    table.add_row("exactly / at least", *(_spread(values, 2) for values in ratios))
    return table


if __name__ == "__main__":
    main()
