"""The topics Tidings needs: what they should be, making them, and looking at what is there."""

from concurrent.futures import Future

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic
from msgspec.structs import replace

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.refusals import Refusals
from worker.settings import KafkaSettings

_DAY_MS = 86_400_000


class TopicSpec(msgspec.Struct, frozen=True):
    """A topic as it should be: whether the worker reads or writes it, and the broker's settings for it."""

    name: str
    reads: bool
    writes: bool
    config: dict[str, str]

    @property
    def is_input(self) -> bool:
        """Whether producers outside write it: then its records may be anything."""
        return self.reads and not self.writes


class TopicReport(msgspec.Struct, frozen=True):
    """A topic as it is. `partitions` 0 means that it does not exist; `denied` names the operations we may not do."""

    spec: TopicSpec
    partitions: int
    denied: tuple[str, ...] = ()
    max_message_bytes: int | None = None
    """None where the broker does not let us see it."""


class ClusterReport(msgspec.Struct, frozen=True):
    """A cluster as it is."""

    brokers: int
    topics: tuple[TopicReport, ...]

    @property
    def missing(self) -> list[str]:
        """The topics that are not there."""
        return [topic.spec.name for topic in self.topics if topic.partitions == 0]


def topic_plan(settings: KafkaSettings) -> list[TopicSpec]:
    """Return the topics of these settings.

    Input and dead letters hold records up to `message_max_bytes`, dead letters with room for the added headers; alerts and
    reviews are kept for 30 days, people's answers for a year, everything else for 7 days.
    """
    size = settings.message_max_bytes
    week, month, year = ({"retention.ms": str(days * _DAY_MS)} for days in (7, 30, 365))
    topics = settings.topics
    return [
        *(TopicSpec(name, True, False, week | {"max.message.bytes": str(size // 2)}) for name in settings.input_topics),
        TopicSpec(topics.predictions, False, True, week),
        TopicSpec(topics.signals, True, True, week),
        TopicSpec(topics.alerts, False, True, month),
        TopicSpec(topics.dead_letters, False, True, month | {"max.message.bytes": str(size)}),
        TopicSpec(topics.review, False, True, month),
        TopicSpec(topics.feedback, False, True, year),
        TopicSpec(topics.shadow, False, True, week),
    ]


def create_topics(settings: KafkaSettings) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        RetryableError: the cluster did not answer, or refused.
    """
    missing = set(inspect(settings).missing)
    wanted = [
        NewTopic(spec.name, settings.partitions, settings.replication_factor, config=spec.config)
        for spec in topic_plan(settings)
        if spec.name in missing
    ]
    if not wanted:
        return []
    admin = _admin(settings, Refusals("admin", settings))
    with translated("creating topics (Create on each)"):
        for future in admin.create_topics(wanted, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S).values():
            _wait_for_topic(future)
    return sorted(missing)


def _wait_for_topic(future: "Future[None]") -> None:
    try:
        future.result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was quicker
            raise


def inspect(settings: KafkaSettings) -> ClusterReport:
    """Ask the cluster about the topics of these settings.

    Raises:
        RetryableError: the cluster did not answer.
    """
    refusals = Refusals("admin", settings)
    admin = _admin(settings, refusals)
    plan = topic_plan(settings)
    with translated(f"asking the brokers at {settings.bootstrap_servers}"):
        known = refusals.answer(lambda timeout_s: admin.list_topics(timeout=timeout_s), admin.poll, TIMEOUT_S / 3)
        brokers = len(known.brokers)
        names = TopicCollection([spec.name for spec in plan])
        answers = admin.describe_topics(names, include_authorized_operations=True, request_timeout=TIMEOUT_S)
        reports = [_report(spec, answers[spec.name]) for spec in plan]
        return ClusterReport(brokers, tuple(_with_size(admin, report) for report in reports))


def _admin(settings: KafkaSettings, refusals: Refusals) -> AdminClient:
    with configuring():
        return AdminClient(client_config(settings) | {"error_cb": refusals})


def _with_size(admin: AdminClient, report: TopicReport) -> TopicReport:
    if report.partitions == 0:
        return report
    topic = ConfigResource(ConfigResource.Type.TOPIC, report.spec.name)
    try:
        config = admin.describe_configs([topic], request_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return report
        raise
    return replace(report, max_message_bytes=int(config["max.message.bytes"].value))


def _report(spec: TopicSpec, answer: "Future[TopicDescription]") -> TopicReport:
    try:
        description = answer.result(TIMEOUT_S)
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return TopicReport(spec, 0)
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return TopicReport(spec, 0, ("describe",))
        raise
    wanted = [(AclOperation.READ, spec.reads), (AclOperation.WRITE, spec.writes)]
    # Nothing at all: a broker that does not tell, or one without an authorizer, where everybody may do everything.
    allowed = description.authorized_operations
    denied = [op.name.lower() for op, needed in wanted if needed and allowed and op not in allowed]
    return TopicReport(spec, len(description.partitions), tuple(denied))
