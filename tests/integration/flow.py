"""The worker as a process of its own on the real stack, with topics, groups and keys of the test's own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis
from confluent_kafka.admin import AdminClient

from tests.conftest import Names
from worker.adapters.kafka import PlainProducer, PlainReader, create_topics
from worker.codec import decode_alert_event
from worker.messages import AlertEvent, OutRecord, Record
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
T = TypeVar("T")


@dataclass
class Flow:
    """A set of topics with what reads and writes them."""

    folder: Path
    env: Mapping[str, str]
    settings: Settings
    read: dict[str, list[Record]] = field(default_factory=dict)

    def input(self, kind: str) -> str:
        """The input topic whose messages are of this kind."""
        return next(topic for topic, its_kind in self.settings.kafka.input_topics.items() if its_kind == kind)

    def send(self, kind: str, values: Sequence[bytes | None], key: bytes | None = None) -> None:
        """Produce these bodies, in order."""
        producer = PlainProducer(self.settings.kafka)
        for value in values:
            producer.send(OutRecord(self.input(kind), key, value))
        producer.flush()

    def send_messages(self, kind: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Produce these messages, all to one partition, in order."""
        self.send(kind, [json.dumps(message).encode() for message in messages], key=b"one")

    def records(self, topic: str, count: int) -> list[Record]:
        """Read a topic from its beginning, committed records only, until there are `count`; then a bit longer, for doubles."""
        found: list[Record] = []
        with closing(PlainReader(self.settings.kafka, [topic], from_beginning=True)) as reader:
            deadline = time.monotonic() + PATIENCE_S
            while len(found) < count and time.monotonic() < deadline:
                found.extend(reader.read(0.5))
            found.extend(reader.read(1.0))
        return found

    def predictions(self, count: int) -> dict[str, dict[str, Any]]:
        """Wait for `count` predictions; returns them by id, and fails if one came twice."""
        bodies = [json.loads(record.value or b"") for record in self.records(self.settings.kafka.topics.predictions, count)]
        ids = [body["id"] for body in bodies]
        assert sorted(ids) == sorted(set(ids)), "a prediction came twice"
        return {body["id"]: body for body in bodies}

    def done(self, count: int) -> bool:
        """Whether that many predictions are there; takes about two seconds to look."""
        with closing(PlainReader(self.settings.kafka, [self.settings.kafka.topics.predictions], from_beginning=True)) as reader:
            return sum(1 for _ in range(4) for _ in reader.read(0.5)) >= count

    def dead_letters(self, count: int) -> list[Record]:
        """Wait for `count` dead letters."""
        return self.records(self.settings.kafka.topics.dead_letters, count)

    def alerts(self, count: int) -> list[AlertEvent]:
        """Wait for `count` alert events on Kafka, in the order of their event times."""
        events = [decode_alert_event(record.value or b"") for record in self.records(self.settings.kafka.topics.alerts, count)]
        return sorted(events, key=lambda event: event.at_ms)

    def stream_alerts(self) -> list[AlertEvent]:
        """The alert events on the Redis streams, in the order of their event times."""
        client = redis.Redis.from_url(self.settings.redis.url.get_secret_value())
        with closing(client):
            streams = list(client.scan_iter(f"{self.settings.redis.prefix}:*:alerts"))
            entries: list[Any] = [fields for stream in streams for _, fields in client.xrange(stream) or []]
        return sorted((decode_alert_event(fields[b"event"]) for fields in entries), key=lambda event: event.at_ms)

    def lose_redis(self) -> int:
        """Delete all that this flow has in Redis, as a Redis that came back empty; returns how many keys that were."""
        client = redis.Redis.from_url(self.settings.redis.url.get_secret_value())
        with closing(client):
            return sum(int(client.delete(key)) for key in client.scan_iter(f"{self.settings.redis.prefix}:*"))

    def lose_group(self) -> None:
        """Delete the alert group with its committed offsets, as they expire while there is no worker; none may be in it."""
        admin = AdminClient({"bootstrap.servers": self.settings.kafka.bootstrap_servers, "log_level": 0})
        for done in admin.delete_consumer_groups([f"{self.settings.kafka.group_prefix}-alert"]).values():
            done.result(30)

    @contextmanager
    def worker(self, roles: str = "score,alert") -> Iterator["WorkerProcess"]:
        """Run a worker process; it is gone afterwards, whatever happened."""
        with (self.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "worker", "work", "--roles", roles]
            begin = log.tell()
            process = subprocess.Popen(command, cwd=self.folder, env={**os.environ, **self.env}, stderr=log)
        try:
            yield WorkerProcess(process, self.folder / "worker.log", begin)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@dataclass
class WorkerProcess:
    """A running worker."""

    process: "subprocess.Popen[bytes]"
    log: Path
    log_begin: int
    """Where this process's part of the log begins."""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log so far that tell of this event."""
        whole = self.log.read_bytes()[self.log_begin :].rpartition(b"\n")[0].splitlines()
        told = [json.loads(line) for line in whole if line.startswith(b"{")]
        return [line for line in told if line["event"] == event]

    def get(self, path: str) -> tuple[int, str]:
        """Ask for `/healthz`, `/readyz` or `/metrics`; returns the status and the body."""
        (serving,) = self.until(lambda: self.lines("serving health and metrics"))
        with closing(http.client.HTTPConnection("127.0.0.1", serving["port"], timeout=10)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def until(self, look: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
        """Look until there is something to see, and return it; fails when it takes too long, or the worker has ended."""
        deadline = time.monotonic() + patience_s
        while not (seen := look()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return seen

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        return self.get("/readyz")[0] == 200

    def terminate(self) -> int:
        """Ask it to leave, as Kubernetes does; returns its exit code."""
        self.signal()
        return self.process.wait(timeout=PATIENCE_S)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and go on."""
        self.process.send_signal(number)

    def finished_within(self, seconds: float, done: Callable[[], bool]) -> int | None:
        """Wait until it has ended or `done` says that its work is done; returns its exit code, None if it lives.

        Fails if neither happens in time.
        """
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and not done():
            assert time.monotonic() < deadline, f"the worker neither went on nor ended within {seconds:.0f} s"
        return self.process.poll()

    def kill(self) -> None:
        """Give it no chance to do anything."""
        self.process.kill()
        self.process.wait()


def make_flow(names: Names, stack_env: Mapping[str, str], folder: Path, files: Mapping[str, str]) -> Flow:
    """Create the topics of a test and write its watchlist and rules into `folder`."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    env = {
        **stack_env,
        "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps({names.topic("news"): "news", names.topic("chat"): "chat"}),
        "TIDINGS_KAFKA__TOPICS__PREDICTIONS": names.topic("predictions"),
        "TIDINGS_KAFKA__TOPICS__SIGNALS": names.topic("signals"),
        "TIDINGS_KAFKA__TOPICS__ALERTS": names.topic("alerts"),
        "TIDINGS_KAFKA__TOPICS__DEAD_LETTERS": names.topic("dead-letters"),
        "TIDINGS_KAFKA__TOPICS__REVIEW": names.topic("review"),
        "TIDINGS_KAFKA__TOPICS__FEEDBACK": names.topic("feedback"),
        "TIDINGS_KAFKA__TOPICS__SHADOW": names.topic("shadow"),
        "TIDINGS_KAFKA__GROUP_PREFIX": names.group(),
        "TIDINGS_KAFKA__PARTITIONS": "2",
        "TIDINGS_KAFKA__SESSION_TIMEOUT_S": "6",
        "TIDINGS_KAFKA__TRANSACTION_TIMEOUT_S": "10",
        "TIDINGS_REDIS__PREFIX": names.prefix,
        "TIDINGS_OPS__PORT": "0",
        "TIDINGS_MODEL__REPOSITORY": str(ROOT / "triton_repo"),
    }
    settings = _settings(env)
    create_topics(settings.kafka)
    return Flow(folder, env, settings)


def _settings(env: Mapping[str, str]) -> Settings:
    """Read settings as a worker with this environment would."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        return Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
