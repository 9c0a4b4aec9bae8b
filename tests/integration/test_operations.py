"""A worker process on the real stack as operators see it: start-up in any order, readiness, metrics, leaving in time."""

import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.door import Door
from tests.integration.flow import Flow, WorkerProcess, make_flow
from tests.integration.test_flow import BAD, GOOD, RULES, START_MS, WATCHLIST, films
from worker.adapters.kafka import create_topics
from worker.errors import UnfinishedError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADDRESSES = {
    "kafka": "TIDINGS_KAFKA__BOOTSTRAP_SERVERS",
    "redis": "TIDINGS_REDIS__URL",
    "model": "TIDINGS_TRITON__URL",
}
"""The parts as `/readyz` names them, and the variable that says where each is."""
SERVERS = {"kafka": "kafka", "redis": "redis", "model": "triton"}
LIMIT_S = 6.0
"""The time to leave that these workers get."""
SLACK_S = 4.0
"""For a busy machine to start and end a process in."""


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own on the real stack."""
    made = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})
    return changed(made, TIDINGS_OPS__SHUTDOWN_TIMEOUT_S=str(LIMIT_S))


def changed(flow: Flow, **env: str) -> Flow:
    """The same topics, for a worker with other settings."""
    return replace(flow, env={**flow.env, **env})


def behind(flow: Flow, part: str, door: Door) -> Flow:
    """The flow of a worker that finds the part behind the door."""
    variable = ADDRESSES[part]
    address = re.sub(r"[\w.]+:\d+", door.address, flow.env[variable])
    return changed(flow, **{variable: address})


def door_to(flow: Flow, part: str) -> Door:
    """A door before one of the real parts, shut."""
    found = re.search(r"[\w.]+:\d+", flow.env[ADDRESSES[part]])
    assert found
    return Door(found[0])


def standing(worker: WorkerProcess) -> dict[str, Any]:
    """What `/readyz` says."""
    told: dict[str, Any] = json.loads(worker.get("/readyz")[1])
    return told


def sample(worker: WorkerProcess, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", worker.get("/metrics")[1], re.MULTILINE)
    return sum(float(value) for text, value in found if all(f'{label}="{its}"' in text for label, its in labels.items()))


def leave(worker: WorkerProcess, within_s: float) -> int:
    """Wait for its end and return its exit code; it may take so long."""
    began = time.monotonic()
    code = worker.process.wait(60)
    assert time.monotonic() - began < within_s
    return code


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
@pytest.mark.parametrize("part", list(ADDRESSES))
def test_a_part_that_is_not_there_is_waited_for(flow: Flow, part: str, silent: bool) -> None:
    """Alive, not ready, and saying what is missing and where; when it comes, whatever it did before, the work begins."""
    with door_to(flow, part) as door:
        if silent:
            door.open(somebody_in=False)
        quick = changed(behind(flow, part, door), TIDINGS_TRITON__TIMEOUT_S="2", TIDINGS_REDIS__TIMEOUT_S="1")
        with quick.worker() as worker:
            (told, *_) = worker.until(lambda: worker.lines("waiting"))
            assert door.address in told["what"]
            assert worker.get("/healthz")[0] == 200
            assert worker.get("/readyz")[0] == 503
            assert part in standing(worker)["waiting_for"]
            assert door.address in standing(worker)["parts"][part]["message"]
            door.open()
            worker.until(worker.ready)
            assert set(standing(worker)["parts"]) == {"kafka", "redis", "model", "score", "alert"}
            flow.send_messages("news", films([GOOD], START_MS))
            assert flow.predictions(1)
            worker.signal()
            assert leave(worker, LIMIT_S + SLACK_S) == 0


@pytest.mark.parametrize("part", list(ADDRESSES))
def test_a_stop_ends_the_waiting_at_once(flow: Flow, part: str) -> None:
    """Even in the middle of a call that takes its time: nothing is in hand, so all is well."""
    with door_to(flow, part) as door:
        door.open(somebody_in=False)
        with behind(flow, part, door).worker() as worker:
            worker.until(lambda: part in standing(worker)["waiting_for"])
            worker.signal()
            assert leave(worker, 1.0 + SLACK_S) == 0
            assert worker.lines("stopped")


def test_topics_that_are_missing_are_waited_for(flow: Flow, names: Names) -> None:
    """They are named, with the command that makes them."""
    topic = names.topic("later")
    later = make_settings(flow, topic)
    with changed(flow, TIDINGS_KAFKA__TOPICS__PREDICTIONS=topic).worker("score") as worker:
        (told, *_) = worker.until(lambda: worker.lines("waiting"))
        assert f"no topic {topic}" in told["error"]
        assert "--create-topics" in told["error"]
        create_topics(later)
        worker.until(worker.ready)
        assert worker.terminate() == 0


def make_settings(flow: Flow, predictions: str) -> Any:
    """Kafka's settings with another topic of predictions."""
    kafka = flow.settings.kafka
    return kafka.model_copy(update={"topics": kafka.topics.model_copy(update={"predictions": predictions})})


def test_what_waiting_cannot_mend_ends_it(flow: Flow) -> None:
    """A password that Redis refuses: one sentence that holds no password, and an exit code for the supervisor."""
    address = flow.env["TIDINGS_REDIS__URL"].rpartition("@")[2].removeprefix("redis://")
    with changed(flow, TIDINGS_REDIS__URL=f"redis://somebody:hunter2@{address}").worker("alert") as worker:
        assert leave(worker, 30) == 1
    said = worker.log.read_text()
    assert "Redis refuses us" in said
    assert "hunter2" not in said


def test_a_stop_in_mid_stream_leaves_nothing_to_do_twice(flow: Flow) -> None:
    """What was read is finished and committed; the next worker begins exactly behind it, and nothing was rolled back."""
    messages = films(([GOOD] * 30 + [BAD] * 40) * 5, START_MS)
    patient = changed(flow, TIDINGS_OPS__SHUTDOWN_TIMEOUT_S="25", TIDINGS_SCORE__MAX_PENDING="100")
    with patient.worker() as first:
        first.until(first.ready)
        flow.send_messages("news", messages)
        first.until(lambda: sample(first, "tidings_messages_total") > 40)
        first.signal()
        assert leave(first, 25 + SLACK_S) == 0
        (one,) = first.lines("score role drained")
    with flow.worker() as second:
        assert flow.predictions(len(messages)).keys() == {message["id"] for message in messages}
        assert second.terminate() == 0
        (two,) = second.lines("score role drained")
    assert (one["left"], one["aborted"], two["aborted"]) == (0, 0, 0)
    assert 0 < one["messages"] < len(messages)
    assert one["messages"] + two["messages"] == len(messages)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hastens_it(flow: Flow, stack: LocalStack, number: signal.Signals) -> None:
    """With a model that hangs: what is done is committed, the rest dropped, and another worker does it."""
    patient = changed(flow, TIDINGS_OPS__SHUTDOWN_TIMEOUT_S="60")
    messages = films([GOOD] * 20, START_MS)
    with patient.worker() as worker:
        worker.until(worker.ready)
        stack.server("triton").pause()
        try:
            flow.send_messages("news", messages)
            worker.until(lambda: sample(worker, "tidings_records_in_hand", role="score") == len(messages))
            worker.signal(number)
            worker.until(lambda: worker.lines("leaving"))
            worker.signal(number)
            assert leave(worker, 5.0 + SLACK_S) == UnfinishedError.exit_code
        finally:
            stack.server("triton").resume()
    assert "20 records in hand" in worker.log.read_text()
    with flow.worker() as second:
        assert len(flow.predictions(len(messages))) == len(messages)
        assert second.terminate() == 0


@pytest.mark.parametrize("part", list(SERVERS))
def test_a_part_that_hangs_holds_nobody_up(flow: Flow, stack: LocalStack, part: str) -> None:
    """The worker leaves by itself when its time is over, says what was left and exits with its own code; nothing is lost."""
    messages = films([GOOD] * 20 + [BAD] * 20 + [GOOD] * 40, START_MS)
    with flow.worker() as worker:
        worker.until(worker.ready)
        flow.send_messages("news", messages[:40])
        flow.predictions(40)
        server = stack.server(SERVERS[part])
        if part == "kafka":
            send_and_hold(flow, stack, worker, messages[40:])
        else:
            server.pause()
        try:
            if part != "kafka":
                flow.send_messages("news", messages[40:])
                worker.until(lambda: part in standing(worker)["waiting_for"] or hangs(worker))
            assert worker.get("/healthz")[0] == 200
            worker.signal()
            assert leave(worker, LIMIT_S + SLACK_S) == UnfinishedError.exit_code
        finally:
            server.resume()
    assert "it is not lost" in worker.log.read_text()
    with flow.worker() as second:
        assert flow.predictions(len(messages)).keys() == {message["id"] for message in messages}
        assert [event.state for event in flow.alerts(2)] == ["firing", "resolved"]
        assert second.terminate() == 0


def send_and_hold(flow: Flow, stack: LocalStack, worker: WorkerProcess, messages: list[dict[str, Any]]) -> None:
    """Let Kafka hang while the worker has all of these in hand: the model answers only when there is nowhere to publish to."""
    model = stack.server("triton")
    model.pause()
    try:
        flow.send_messages("news", messages)
        worker.until(lambda: sample(worker, "tidings_records_in_hand", role="score") == len(messages))
        stack.server("kafka").pause()
    finally:
        model.resume()


def hangs(worker: WorkerProcess) -> bool:
    """Whether the worker has something in hand for long enough to say that somebody does not answer."""
    return sample(worker, "tidings_consumer_lag_seconds") > 3


def test_metrics_tell_what_was_done_and_how_far_behind_it_is(flow: Flow, stack: LocalStack) -> None:
    """Counts by kind and reason; a lag of 0 when caught up, and one that grows while the model hangs."""
    with flow.worker() as worker:
        flow.send_messages("news", films([GOOD] * 5, START_MS))
        flow.send("chat", [b"no JSON", b"{}", b"{}"])
        flow.predictions(5)
        flow.dead_letters(3)
        worker.until(lambda: sample(worker, "tidings_consumer_committed_offset", role="score") == 8)
        assert sample(worker, "tidings_predictions_total") == 5
        assert sample(worker, "tidings_dead_letters_total", reason="not_json") == 1
        assert sample(worker, "tidings_dead_letters_total") == 3
        worker.until(lambda: sample(worker, "tidings_consumer_lag_records") == 0)
        assert sample(worker, "tidings_consumer_lag_seconds") == 0
        assert sample(worker, "tidings_consumer_partitions") == 6
        assert sample(worker, "process_resident_memory_bytes") > 0
        stack.server("triton").pause()
        try:
            flow.send_messages("news", films([BAD] * 7, START_MS))
            worker.until(lambda: sample(worker, "tidings_consumer_lag_seconds", role="score") > 2)
            assert sample(worker, "tidings_consumer_lag_records", role="score") == 7
        finally:
            stack.server("triton").resume()
        worker.until(lambda: sample(worker, "tidings_consumer_lag_seconds") == 0)
        assert worker.terminate() == 0
