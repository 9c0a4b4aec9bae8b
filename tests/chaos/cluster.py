"""Three Kafka nodes, each broker and controller, with a door of their own for the workers: the proxy's."""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local import kafka
from deploy.local.config import StackConfig
from deploy.local.errors import NotReadyError
from deploy.local.ports import LOOPBACK, answers
from deploy.local.process import Ready, Server, ServerSpec
from deploy.local.system import Say, run_logged
from tests.chaos import wire

NODES = (1, 2, 3)
SMALL_DISK_NODE = 3
_SMALL_DISK = "320m"
_DISK = "small-disk"
_LOG4J = Path(kafka.__file__).with_name("log4j2.xml")
# C1 only: on two cores the second compiler takes more than it gives within minutes.
_JVM = (
    "-Xms96m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Xshare:auto",
)
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # Small files: one of the disks is small on purpose.
    "log.segment.bytes": str(16 * 1024 * 1024),
    "log.index.size.max.bytes": str(256 * 1024),
    "log.retention.ms": "-1",
    "replica.lag.time.max.ms": "5000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.enable": "false",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


def unmount(folder: Path) -> None:
    """Let go of the small disk that a run in this folder made, if there is one; a run that was killed leaves it behind."""
    if (folder / _DISK).is_mount():
        subprocess.run(["umount", "-l", str(folder / _DISK)], check=False)


def node_properties(node: int, ports: dict[str, int], doors: dict[int, int], data: Path) -> dict[str, str]:
    """Configure one node.

    Args:
        node: its id.
        ports: `direct-N`, `workers-N` and `controller-N` of all nodes.
        doors: node -> the proxy's port that leads to its `workers` listener, which is what the workers are told.
        data: the log folder.
    """
    direct, workers, controller = (ports[f"{name}-{node}"] for name in ("direct", "workers", "controller"))
    single = kafka.server_properties({"broker": direct, "controller": controller}, data)
    return {
        **single,
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{other}@{LOOPBACK}:{ports[f'controller-{other}']}" for other in NODES),
        "listeners": ",".join(
            f"{name}://{LOOPBACK}:{port}"
            for name, port in (("DIRECT", direct), ("WORKERS", workers), ("CONTROLLER", controller))
        ),
        "advertised.listeners": f"DIRECT://{LOOPBACK}:{direct},WORKERS://{LOOPBACK}:{doors[node]}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,WORKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DIRECT",
        **_REPLICATED,
    }


class Cluster:
    """The three nodes. A node is handled by one fault at a time; asking the cluster is safe from any thread."""

    def __init__(self, config: StackConfig, folder: Path, ports: dict[str, int], doors: dict[int, int], say: Say) -> None:
        self._folder = folder
        self._ports = ports
        self._disk = folder / _DISK
        self._mounted = False
        java = kafka.find_java(config.cache / "logs" / "apt.log", say, may_install=config.may_install)
        self._java = (java, *_JVM, f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", f"{kafka.fetch_jars(config, say)}/*")
        self.nodes = {node: Server(self._spec(node, doors)) for node in NODES}

    @property
    def bootstrap(self) -> str:
        """The direct listeners, which no fault of the network touches."""
        return ",".join(f"{LOOPBACK}:{self._ports[f'direct-{node}']}" for node in NODES)

    def start(self) -> None:
        """Format every node's storage with one cluster id and start all of them.

        Raises:
            LocalStackError: a node did not come up; its log is named.
        """
        self._mount()
        name = kafka.cluster_id()
        for node in NODES:
            self._format(node, name)
        self.start_nodes(NODES)

    def start_nodes(self, nodes: Sequence[int]) -> None:
        """Start nodes that are down and wait until each serves."""
        for node in nodes:
            self.nodes[node].start()
        for node in nodes:
            self.nodes[node].wait_ready()

    def stop(self) -> None:
        """End all nodes at once and let go of the small disk."""
        for server in self.nodes.values():
            server.signal(9)
        for server in self.nodes.values():
            server.kill()
        unmount(self._folder)

    def admin(self) -> AdminClient:
        """A new client on the direct listeners."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 10_000})

    def controller(self) -> int:
        """The node that leads the metadata quorum.

        Raises:
            NotReadyError: nobody could say.
        """
        for node, server in self.nodes.items():
            with contextlib.suppress(OSError, ValueError, struct.error):
                if server.alive and (leader := wire.quorum_leader(self._ports[f"direct-{node}"])) in self.nodes:
                    return leader
        raise NotReadyError("no node knows the controller")

    def in_sync(self, topics: Sequence[str] = ()) -> bool:
        """Whether every partition (of these topics, else of all) has a leader and all its replicas in sync."""
        try:
            known = self.admin().list_topics(timeout=5).topics
        except KafkaException:
            return False
        partitions = [p for name in (topics or known) for p in known[name].partitions.values()] if known else []
        return bool(partitions) and all(p.leader >= 0 and len(p.isrs) == len(p.replicas) for p in partitions)

    def await_in_sync(self, limit_s: float) -> bool:
        """Wait until it is so, at most so long."""
        deadline = time.monotonic() + limit_s
        while not (done := self.in_sync()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return done

    def move_leaders(self, topics: Sequence[str], rng: random.Random) -> int:
        """Turn the replicas of these topics round and elect the first of each; returns how many partitions have another leader.

        Raises:
            OSError, ValueError, KafkaException: the cluster did not do it.
        """
        admin = self.admin()
        before = self._partitions(admin, topics)
        wanted: dict[str, dict[int, list[int]]] = {}
        for (name, number), partition in before.items():
            others = [node for node in partition.replicas if node != partition.leader]
            rng.shuffle(others)
            wanted.setdefault(name, {})[number] = [*others, partition.leader]
        alive = next(node for node, server in self.nodes.items() if server.alive)
        wire.reassign(self._ports[f"direct-{alive}"], wanted)
        time.sleep(1.0)
        admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(*key) for key in before]).result(20)
        after = self._partitions(admin, topics)
        return sum(after[key].leader != partition.leader for key, partition in before.items() if key in after)

    @staticmethod
    def _partitions(admin: AdminClient, topics: Sequence[str]) -> dict[tuple[str, int], Any]:
        known = admin.list_topics(timeout=10).topics
        return {(name, number): p for name in topics if name in known for number, p in known[name].partitions.items()}

    def fill_disk(self) -> None:
        """Leave the small disk's node no room: fill its tmpfs, or where there is none forbid it to let files grow."""
        server = self.nodes[SMALL_DISK_NODE]
        if not self._mounted:
            psutil.Process(server.pid).rlimit(resource.RLIMIT_FSIZE, (1, 1))
            return
        with contextlib.suppress(OSError), (self._disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 65_536)

    def free_disk(self) -> None:
        """Give the room back; the node is then to be started again."""
        (self._disk / "filler").unlink(missing_ok=True)

    def data(self, node: int) -> Path:
        """A node's log folder."""
        return (self._disk if node == SMALL_DISK_NODE else self._folder) / f"kafka-{node}"

    def _mount(self) -> None:
        self._disk.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tidings-chaos", str(self._disk)]
        self._mounted = (
            shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
        )

    def _spec(self, node: int, doors: dict[int, int]) -> ServerSpec:
        scratch = self._folder / f"node-{node}"
        scratch.mkdir(parents=True, exist_ok=True)
        properties = scratch / "server.properties"
        lines = node_properties(node, self._ports, doors, self.data(node))
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        port = self._ports[f"direct-{node}"]
        return ServerSpec(
            name=f"kafka-{node}",
            command=(*self._java, "kafka.Kafka", str(properties)),
            log=self._folder / "logs" / f"kafka-{node}.log",
            folder=scratch,
            probe=lambda: _probe(port),
            ports={"direct": port},
            grace_s=20.0,
            ready_s=120.0,
        )

    def _format(self, node: int, name: str) -> None:
        self.data(node).mkdir(parents=True, exist_ok=True)
        arguments = ["format", f"--cluster-id={name}", "--config", str(self._folder / f"node-{node}" / "server.properties")]
        log = self._folder / "logs" / f"format-{node}.log"
        run_logged([*self._java, "kafka.tools.StorageTool", *arguments], log, "formatting Kafka's storage", limit_s=120)


def _probe(port: int) -> Ready:
    if not answers(LOOPBACK, port):
        raise NotReadyError(f"port {port} does not answer")
    kafka.check_metadata(f"{LOOPBACK}:{port}")
    return Ready(f"apache-kafka {kafka.pinned_version()}", f"{LOOPBACK}:{port}", {})
