"""Apache Kafka on one machine: KRaft, one node that is broker and controller, jars fetched by Maven."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.config import KAFKA_VARIABLE, StackConfig
from deploy.local.errors import MissingPackageError, NotReadyError
from deploy.local.paths import RunFolder, building, content_key
from deploy.local.ports import LOOPBACK, answers, free_ports
from deploy.local.process import Ready, ServerSpec
from deploy.local.system import Say, find_or_install, install, run_logged

_POM = Path(__file__).with_name("pom.xml")
_LOG4J = Path(__file__).with_name("log4j2.xml")
_MAVEN_NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}
_JAVA_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "openjdk-25-jre-headless")
_MINIMUM_JAVA = 17
_MESSAGE_MAX_BYTES = 8 * 1024 * 1024
_JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # A broker that lives for minutes is not worth its optimising compiler, which takes as much again as the broker.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)


def pinned_version() -> str:
    """The Kafka version that `pom.xml` pins."""
    element = ET.parse(_POM).find("m:properties/m:kafka.version", _MAVEN_NAMESPACE)  # noqa: S314 - our own file
    if element is None or element.text is None:
        raise ValueError(f"{_POM.name} has no kafka.version")
    return element.text


def java_major(version_output: str) -> int:
    """The major version in what `java -version` prints; 0 when it cannot be told."""
    found = re.search(r'version "(\d+)', version_output)
    return int(found.group(1)) if found else 0


def find_java(log: Path, say: Say, *, may_install: bool) -> str:
    """A Java of 17 or later, as Kafka 4 brokers need.

    Raises:
        MissingPackageError, PreparationError: there is none and it cannot be installed.
    """
    found = shutil.which("java")
    if found is None or _java_version(found) < _MINIMUM_JAVA:
        install(_JAVA_PACKAGES, log, say, may_install=may_install)
        found = shutil.which("java")
    if found is None or (version := _java_version(found)) < _MINIMUM_JAVA:
        what = f"java on the PATH is version {version}" if found else "java is not on the PATH"
        raise MissingPackageError(f"Kafka 4 needs Java {_MINIMUM_JAVA} or later, but {what}")
    return found


def _java_version(java: str) -> int:
    return java_major(subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr)


def fetch_jars(config: StackConfig, say: Say) -> Path:
    """The folder of Kafka's jars in the cache, resolved by Maven when it is not there yet.

    Raises:
        MissingPackageError, PreparationError: no Maven, or Maven could not resolve them.
    """
    return jars_of(_POM, f"kafka/{pinned_version()}", f"Apache Kafka {pinned_version()}", config, say)


def jars_of(pom: Path, place: str, what: str, config: StackConfig, say: Say) -> Path:
    """The folder of a project's jars in the cache, `place` and a key of the `pom`, resolved by Maven when it is not there yet.

    Raises:
        MissingPackageError, PreparationError: no Maven, or Maven could not resolve them.
    """
    target = config.cache / f"{place}-{content_key(pom.read_bytes())}"
    with building(target) as scratch:
        if scratch is None:
            return target
        log = config.cache / "logs" / "maven.log"
        maven = find_or_install("mvn", ("maven",), log.with_name("apt.log"), say, may_install=config.may_install)
        say(f"fetching {what} with Maven")
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={scratch}")
        run_logged([maven, "--batch-mode", "--no-transfer-progress", "-f", str(pom), *goal], log, "Maven")
    return target


def server_properties(ports: Mapping[str, int], data: Path, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """The broker's configuration.

    Args:
        ports: `broker` and `controller`.
        data: the log folder.
        overrides: properties that win over these.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports['controller']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{ports['broker']},CONTROLLER://{LOOPBACK}:{ports['controller']}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports['broker']}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(_MESSAGE_MAX_BYTES),
        "replica.fetch.max.bytes": str(_MESSAGE_MAX_BYTES),
        # Replayed news carries old timestamps; retention by time would delete it as soon as it is written.
        "log.retention.ms": "-1",
        **_SINGLE_NODE,
        **_QUICK_RESTART,
        **_QUICK_GROUPS,
        **(overrides or {}),
    }


_SINGLE_NODE = {
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
}
# A broker killed and started again must wait out its old session, 9 s by default.
_QUICK_RESTART = {"broker.session.timeout.ms": "5000", "broker.heartbeat.interval.ms": "1000"}
# With KIP-848 the broker sets the session timeout, 45 s by default: too long to wait for on one's own machine.
_QUICK_GROUPS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
}


def cluster_id() -> str:
    """A random cluster id as Kafka makes them: 22 characters of URL-safe base64, not starting with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _java_command(java: str, jars: Path, scratch: Path, main: str) -> list[str]:
    options = (f"-Dlog4j2.configurationFile={_LOG4J}", f"-Djava.io.tmpdir={scratch}", "-cp", f"{jars}/*")
    return [java, *_JVM, *options, main]


def prepare(config: StackConfig, run: RunFolder, say: Say) -> ServerSpec:
    """Fetch what the broker needs, format its storage, and say how to run it.

    Raises:
        MissingPackageError: no Java or Maven and no way to install them.
        PreparationError: Maven or the formatting failed.
    """
    java = find_java(config.cache / "logs" / "apt.log", say, may_install=config.may_install)
    jars = fetch_jars(config, say)
    broker, controller = free_ports(2)
    ports = {"broker": broker, "controller": controller}
    scratch, data = run.scratch("kafka"), run.data / "kafka"
    data.mkdir(parents=True, exist_ok=True)
    properties = scratch / "server.properties"
    lines = server_properties(ports, data, config.kafka_properties)
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    if not (data / "meta.properties").exists():
        say("formatting Kafka's storage")
        tool = _java_command(java, jars, scratch, "kafka.tools.StorageTool")
        arguments = ["format", f"--cluster-id={cluster_id()}", "--config", str(properties)]
        run_logged([*tool, *arguments], run.log("kafka-format"), "formatting Kafka's storage", limit_s=180)
    return ServerSpec(
        name="kafka",
        command=(*_java_command(java, jars, scratch, "kafka.Kafka"), str(properties)),
        log=run.log("kafka"),
        folder=scratch,
        probe=lambda: probe(broker, run.log("kafka")),
        ports=ports,
        grace_s=15.0,
    )


def version_in(log: str) -> str | None:
    """The version the last broker in this log announced, None when there is none."""
    found = re.findall(r"Kafka version: (\S+)", log)
    return found[-1] if found else None


def probe(port: int, log: Path) -> Ready:
    """Ready when the broker lists itself to a client; the version is the one the running broker logs.

    Raises:
        NotReadyError: not yet.
    """
    if not answers(LOOPBACK, port):
        raise NotReadyError(f"port {port} does not answer")
    address = f"{LOOPBACK}:{port}"
    check_metadata(address)
    version = version_in(log.read_text(encoding="utf-8", errors="replace"))
    return Ready(f"apache-kafka {version or 'of unknown version'}", address, {KAFKA_VARIABLE: address})


def check_metadata(bootstrap: str, timeout_s: float = 3.0) -> None:
    """Ask a Kafka cluster for its brokers.

    Raises:
        NotReadyError: it did not answer in time, or has no broker.
    """
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        brokers = client.list_topics(timeout=timeout_s).brokers
    except KafkaException as error:
        raise NotReadyError(f"no metadata: {error.args[0].str()}") from error
    if not brokers:
        raise NotReadyError("no broker has registered")
