"""A score role over the broker in memory, with input that is told apart by its outcome."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any, Literal

import pytest

from tests.unit.worker.builders import MODEL, body
from worker.codec import decode_prediction
from worker.errors import ModelError, TidingsError
from worker.messages import Headers, OutRecord, Prediction, TopicPartition
from worker.ports import Sink
from worker.score.batching import BatchLimits
from worker.score.calibration import Calibration
from worker.score.dedupe import HALF_A_DAY_MS, DuplicateIndex
from worker.score.matching import Matcher, WatchedEntity, Watchlist
from worker.score.near import NearIndex, NearLimits
from worker.score.options import ScoreOptions
from worker.score.release import Release
from worker.score.role import ScorePorts, ScoreRole, ScoreStages
from worker.testing.broker import InMemoryBroker, InMemorySink, InMemorySource
from worker.testing.model import FailureOf, FakeModel, LogitsOf, hashed_logits

GROUP = "score"
PREDICTIONS, SIGNALS, DEAD, REVIEW = "sentiment.predictions", "sentiment.signals", "sentiment.dead-letters", "sentiment.review"
INPUTS = {"news": 2, "chat": 1}
LIMITS = BatchLimits(buckets=(4, 8, 64), max_tokens=32, max_texts=4, deadline_ms=50)
WATCHLIST = Watchlist(entities=(WatchedEntity(name="Acme"),))


class Words:
    """A tokenizer of one token a word, the same in every process."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return at most 64 ids a text."""
        return [[zlib.crc32(word.encode()) % 30_000 for word in text.split()][:64] for text in texts]


class Script(InMemorySink):
    """Fails the commits whose number, from 0, it is told to, before they take effect."""

    def __init__(self, broker: InMemoryBroker, failures: dict[int, Literal["abort", "fatal"]] | None = None) -> None:
        super().__init__(broker)
        self.failures = failures or {}
        self.attempts = 0

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `ports.Sink`."""
        self.fail_next = self.failures.get(self.attempts)
        self.attempts += 1
        super().commit(records, offsets, group)


class _Held(Future[None]):
    """A commit that takes place when it is told to, or waited for."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def take_place(self) -> None:
        """Commit, once."""
        if not self.done():
            try:
                self.set_result(self._call())
            except TidingsError as error:
                self.set_exception(error)

    def result(self, timeout: float | None = None) -> None:
        """See `Future`."""
        self.take_place()
        return super().result(timeout)


class Late:
    """Runs commits at once; while it is `held`, when they are told to or waited for, as on a thread of their own."""

    def __init__(self) -> None:
        self.held = False
        self._open: list[_Held] = []

    def __call__(self, call: Callable[[], None]) -> "Future[None]":
        """See `committing.Runner`."""
        self._open.append(commit := _Held(call))
        if not self.held:
            self.finish()
        return commit

    def finish(self) -> None:
        """Have what is open take place."""
        for commit in self._open:
            commit.take_place()
        self._open.clear()


class Worker:
    """A score role over the broker, with a clock that each step turns by 10 ms."""

    def __init__(
        self, broker: InMemoryBroker, model: FakeModel | None = None, sink: Sink | None = None, **options: Any
    ) -> None:
        self.now_s = 1_000.0
        self.source = InMemorySource(broker, GROUP)
        self.model = model or FakeModel()
        self.model.monotonic, self.model.timeout_s = (lambda: self.now_s), 0.2
        self.sink = sink or Script(broker)
        self.commits = Late()
        self.releases: list[Release] = []
        """Versions of the model that the role is to take, one after the other."""
        stages = ScoreStages(
            Matcher(WATCHLIST),
            DuplicateIndex(1_000, near=NearIndex(NearLimits(1_000), HALF_A_DAY_MS)),
            Words(),  # type: ignore[arg-type]
            Calibration(1.0),
            MODEL,
            0,
            meaning=options.pop("meaning", None),
        )
        given: dict[str, Any] = {
            "in_flight": 2,
            "max_pending": 100,
            "commit_interval_s": 0.05,
            "commit_messages": 50,
            "full_wait_s": 0.005,
            "limits": LIMITS,
            **options,
        }
        self.role = ScoreRole(
            ScorePorts(self.source, self.sink, self.model, self.commits),
            stages,
            ScoreOptions(
                inputs={"news": "news", "chat": "chat"},
                predictions=PREDICTIONS,
                signals=SIGNALS,
                dead_letters=DEAD,
                max_future_ms=300_000,
                **given,
            ),
            lambda: self.now_s,
            lambda: self.releases.pop(0) if self.releases else None,
        )

    def step(self, times: int = 1) -> None:
        """Go round so many times."""
        for _ in range(times):
            self.now_s += 0.01
            self.model.expire()
            self.role.step()

    def drain(self) -> None:
        """Tell the role to leave, and let it finish; the model answers as it is looked for."""
        told, self.model._manual = Event(), False
        told.set()
        while self.model.waiting:
            self.model.release()
        self.role.run(told)

    def work_off(self, broker: InMemoryBroker) -> None:
        """Go round until all input is committed."""
        for _ in range(3_000):
            while self.model.waiting:
                self.model.release()
            self.commits.finish()
            self.step()
            if committed(broker) == ends(broker):
                return
        pytest.fail(f"not worked off: {committed(broker)} of {ends(broker)}")


def ends(broker: InMemoryBroker) -> dict[TopicPartition, int]:
    """How many records each input partition holds."""
    return {partition: len(log) for partition, log in broker.logs.items() if partition.topic in INPUTS and log}


def committed(broker: InMemoryBroker) -> dict[TopicPartition, int]:
    """The group's offsets."""
    return broker.committed(GROUP)


def view(broker: InMemoryBroker) -> dict[str, list[tuple[bytes | None, bytes | None, Headers]]]:
    """All that read_committed readers of the outputs see, in an order of its own."""
    return {
        topic: sorted((record.key, record.value, record.headers) for record in broker.records(topic))  # type: ignore[type-var]
        for topic in (PREDICTIONS, SIGNALS, DEAD)
    }


def predictions(broker: InMemoryBroker) -> list[Prediction]:
    """The predictions, by partition and offset."""
    return [decode_prediction(record.value or b"") for record in broker.records(PREDICTIONS)]


def away(*calls: int) -> FailureOf:
    """Fail these calls."""
    return lambda call, _batch: ModelError("unavailable", "the model is away") if call in calls else None


Entry = tuple[str, bytes | None, int]
BAD: list[bytes | None] = [b"", None, b"\xff\xfe", b"5", body("x" * 100_000), b'{"text": "a\x00"}', body(" ")]


def stream(length: int = 40) -> list[Entry]:
    """Texts of different lengths, no two the same, some of them about Acme, and bad input in between."""
    entries: list[Entry] = []
    for number in range(length):
        topic, partition = [("news", 0), ("news", 1), ("chat", 0)][number % 3]
        text = f"text {number} " + "word " * (number % 7) + ("Acme" if number % 4 == 0 else "")
        value = BAD[number // 5 % len(BAD)] if number % 5 == 3 else body(text, id=f"id-{number}", mine=number)
        entries.append((topic, value, partition))
    return entries


def filled(entries: Iterable[Entry] = ()) -> InMemoryBroker:
    """A broker with these messages, each with a key and headers of its own."""
    broker = InMemoryBroker({**INPUTS, PREDICTIONS: 2, SIGNALS: 2, DEAD: 1, REVIEW: 1})
    for number, (topic, value, partition) in enumerate(entries or stream()):
        headers: Headers = (("n", str(number).encode()), ("none", None), ("n", b"\xff\x00"))
        broker.produce(OutRecord(topic, b"\x00k%d" % number, value, headers), partition)
    return broker


def only(*values: bytes | None) -> InMemoryBroker:
    """A broker with these messages in one partition."""
    return filled([("news", value, 0) for value in values])


def fault_free(entries: Iterable[Entry] = (), logits: LogitsOf = hashed_logits) -> InMemoryBroker:
    """What a worker that nothing happens to makes of the stream."""
    broker = filled(entries)
    worker = Worker(broker, FakeModel(logits))
    worker.role.start()
    worker.work_off(broker)
    return broker


def started(broker: InMemoryBroker, *models: FakeModel) -> list[Worker]:
    """Workers of one group, one per model."""
    workers = [Worker(broker, model) for model in models]
    for worker in workers:
        worker.role.start()
    return workers


def together(broker: InMemoryBroker, *workers: Worker) -> None:
    """Let the workers take turns until all input is committed."""
    for _ in range(3_000):
        for worker in workers:
            while worker.model.waiting:
                worker.model.release()
            worker.commits.finish()
            worker.step()
        if committed(broker) == ends(broker):
            return
    pytest.fail(f"not worked off: {committed(broker)} of {ends(broker)}")
