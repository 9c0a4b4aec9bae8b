"""What a scenario plays on: the real stack, topics of its own, worker processes, and a reader that sees what all others see."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from deploy.local.config import KafkaChoice, ModelChoice, StackConfig
from deploy.local.stack import LocalStack
from tests.benchmarks.suite.machine import ROOT
from worker.adapters.kafka import PlainProducer, PlainReader, create_topics
from worker.messages import OutRecord
from worker.settings import Settings

CONSTANT = "tests.benchmarks.suite.worker_main"
"""The worker with a model that answers at once."""
WORKER = "worker"
RULES = "rules:\n  - name: share\n    detector: {type: share, window: 5m, bucket: 30s, min_messages: 20}\n"
_LEAVING_S = 40.0
_READ_S = 0.02
_ALIVE_EVERY_S = 1.0


@contextmanager
def running(parts: Iterable[str], folder: Path) -> Iterator[LocalStack]:
    """Start these parts of the stack, real ones only; they end with the block, and with this process however it ends."""
    config = StackConfig.from_environment().but(
        state=folder / "stack",
        cache=Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache"),
        model_repository=ROOT / "triton_repo",
        kafka=KafkaChoice.APACHE,
        triton=ModelChoice.TRITON,
        parts=frozenset(parts),
    )
    with LocalStack.start(config) as stack:
        yield stack


class Seen(NamedTuple):
    """What a read_committed reader saw: how many and how many of them twice, and the pace from the first to the last."""

    found: int
    doubled: int
    seconds: float
    per_s: float


@dataclass
class Site:
    """Topics, a group and keys that nobody had before, and the worker's environment for them."""

    stack: LocalStack
    folder: Path
    partitions: int = 6
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create the topics, and write the files that a worker reads."""
        self.name = f"bench-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_unless_there("watchlist.yaml", "entities:\n  - name: Acme\n")
        self._write_unless_there("rules.yaml", RULES)
        topics = ("predictions", "signals", "alerts", "dead_letters", "review", "feedback", "shadow")
        self.env = {
            **self.stack.settings_env(),
            "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps({f"{self.name}.in": "news"}),
            **{f"TIDINGS_KAFKA__TOPICS__{topic.upper()}": f"{self.name}.{topic}" for topic in topics},
            "TIDINGS_KAFKA__GROUP_PREFIX": self.name,
            "TIDINGS_KAFKA__PARTITIONS": str(self.partitions),
            "TIDINGS_REDIS__PREFIX": self.name,
            "TIDINGS_OPS__PORT": "0",
            "TIDINGS_TRITON__TIMEOUT_S": "60",  # a machine that is busy with other things is no fault of the model
            "TIDINGS_MODEL__REPOSITORY": str(ROOT / "triton_repo"),
            **self.more,
        }
        self.settings = settings_of(self.env)
        create_topics(self.settings.kafka)

    def _write_unless_there(self, name: str, text: str) -> None:
        path = self.folder / name
        if not path.exists():
            path.write_text(text, encoding="utf-8")

    @property
    def input(self) -> str:
        """The input topic."""
        return f"{self.name}.in"

    def fill(self, bodies: Iterable[bytes], topic: str | None = None) -> int:
        """Put messages on a topic, over all partitions; returns how many."""
        producer, count = PlainProducer(self.settings.kafka), 0
        for count, body in enumerate(bodies, 1):
            producer.send(OutRecord(topic or self.input, b"%d" % count, body))
        producer.flush()
        return count

    @contextmanager
    def watching(self, topic: str | None = None) -> Iterator["Watcher"]:
        """Read a topic of answers, by default the predictions, from its beginning."""
        wanted = topic or self.settings.kafka.topics.predictions
        with closing(PlainReader(self.settings.kafka, [wanted], from_beginning=True)) as reader:
            yield Watcher(reader)

    @contextmanager
    def worker(self, roles: str = "score", module: str = WORKER, more: Mapping[str, str] | None = None) -> Iterator["Process"]:
        """Run a worker process; it is gone afterwards, whatever happened."""
        command = [sys.executable, "-m", module, "work", "--roles", roles]
        with process(command, self.folder, {**self.env, **(more or {})}) as started:
            yield started


class Watcher:
    """A read_committed reader, and the keys that it has seen."""

    def __init__(self, reader: PlainReader) -> None:
        self._reader = reader
        self._keys: set[bytes | None] = set()
        self._total = 0

    def until(self, count: int, limit_s: float, alive: Callable[[], None] = lambda: None) -> Seen:
        """Read until so many answers more are there or the time is up; `alive` raises when there is nobody to answer.

        The pace is that of everything after the first that was visible, so that no start is in it.
        """
        before, total = len(self._keys), self._total
        first = 0
        first_s = last_s = 0.0
        deadline_s = time.perf_counter() + limit_s
        while len(self._keys) - before < count and (now_s := time.perf_counter()) < deadline_s:
            if some := self._take(_READ_S):
                last_s = time.perf_counter()
                first, first_s = (first, first_s) if first else (some, last_s)
            elif now_s - last_s > _ALIVE_EVERY_S:
                alive()
        seen, seconds = len(self._keys) - before, last_s - first_s
        return Seen(seen, self._total - total - seen, seconds, (seen - first) / seconds if seconds > 0 else 0.0)

    def rest(self, quiet_s: float = 1.0) -> int:
        """Read until nothing comes any more; returns how many came in all, those that came twice included."""
        while self._take(quiet_s):
            pass
        return self._total

    def _take(self, timeout_s: float) -> int:
        some = [record.key for record in self._reader.read(timeout_s)]
        self._total += len(some)
        self._keys.update(some)
        return len(some)


class Process:
    """A process of a side that is measured, and what it has used of the processor."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self.popen = popen
        self.log = log

    @property
    def cpu_s(self) -> float:
        """Processor seconds so far, of all its threads and children."""
        return cpu_s([self.popen.pid])

    def require_alive(self) -> None:
        """Raise RuntimeError, with the end of its log, if it has ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"it ended with {self.popen.returncode}: {self.tail()}")

    def tail(self, lines: int = 8) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@contextmanager
def process(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[Process]:
    """Run a process in a session of its own with our environment and more; all of the session is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{uuid.uuid4().hex[:8]}.log"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with log.open("ab") as sink:
        popen = subprocess.Popen(
            command,
            cwd=folder,
            env={**_own_environment(), "PYTHONPATH": path, **env},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield Process(popen, log)
    finally:
        _end(popen)


def _own_environment() -> dict[str, str]:
    """What is set for the person who runs this is not set for what is measured, but where the cache lies.

    Nor that Python shall not keep what it compiled: torch would take a minute at each start.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in kept.items() if not name.startswith("TIDINGS_") or name == "TIDINGS_CACHE_DIR"}


def _end(popen: "subprocess.Popen[bytes]") -> None:
    for number, patience_s in ((signal.SIGTERM, _LEAVING_S), (signal.SIGKILL, 10.0)):
        if popen.poll() is None:
            os.killpg(popen.pid, number)
            try:
                popen.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
    try:
        os.killpg(popen.pid, signal.SIGKILL)  # what it left behind in its session
    except ProcessLookupError:
        return


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor seconds of these processes and their children so far; of one that is gone, none."""
    total = 0.0
    for pid in pids:
        try:
            parent = psutil.Process(pid)
            times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
        total += sum(one.user + one.system for one in times)
    return total


def settings_of(env: Mapping[str, str]) -> Settings:
    """Read settings as a worker with this environment would."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        return Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def read_json(path: Path) -> Any:
    """Return a JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


def metrics_of(worker: Process, timeout_s: float = 5.0) -> dict[str, float]:
    """Return the worker's metrics, each sample by its name with its labels; empty if it does not answer."""
    port = _port(worker.log)
    if port is None:
        return {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
    except OSError:
        return {}
    finally:
        connection.close()
    pairs = (line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _port(log: Path) -> int | None:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{") and '"serving health and metrics"' in line:
            return int(json.loads(line)["port"])
    return None
