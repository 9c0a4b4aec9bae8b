"""The notify role as a process on the real Kafka and Redis, telling a real HTTP receiver that fails and comes back."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.contract.redis_servers import free_port
from tests.integration.flow import Flow, WorkerProcess, make_flow
from tests.integration.receiver import Receiver, receiving, until
from tests.unit.worker.notify.builders import alert
from worker.adapters.kafka import PlainProducer
from worker.codec import alert_record
from worker.messages import AlertEvent, TopicPartition
from worker.notify.signing import verify
from worker.ports import StoredEvent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECRET = "hunter2-secret"  # noqa: S105 - planted


@pytest.fixture
def port() -> int:
    """The receiver's port, whether it is there or not."""
    return free_port()


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path, port: int) -> Flow:
    """Topics of this test's own, and one receiver."""
    (tmp_path / "secret").write_text(SECRET)
    hook = f"url: 'http://127.0.0.1:{port}/hunter2', timeout: 1s, signing: {{secret_file: secret}}"
    notify = f"""
    route: {{receiver: team, group_by: [alertname], group_wait: 500ms, group_interval: 500ms, repeat_interval: 1h}}
    receivers: [{{name: team, webhook_configs: [{{{hook}}}]}}]
    """
    made = make_flow(names, stack.settings_env(), tmp_path, {"notify.yaml": notify})
    more = {"TIDINGS_NOTIFY__CONFIG": "notify.yaml", "TIDINGS_NOTIFY__LEASE_S": "3", "TIDINGS_NOTIFY__MAX_PAUSE_S": "1"}
    return Flow(made.folder, {**made.env, **more}, made.settings)


@pytest.fixture
def receiver(port: int) -> Iterator[Receiver]:
    """A receiver that answers 200."""
    with receiving(port) as made:
        yield made


def tell(flow: Flow, *events: AlertEvent) -> None:
    """Put events onto the topic of alerts, as the relay does."""
    producer = PlainProducer(flow.settings.kafka)
    for event in events:
        producer.send(alert_record(flow.settings.kafka.topics.alerts, TopicPartition("signals", 0), StoredEvent(0, 0, event)))
    producer.flush()


def test_a_receiver_that_fails_in_every_way_and_recovers(flow: Flow, port: int) -> None:
    """Refused connections, 500, silence: ready all the same, told by /readyz and metrics; then one notification, signed."""
    with flow.worker("notify") as worker:
        tell(flow, *(alert(name) for name in "abc"))
        worker.until(lambda: worker.lines("notification failed"))
        with receiving(port) as receiver:
            receiver.status = 500
            until(lambda: len(receiver.requests) >= 2)
            receiver.status = None
            until(lambda: receiver.requests[-1].status is None)
            tell(flow, alert("b", "resolved"), alert("d"), alert("d", "resolved"), alert("e"))
            worker.until(worker.ready)
            assert "fails: " in json.loads(worker.get("/readyz")[1])["parts"]["receiver team/webhook/0"]["message"]
            receiver.status = 200
            until(lambda: receiver.taken)
            until(lambda: ("e", "firing") in [pair for request in receiver.taken for pair in request.alerts])
            first = receiver.taken[0]
            assert verify(SECRET.encode(), first.headers["x-tidings-signature"], first.body, _signed_at(first.headers))
            told = dict(pair for request in receiver.taken for pair in request.alerts)
            assert {name: told[name] for name in "ace"} == dict.fromkeys("ace", "firing")
            assert told.get("b") != "firing"
            assert len(receiver.taken) <= 2, "one with what is so, and one more if it recovered in between"
            empty = 'tidings_notification_queue{integration="webhook/0",receiver="team"} 0.0'
            worker.until(lambda: empty in worker.get("/metrics")[1])
            metrics = worker.get("/metrics")[1]
        assert worker.terminate() == 0
        failed = 'tidings_notifications_failed_total{{integration="webhook/0",reason="{}",receiver="team"}} '
        for reason in ("no_connection", "server_error"):
            assert float(metrics.split(failed.format(reason))[1].split()[0]) > 0
        assert "hunter2" not in worker.log.read_text() + metrics


def _signed_at(headers: dict[str, str]) -> int:
    return int(headers["x-tidings-signature"].split(",")[0].removeprefix("t="))


def test_a_kill_between_sending_and_record_repeats_the_key(flow: Flow, receiver: Receiver) -> None:
    """The answer never came: the next process says the same, under the same key, and goes on from there."""
    receiver.status = None
    with flow.worker("notify") as worker:
        tell(flow, alert("a"), alert("b"))
        until(lambda: receiver.requests)
        worker.kill()
    receiver.status = 200
    with flow.worker("notify") as worker:
        until(lambda: receiver.taken)
        first, again = receiver.requests[0], receiver.taken[0]
        assert again.headers["idempotency-key"] == first.headers["idempotency-key"]
        assert again.body == first.body
        tell(flow, alert("a", "resolved"), alert("b", "resolved"))
        until(lambda: len(receiver.taken) >= 2)
        assert receiver.taken[-1].alerts == [("a", "resolved"), ("b", "resolved")]
        assert worker.terminate() == 0


def test_another_takes_over_and_a_lost_redis_is_no_storm(flow: Flow, receiver: Receiver) -> None:
    """One works and one stands by, ready; after a loss of Redis nobody hears again what they know, but hears of the end."""
    elsewhere = flow.folder / "elsewhere"  # with a log of its own
    elsewhere.mkdir()
    for name in ("notify.yaml", "secret"):
        shutil.copy(flow.folder / name, elsewhere)
    with flow.worker("notify") as first, replace(flow, folder=elsewhere).worker("notify") as second:
        tell(flow, alert("a"), alert("b"))
        until(lambda: receiver.taken)
        for worker in (first, second):
            worker.until(worker.ready)
        active, standby = (first, second) if working(first) else (second, first)
        assert "standing by" in standby.get("/readyz")[1]
        assert active.terminate() == 0
        standby.until(lambda: working(standby))
        standby.until(lambda: standby.lines("partitions assigned"))
        assert standby.terminate() == 0
    assert len(receiver.taken) == 1
    flow.lose_redis()
    with flow.worker("notify") as worker:
        tell(flow, alert("a", "resolved"))
        until(lambda: len(receiver.taken) >= 2)
        assert ("a", "resolved") in receiver.taken[1].alerts
        assert worker.terminate() == 0
    assert len(receiver.taken) == 2


def working(worker: WorkerProcess) -> bool:
    """Whether it is the active one."""
    return bool(worker.lines("the active notifier from now on"))
