"""The worker runs with the permissions that docs/security.md lists, and with not one less: what is missing is told."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.contract.redis_servers import free_port
from tests.integration.flow import ROOT
from tests.integration.receiver import Receiver, receiving
from tests.security.certificates import Certificates
from tests.security.permissions import Permission, kafka_permissions, redis_command
from tests.security.secure_kafka import USERS, SecureKafka
from tests.security.secure_redis import SecureRedis
from tests.unit.worker.alert.builders import event as alert_event
from worker import app
from worker.adapters.kafka import PlainProducer, PlainReader, create_topics, inspect
from worker.adapters.notify_store import RedisNotifyStore
from worker.adapters.redis import _translated
from worker.app import RoleName
from worker.codec import decode_alert_event
from worker.errors import FatalError, TidingsError
from worker.messages import OutRecord, Record, TopicPartition
from worker.notify.ports import NotifyCommit
from worker.ops.health import Health
from worker.ops.lifetime import Role
from worker.ops.start import Start
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import AlertCommit, StoredEvent
from worker.score.contract import AnyContract
from worker.settings import AlertSettings, KafkaSettings, ModelSettings, NotifySettings, RedisSettings, Settings
from worker.stores import connect_store
from worker.testing.model import FakeModel, info_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
PERMISSIONS = kafka_permissions()
OF_ROLES = [permission for permission in PERMISSIONS if permission.principal != "operator"]
WATCHLIST = "topics: [{name: film, keywords: [film]}]\n"
RULES = """
rules:
  - name: bad
    detector: {type: share, window: 60s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 5}
    for: 10s
    keep_firing_for: 10s
    severity: critical
"""
NOTIFY = """
route: {{receiver: team, group_wait: 0s}}
receivers: [{{name: team, webhook_configs: [{{url: "{url}"}}]}}]
"""
REDIS_USERS = ("tidings", "tidings-notify")
PASSWORD = "PASSWORD"  # noqa: S105 - the word that the page has in its place
PATIENCE_S = 40.0
_BURSTS = count(int(time.time() * 1000) - 12 * 3_600_000, 120_000)
"""When each burst begins, in event time: past the one before, so that none is late."""
Settle = Callable[[str], Settings]
BUILD: Mapping[RoleName, Callable[[Settings, ExitStack, Start], Role]] = {
    "score": app.build_score,
    "alert": app.build_alert,
    "notify": app.build_notify,
}


@pytest.fixture(scope="module")
def granted(secure_kafka: SecureKafka, secure_redis: SecureRedis) -> Iterator[None]:
    """The topics of the default settings, and every permission of the page."""
    open_to_all = KafkaSettings(bootstrap_servers=secure_kafka.address("ADMIN"), partitions=1)
    create_topics(open_to_all)
    for permission in PERMISSIONS:
        permission.grant(secure_kafka.admin)
    for user in REDIS_USERS:
        secure_redis.admin.execute_command(*redis_command(user))
    yield
    for permission in PERMISSIONS:
        permission.take_away(secure_kafka.admin)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who is told of alerts."""
    with receiving(free_port()) as made:
        yield made


@pytest.fixture
def files(folder: Path, receiver: Receiver) -> Path:
    """The folder that the roles run in, with the files that they read."""
    (folder / "watchlist.yaml").write_text(WATCHLIST)
    (folder / "rules.yaml").write_text(RULES)
    (folder / "notify.yaml").write_text(NOTIFY.format(url=receiver.url))
    return folder


@pytest.fixture
def settle(
    granted: None,
    secure_kafka: SecureKafka,
    secure_redis: SecureRedis,
    certificates: Certificates,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settle:
    """Settings of a user, everything by its default name, as on the page; a model that finds every text bad."""
    del granted

    def connect(_settings: Settings, contract: AnyContract, *_: object) -> FakeModel:
        return FakeModel(lambda _ids: [4.0, 0.0, -4.0], info=info_of(contract))

    monkeypatch.setattr(app, "connect_model", connect)
    monkeypatch.setattr(app, "check_model_file", lambda *_: None)

    def settings(user: str) -> Settings:
        kafka = KafkaSettings(
            bootstrap_servers=secure_kafka.address("SCRAM"),
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=SecretStr(USERS[user]),
            ssl_ca_location=certificates.authority,
            session_timeout_s=6,
            transaction_timeout_s=10,
        )
        redis = RedisSettings(
            url=SecretStr(secure_redis.url()),
            username="tidings-notify" if user == "notify" else "tidings",
            password=SecretStr(PASSWORD),
            ssl_ca_location=certificates.authority,
        )
        alert = AlertSettings(idle_after_s=1)
        notify = NotifySettings(config=files / "notify.yaml", lease_s=3)
        return Settings(
            kafka=kafka, redis=redis, alert=alert, notify=notify, model=ModelSettings(repository=ROOT / "triton_repo")
        )

    return settings


class Running:
    """Roles in threads of their own, each as its own user, as `tidings work` runs them; `errors` is what ended one."""

    def __init__(self, settle: Settle, *roles: RoleName) -> None:
        self.errors: list[TidingsError] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(role, settle(role)), name=role, daemon=True) for role in roles
        ]

    def _run(self, name: RoleName, settings: Settings) -> None:
        build = BUILD[name]
        health = Health(PATIENCE_S, time.time, time.monotonic)
        try:
            with ExitStack() as stack:
                build(settings, stack, Start(RoleWatch(name, health), ModelWatch(), self._stop)).run(self._stop)
        except TidingsError as error:
            self.errors.append(error)

    def until(self, done: Callable[[], bool]) -> None:
        """Run until it is so, or until a role has ended with an error; fails if neither comes."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not self.errors and not done():
            assert time.monotonic() < deadline, "neither done nor refused"
            time.sleep(0.05)
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


@pytest.fixture
def send(secure_kafka: SecureKafka) -> Callable[[], str]:
    """Sends twenty bad messages on an entity of their own, and one that is no message; returns the alert key."""

    def burst() -> str:
        producer = PlainProducer(KafkaSettings(bootstrap_servers=secure_kafka.address("ADMIN")))
        entity = f"e{uuid.uuid4().hex[:8]}"
        start_ms = next(_BURSTS)
        for number in range(20):
            body = {"text": f"bad {entity} {number}", "entities": [entity], "published_at": start_ms + number * 3_000}
            producer.send(OutRecord("news", None, json.dumps(body).encode()))
        producer.send(OutRecord("chat", None, b"no JSON"))
        producer.flush()
        return f"entity:{entity}"

    return burst


def seen(secure_kafka: SecureKafka, topic: str) -> list[Record]:
    """What is committed on a topic."""
    settings = KafkaSettings(bootstrap_servers=secure_kafka.address("ADMIN"))
    with closing(PlainReader(settings, [topic], from_beginning=True)) as reader:
        return [record for _ in range(2) for record in reader.read(0.5)]


@pytest.fixture
def work(settle: Settle, send: Callable[[], str], secure_kafka: SecureKafka) -> Callable[[], list[TidingsError]]:
    """Runs both roles until messages of this run have become an alert; returns what ended one."""

    def until_alerted() -> list[TidingsError]:
        key = send()

        def alerted() -> bool:
            events = [decode_alert_event(record.value or b"") for record in seen(secure_kafka, "sentiment.alerts")]
            return any(event.alert_key == key and event.state == "firing" for event in events)

        running = Running(settle, "score", "alert")
        running.until(alerted)
        return running.errors

    return until_alerted


def test_all_roles_run_with_exactly_these(
    work: Callable[[], list[TidingsError]], settle: Settle, receiver: Receiver, secure_kafka: SecureKafka
) -> None:
    """Messages in, an alert out, a dead letter too, somebody told; by SASL_SSL and rediss://, as the users of the page."""
    assert work() == []
    assert seen(secure_kafka, "sentiment.dead-letters")
    notifying = Running(settle, "notify")
    notifying.until(lambda: bool(receiver.taken))
    assert notifying.errors == []


TRIED: Mapping[str, tuple[RoleName, ...]] = {"score": ("score",), "alert": ("score", "alert"), "notify": ("notify",)}
"""Who has to run so that a permission of one of them is used."""


@pytest.mark.parametrize("missing", OF_ROLES, ids=str)
def test_one_permission_less_is_told(
    settle: Settle,
    send: Callable[[], str],
    work: Callable[[], list[TidingsError]],
    secure_kafka: SecureKafka,
    secure_redis: SecureRedis,
    missing: Permission,
) -> None:
    """Each is needed: without it its role ends, saying what to grant. Redis is empty, so that the alert role rebuilds it."""
    if not seen(secure_kafka, "sentiment.alerts"):
        assert work() == []  # or there would be nothing to rebuild
    secure_redis.admin.flushall()
    send()
    roles = TRIED[missing.principal]
    missing.take_away(secure_kafka.admin)
    try:
        running = Running(settle, *roles)
        running.until(lambda: False)
    finally:
        missing.grant(secure_kafka.admin)
    (error,) = running.errors
    assert isinstance(error, FatalError)
    assert "grant the worker's principal" in str(error)
    assert missing.operation in str(error)


def test_an_operator_checks_and_creates(settle: Settle, secure_kafka: SecureKafka) -> None:
    """`tidings check` sees all topics, and `--create-topics` makes one that is missing."""
    operator = settle("operator").kafka
    assert all(topic.partitions and topic.max_message_bytes for topic in inspect(operator).topics)
    for future in secure_kafka.admin.delete_topics(["chat"]).values():
        future.result(30)
    deadline = time.monotonic() + 20
    while inspect(operator).missing != ["chat"]:
        assert time.monotonic() < deadline
    assert create_topics(operator) == ["chat"]


def test_a_role_sees_what_it_may_not(settle: Settle) -> None:
    """`tidings check`, run as the score role's user, names the topics that are the alert role's."""
    denied = {topic.spec.name: topic.denied for topic in inspect(settle("score").kafka).topics if topic.denied}
    assert denied == {
        "sentiment.signals": ("read",),
        **dict.fromkeys(("sentiment.alerts", "sentiment.review", "sentiment.feedback", "sentiment.shadow"), ("describe",)),
    }


def exercise(settings: Settings) -> None:
    """Everything that the alert role does with its store, once."""
    partition = TopicPartition("sentiment.signals", 7)
    with closing(connect_store(settings)) as store:
        with _translated():
            store._client.ping()  # as redis-py does by itself on a connection that has been idle
        store.version()
        found = store.load(partition)
        start = found.next_offset if found else None
        timers: list[dict[str, int | None]] = [{"a": 5, "b": 6}, {"a": None}]
        for number, due in enumerate(timers):
            first = (start or 0) + number
            expected = start if number == 0 else first
            event = StoredEvent(first, 0, alert_event())
            commit = AlertCommit(
                partition=partition,
                expected_offset=expected,
                next_offset=first + 1,
                max_event_time_ms=1,
                states={"a": b"1"},
                due=due,
                events=(event,),
                open={"one": event.event if number == 0 else None},
                suppression=b"1",
            )
            store.commit(commit)
            store.open_alerts(partition)
        assert store.states(partition, ["a"]) == {"a": b"1"}
        store.events(partition, 0, 10)
        store.trim(partition, first + 1)
        assert store.load(partition)


def exercise_notify(settings: Settings) -> None:
    """Everything that the notify role does with its store, once."""
    with closing(connect_store(settings)) as shared:
        with _translated():
            shared._client.ping()
        shared.version()
        store = RedisNotifyStore(shared.run, shared.close, settings.redis.prefix)
        assert store.acquire("token", 5)
        number = (store.renew("token", 5) or 0) + 1
        changes: list[dict[bytes, bytes | None]] = [{b"a": b"1"}, {b"a": None}]
        for groups in changes:
            store.commit("token", NotifyCommit(number, {TopicPartition("sentiment.alerts", 0): 1}, groups, {}))
        store.load()
        store.release("token")


EXERCISE: Mapping[str, Callable[[Settings], None]] = {"tidings": exercise, "tidings-notify": exercise_notify}


def redis_words() -> list[tuple[str, str]]:
    """The parts of the page's Redis rules that can be taken away, with the user: commands, keys and channel."""
    return [(user, word) for user in REDIS_USERS for word in redis_command(user) if word[0] in "+~&"]


def of_redis_user(settle: Settle, user: str, **changes: object) -> Settings:
    """Settings of the role that is this user of Redis."""
    settings = settle("notify" if user == "tidings-notify" else "alert")
    return settings.model_copy(update={"redis": settings.redis.model_copy(update={"stream_max_events": 1, **changes})})


@pytest.mark.parametrize("user", REDIS_USERS)
def test_redis_with_exactly_these(settle: Settle, secure_redis: SecureRedis, user: str) -> None:
    """Every command of the store, within its own keys; nothing else."""
    secure_redis.admin.flushall()
    secure_redis.admin.execute_command("SCRIPT", "FLUSH")
    EXERCISE[user](of_redis_user(settle, user))
    with pytest.raises(FatalError, match=r"permission"):
        EXERCISE[user](of_redis_user(settle, user, prefix="other"))


@pytest.mark.parametrize(("user", "missing"), redis_words())
def test_one_redis_permission_less_is_told(settle: Settle, secure_redis: SecureRedis, user: str, missing: str) -> None:
    """Each is needed, and the error says where the list is."""
    admin = secure_redis.admin
    admin.flushall()
    admin.execute_command("SCRIPT", "FLUSH")
    less = [word for word in redis_command(user) if word != missing]
    admin.execute_command("ACL", "SETUSER", user, "reset")
    admin.execute_command(*less)
    try:
        with pytest.raises(FatalError, match=r"docs/security\.md"):
            EXERCISE[user](of_redis_user(settle, user))
    finally:
        admin.execute_command(*redis_command(user))
