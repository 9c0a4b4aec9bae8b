import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.errors import MissingPackageError, NotReadyError
from deploy.local.ports import LOOPBACK, free_ports

PORTS = {"broker": 20_001, "controller": 20_002}


def test_the_pom_pins_every_version() -> None:
    """No range and no snapshot: two machines get the same jars."""
    pom = ET.parse(Path(kafka.__file__).with_name("pom.xml")).getroot()  # noqa: S314 - our own file
    versions = [element.text or "" for element in pom.iter() if element.tag.rpartition("}")[2].endswith("version")]
    versions += [element.text or "" for element in pom.iter() if element.tag.rpartition("}")[2] == "kafka.version"]
    assert all(re.fullmatch(r"[0-9.]+|\$\{[a-z0-9.]+\}", version) for version in versions)
    assert re.fullmatch(r"4\.\d+\.\d+", kafka.pinned_version())


@pytest.mark.parametrize(
    ("printed", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 1),
        ("command not found", 0),
    ],
)
def test_the_java_version_is_read(printed: str, major: int) -> None:
    """As each vendor prints it; Java 8 counts itself as 1."""
    assert kafka.java_major(printed) == major


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka 4 would end with an UnsupportedClassVersionError; the message says what is needed."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match="openjdk-17-jre-headless is missing"):
        kafka.find_java(tmp_path / "log", print, may_install=False)


def test_the_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    """Both listeners and what it tells clients."""
    properties = kafka.server_properties(PORTS, tmp_path)
    assert properties["listeners"] == f"PLAINTEXT://{LOOPBACK}:20001,CONTROLLER://{LOOPBACK}:20002"
    assert properties["advertised.listeners"] == f"PLAINTEXT://{LOOPBACK}:20001"


def test_the_broker_can_do_what_the_worker_needs(tmp_path: Path) -> None:
    """Transactions with one broker, large messages, old timestamps kept, no topic by accident."""
    properties = kafka.server_properties(PORTS, tmp_path)
    assert properties["transaction.state.log.replication.factor"] == "1"
    assert properties["transaction.state.log.min.isr"] == "1"
    assert properties["offsets.topic.replication.factor"] == "1"
    assert int(properties["message.max.bytes"]) >= 8 * 2**20
    assert properties["log.retention.ms"] == "-1"
    assert properties["auto.create.topics.enable"] == "false"


def test_given_properties_win(tmp_path: Path) -> None:
    """The fault harness makes sessions shorter, say."""
    assert kafka.server_properties(PORTS, tmp_path, {"node.id": "7", "added": "x"})["node.id"] == "7"


def test_cluster_ids_are_as_kafka_makes_them() -> None:
    """22 characters of URL-safe base64; a leading dash would be read as an option."""
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", kafka.cluster_id()) for _ in range(200))


def test_the_version_is_the_last_one_logged() -> None:
    """A log goes on over restarts, maybe with another version."""
    assert kafka.version_in("x Kafka version: 4.2.0 (AppInfoParser)\ny Kafka version: 4.3.1 (AppInfoParser)\n") == "4.3.1"
    assert kafka.version_in("nothing of the kind") is None


def test_a_closed_port_is_not_ready(tmp_path: Path) -> None:
    """The reason names the port."""
    (port,) = free_ports(1)
    with pytest.raises(NotReadyError, match=f"port {port} does not answer"):
        kafka.probe(port, tmp_path / "log")
