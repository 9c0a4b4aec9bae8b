"""Put up everything a run needs, from the model to the worker, each closed in order by one ExitStack."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.config import StackConfig
from deploy.local.demo.clients import AlertStreams, Config, Reader
from deploy.local.demo.names import Names, names_for, worker_settings
from deploy.local.demo.stage import PartLine
from deploy.local.demo.topics import count_partitions, delete_topics, make_topics
from deploy.local.demo.worker import Worker
from deploy.local.report import Kind
from deploy.local.stack import LocalStack
from deploy.local.system import Say
from training.paths import cache_dir, project_root, repository_dir
from worker.adapters.kafka.config import client_config
from worker.app import load_settings
from worker.settings import KafkaSettings, Topics

FILES = Path(__file__).parent
MODEL = "sentiment"
READ = ("predictions", "dead_letters", "alerts")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is up: the stack, the worker on it, the names of this run, and the demo's own readers."""

    stack: LocalStack
    worker: Worker
    names: Names
    config: Config
    reader: Reader
    streams: AlertStreams
    model: dict[str, Any]

    @property
    def stand_in(self) -> bool:
        """Whether a mock broker stands in for Kafka."""
        return _is_stand_in(self.stack, "kafka")

    @property
    def parts(self) -> tuple[PartLine, ...]:
        """The parts with their versions, and the model."""
        reports = self.stack.reports()
        lines = [PartLine(part.name, part.software, part.note if part.kind is Kind.STAND_IN else "") for part in reports]
        model = self.model
        return (
            *lines,
            PartLine("model", f"{model['name']} {model['version']}, {model['base']}, adapter {model['adapter'][:8]}"),
        )

    def check(self) -> None:
        """See that the stack and the worker are still there.

        Raises:
            LocalStackError, DemoError: one has ended; the message names its log.
        """
        self.stack.check_alive()
        self.worker.check()


def set_up(ends: ExitStack, say: Say) -> Setting:
    """Start the stack, make the topics, start the worker and wait until it reads; `ends` takes it all down again.

    Raises:
        LocalStackError, DemoError, TidingsError: something did not come up; the message says what and names its log.
    """
    repository = repository_dir()
    config = StackConfig.from_environment().but(
        state=project_root() / ".tidings", cache=cache_dir(), model_repository=repository
    )
    stack = ends.enter_context(LocalStack.start(config, say))
    names = names_for(str(time.time_ns()), shared=bool(config.external.keys() & {"kafka", "redis"}))
    addresses = stack.settings_env()
    kafka = _kafka_settings(addresses, names)
    clients = client_config(kafka)
    say("making the topics")
    make_topics(kafka, clients, stand_in=_is_stand_in(stack, "kafka"))
    if names.prefix:
        ends.callback(delete_topics, kafka, clients)
    streams = _streams(addresses, clients, names, ends)
    settings = {**addresses, **worker_settings(names, FILES, repository)}
    say("starting the worker")
    worker = ends.enter_context(Worker(settings, stack.logs / "worker.log"))
    worker.wait_assigned([*names.inputs.values(), names.outputs["signals"]])
    reader = ends.enter_context(closing(Reader(clients, [names.outputs[name] for name in READ])))
    return Setting(stack, worker, names, clients, reader, streams, model_of(repository))


def model_of(repository: Path) -> dict[str, Any]:
    """Return what the contract says of the model: name, version, base, and the adapter's short SHA-256."""
    model = json.loads((repository / MODEL / "contract.json").read_text("utf-8"))["model"]
    return {"name": model["name"], "version": model["version"], "base": model["base"], "adapter": model["adapter_sha256"][:12]}


def _kafka_settings(addresses: dict[str, str], names: Names) -> KafkaSettings:
    changes = {
        "input_topics": {topic: kind for kind, topic in names.inputs.items()},
        "topics": Topics(**names.outputs),
        "group_prefix": names.owner,
        "bootstrap_servers": addresses["TIDINGS_KAFKA__BOOTSTRAP_SERVERS"],
    }
    return load_settings().kafka.model_copy(update=changes)


def _streams(addresses: dict[str, str], clients: Config, names: Names, ends: ExitStack) -> AlertStreams:
    signals = names.outputs["signals"]
    partitions = count_partitions(clients, signals)
    streams = ends.enter_context(closing(AlertStreams(addresses["TIDINGS_REDIS__URL"], names.owner, signals, partitions)))
    if names.prefix:
        ends.callback(streams.clear)
    return streams


def _is_stand_in(stack: LocalStack, part: str) -> bool:
    return any(report.name == part and report.kind is Kind.STAND_IN for report in stack.reports())
