"""Look at topics with their settings, and carry out the steps of a migration."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from worker.adapters.kafka.admin import TopicSpec, inspect, topic_plan
from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.refusals import Refusals
from worker.migration.steps import Found, Role, Step, Topic
from worker.settings import KafkaSettings


def wanted_topics(settings: KafkaSettings) -> list[Topic]:
    """Return the topics as they should be; what must be large enough is what `topic_plan` sets."""
    return [
        Topic(spec.name, _role(settings, spec), settings.partitions, {name: int(value) for name, value in spec.config.items()})
        for spec in topic_plan(settings)
    ]


def _role(settings: KafkaSettings, spec: TopicSpec) -> Role:
    if spec.is_input:
        return "input"
    return "keyed" if spec.name in {settings.topics.signals, settings.topics.alerts} else "own"


def find_topics(settings: KafkaSettings) -> dict[str, Found]:
    """Return the topics as they are, by name.

    Raises:
        RetryableError: the cluster did not answer.
    """
    reports = inspect(settings).topics
    there = [report.spec.name for report in reports if report.partitions]
    configs = _configs(settings, there)
    return {report.spec.name: Found(report.partitions, configs.get(report.spec.name), report.denied) for report in reports}


def carry_out(settings: KafkaSettings, steps: Sequence[Step]) -> None:
    """Make, grow and set; steps that are for a person are left alone.

    Raises:
        RetryableError: the cluster did not answer, or refused.
    """
    admin = _admin(settings)
    specs = {spec.name: spec for spec in topic_plan(settings)}
    for step in steps:
        with translated(f"changing the topic {step.topic} (Create, Alter and AlterConfigs on it)"):
            if step.do == "create":
                _create(admin, settings, specs[step.topic])
            elif step.do == "grow":
                _wait(admin.create_partitions([NewPartitions(step.topic, int(step.value))], request_timeout=TIMEOUT_S))
            elif step.do == "set":
                _wait(admin.incremental_alter_configs([_resource(step)], request_timeout=TIMEOUT_S))


def _create(admin: AdminClient, settings: KafkaSettings, spec: TopicSpec) -> None:
    new = NewTopic(spec.name, settings.partitions, settings.replication_factor, config=spec.config)
    try:
        _wait(admin.create_topics([new], operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S))
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another one was quicker
            raise


def _resource(step: Step) -> ConfigResource:
    entry = ConfigEntry(step.setting, step.value, incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ConfigResource.Type.TOPIC, step.topic, incremental_configs=[entry])


def _configs(settings: KafkaSettings, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings of each topic, without those that the broker does not let us see."""
    if not names:
        return {}
    admin = _admin(settings)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    with translated(f"asking the brokers at {settings.bootstrap_servers}"):
        for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT_S).items():
            try:
                entries: dict[str, Any] = future.result(TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise
                continue
            found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
    return found


def _admin(settings: KafkaSettings) -> AdminClient:
    with configuring():
        return AdminClient(client_config(settings) | {"error_cb": Refusals("admin", settings)})


def _wait(futures: Mapping[Any, Any]) -> None:
    for future in futures.values():
        future.result(TIMEOUT_S)
