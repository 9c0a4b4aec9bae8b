"""Ten times what the worker can take, and nobody holds back: what is in hand, its memory and its lag, and catching up after it.

Real Kafka, and a real Triton whose model is slow by so much that the worker's capacity is known, until it is told to be quick.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from deploy.local.config import ModelChoice, StackConfig
from deploy.local.stack import LocalStack
from tests.chaos.lexicon import build_repository
from tests.chaos.triton import TritonServer
from tests.conftest import Names
from tests.integration.flow import Flow, WorkerProcess, make_flow
from tests.integration.test_flow import BAD, GOOD, RULES, WATCHLIST
from tests.integration.test_operations import changed, sample
from worker.adapters.kafka import PlainProducer
from worker.messages import OutRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DELAY_S = 1.0
BATCH, IN_FLIGHT = 16, 2
CAPACITY = BATCH * IN_FLIGHT / DELAY_S
"""Messages a second that the worker can take at most: so many are at the model at one time, and each stays so long."""
RATE = 11 * CAPACITY
SECONDS = 26.0
WARM_UP_S = 10.0
MAX_PENDING = 200
PADDING = "x" * 6_000
"""Without a bound, what piles up would be half as much again as the whole process."""
MOST_GROWTH = 1.15
BAD_EVERY = 50
"""Of so many messages one is no JSON, and ends as a dead letter."""


@dataclass(frozen=True)
class Seen:
    """What the worker said of itself at one moment of the overload."""

    at_s: float
    in_hand: float
    lag_s: float
    memory: float
    done: float


@pytest.fixture
def triton(tmp_path: Path) -> Iterator[TritonServer]:
    """A server of this test's own, with a model that costs next to nothing but the time it is told to take."""
    config = StackConfig.from_environment()
    repository = tmp_path / "triton_repo"
    build_repository(repository)
    (tmp_path / "logs").mkdir()
    server = TritonServer(config.but(model_repository=repository, triton=ModelChoice.TRITON), tmp_path, lambda _: None)
    try:
        server.server.start()
        server.server.wait_ready()
        yield server
    finally:
        server.server.kill()


@pytest.fixture
def flow(stack: LocalStack, triton: TritonServer, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own on the real stack, and a worker of known capacity."""
    made = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})
    return changed(
        made,
        TIDINGS_TRITON__URL=f"127.0.0.1:{triton.grpc_port}",
        TIDINGS_MODEL__REPOSITORY=str(tmp_path / "triton_repo"),
        TIDINGS_SCORE__BATCH_TEXTS=str(BATCH),
        TIDINGS_SCORE__IN_FLIGHT=str(IN_FLIGHT),
        TIDINGS_SCORE__MAX_PENDING=str(MAX_PENDING),
        TIDINGS_SCORE__DUPLICATE_CACHE="500",
    )


def body(number: int) -> bytes:
    """One message, its text like no other; now and then one that is refused."""
    if number % BAD_EVERY == 0:
        return f"no JSON: {number}".encode()
    text = f"{BAD if number % 3 else GOOD} ({number})"
    return json.dumps({"id": str(number), "text": text, "padding": PADDING}).encode()


def feed(flow: Flow, worker: WorkerProcess) -> tuple[int, list[Seen]]:
    """Send at the rate, by the clock and whatever the worker does; return how many, and what was seen every second."""
    producer, topic = PlainProducer(flow.settings.kafka), flow.input("news")
    sent, seen, began_s = 0, list[Seen](), time.monotonic()
    while (at_s := time.monotonic() - began_s) < SECONDS:
        for number in range(sent, int(at_s * RATE)):
            producer.send(OutRecord(topic, str(number).encode(), body(number)))
        sent = int(at_s * RATE)
        if at_s > len(seen):
            seen.append(look(worker, topic, at_s))
        time.sleep(0.05)
    producer.flush()
    return sent, seen


def look(worker: WorkerProcess, topic: str, at_s: float) -> Seen:
    """Ask the worker how it is."""
    return Seen(
        at_s,
        sample(worker, "tidings_records_in_hand", role="score"),
        sample(worker, "tidings_consumer_lag_seconds", topic=topic, partition="0"),
        sample(worker, "process_resident_memory_bytes"),
        sample(worker, "tidings_consumer_committed_offset", role="score"),
    )


def test_ten_times_the_capacity_is_held_and_caught_up_with(flow: Flow, triton: TritonServer) -> None:
    """A bound in hand, flat memory, growing lag, a live worker; then the model is quick again, no lag, each message once."""
    triton.order(delay_s=DELAY_S)
    with flow.worker("score") as worker:
        worker.until(worker.ready)
        sent, seen = feed(flow, worker)
        assert worker.get("/healthz")[0] == 200
        assert sent >= 10 * seen[-1].done > 0
        assert MAX_PENDING / 2 <= max(one.in_hand for one in seen) <= MAX_PENDING
        steady = [one for one in seen if one.at_s >= WARM_UP_S]
        assert memory(steady[-7:]) <= MOST_GROWTH * memory(steady[:7])
        assert steady[-1].lag_s > steady[0].lag_s + 0.5 * (steady[-1].at_s - steady[0].at_s)
        triton.order()
        worker.until(lambda: sample(worker, "tidings_consumer_committed_offset", role="score") == sent)
        worker.until(lambda: sample(worker, "tidings_consumer_lag_seconds", role="score") == 0)
        assert worker.terminate() == 0
        (drained,) = worker.lines("score role drained")
    refused = set(range(0, sent, BAD_EVERY))
    assert drained["aborted"] == 0
    assert flow.predictions(sent - len(refused)).keys() == {str(number) for number in range(sent)} - set(map(str, refused))
    assert sorted(letter.value or b"" for letter in flow.dead_letters(len(refused))) == sorted(map(body, refused))


def memory(seen: Sequence[Seen]) -> float:
    """The resident memory in the middle of what was seen."""
    return median(one.memory for one in seen)
