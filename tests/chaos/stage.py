"""Everything a run stands on: the parts, the proxy between them and the workers, and topics and settings for one run."""

from __future__ import annotations

import itertools
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from confluent_kafka.cimpl import NewTopic

from deploy.local.config import StackConfig
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Server
from deploy.local.system import Say
from tests.chaos.cluster import NODES, Cluster
from tests.chaos.lexicon import build_repository
from tests.chaos.observe import TopicNames
from tests.chaos.proxy import Proxy
from tests.chaos.redis_pair import LINK, REPLICATION, RedisPair
from tests.chaos.triton import TritonServer

PARTITIONS = 4
TRITON_LINK = "triton"
SESSION_TIMEOUT_S = 6.0
_LIMIT_S = 60.0
_DATA = ("kafka-*", "redis-*", "node-*", "small-disk", "triton")


def kafka_link(node: int) -> str:
    """The proxy's link to a node."""
    return f"kafka-{node}"


class Stage:
    """Three Kafka nodes, two Redis, Triton and the proxy, all on loopback; `close` ends all of it."""

    def __init__(self, folder: Path, config: StackConfig, say: Say) -> None:
        """Prepare and start everything.

        Raises:
            LocalStackError: a part is missing or did not come up; whatever had started is ended.
        """
        self.folder = folder
        self.repository = folder / "triton_repo"
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        build_repository(self.repository)
        with ExitStack() as closing:
            self._start(config.but(model_repository=self.repository), closing, say)
            self._closing = closing.pop_all()

    def _start(self, config: StackConfig, closing: ExitStack, say: Say) -> None:
        self.triton = TritonServer(config, self.folder, say)
        names = [f"{door}-{node}" for door in ("direct", "workers", "controller") for node in NODES]
        doors = [*(kafka_link(node) for node in NODES), LINK, REPLICATION, TRITON_LINK]
        chosen = iter(free_ports(len(names) + len(doors) + 2))
        ports = {name: next(chosen) for name in names}
        redis_ports = (next(chosen), next(chosen))
        targets = {kafka_link(node): ports[f"workers-{node}"] for node in NODES}
        targets |= {LINK: redis_ports[0], REPLICATION: redis_ports[0], TRITON_LINK: self.triton.grpc_port}
        self.proxy = Proxy({door: (next(chosen), targets[door]) for door in doors}, self.folder / "logs" / "proxy.log")
        closing.callback(self.proxy.close)
        at_door = {node: self.proxy.port(kafka_link(node)) for node in NODES}
        self.cluster = Cluster(config, self.folder, ports, at_door, say)
        self.redis = RedisPair(config, self.folder, redis_ports, self.proxy, say)
        for what, start, stop in (
            ("Redis", self.redis.start, self.redis.stop),
            ("Kafka, three nodes", self.cluster.start, self.cluster.stop),
            ("Triton", self._start_triton, self.triton.server.kill),
        ):
            say(f"starting {what}")
            closing.callback(stop)
            start()

    def _start_triton(self) -> None:
        self.triton.server.start()
        self.triton.server.wait_ready()
        self.triton.remember_config()

    def close(self) -> None:
        """End every part; logs stay, data goes."""
        self._closing.close()
        for pattern in _DATA:
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def new_folder(self, run: str) -> Path:
        """Make a folder for a run; its name, which is this one and perhaps a number, is used for nothing else here."""
        numbers = itertools.count(2)
        folder = self.folder / run
        while folder.exists():
            folder = self.folder / f"{run}-{next(numbers)}"
        folder.mkdir()
        return folder

    def __enter__(self) -> Self:
        """Nothing is left to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every part."""
        self.close()

    def versions(self) -> dict[str, str]:
        """Part -> the software as it names itself."""
        return {server.name: server.report().software for server in self.servers()}

    def servers(self) -> list[Server]:
        """The handles on all parts but the proxy."""
        return [*self.cluster.nodes.values(), *self.redis.servers, self.triton.server]

    def server_pids(self) -> list[int]:
        """Every process of the parts that lives now."""
        return [self.proxy.pid, *(pid for server in self.servers() for pid in server.pids())]

    def create_topics(self, names: TopicNames) -> None:
        """Make the topics of a run, three replicas each, two of which must have a record before it counts.

        The input's timestamps may lie in the future, as far as they like.
        """
        config = {"min.insync.replicas": "2", "message.timestamp.after.max.ms": str(2**63 - 1)}
        wanted = [NewTopic(name, PARTITIONS, 3, config=config) for name in names.all]
        admin = self.cluster.admin()  # kept until all is done: a client that is collected takes its questions with it
        for future in admin.create_topics(wanted, operation_timeout=_LIMIT_S).values():
            future.result(_LIMIT_S)

    def settings(self, names: TopicNames, files: Path, lateness_s: float) -> dict[str, str]:
        """The `TIDINGS_*` variables of the workers of a run; everything they reach, they reach through the proxy.

        Args:
            names: of the run.
            files: the folder with `watchlist.yaml` and `rules.yaml`.
            lateness_s: allowed lateness in event time.
        """
        brokers = ",".join(f"{LOOPBACK}:{self.proxy.port(kafka_link(node))}" for node in NODES)
        return {
            "TIDINGS_KAFKA__BOOTSTRAP_SERVERS": brokers,
            "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps({topic: kind for kind, topic in names.inputs.items()}),
            "TIDINGS_KAFKA__TOPICS__PREDICTIONS": names.predictions,
            "TIDINGS_KAFKA__TOPICS__SIGNALS": names.signals,
            "TIDINGS_KAFKA__TOPICS__ALERTS": names.alerts,
            "TIDINGS_KAFKA__TOPICS__DEAD_LETTERS": names.dead_letters,
            "TIDINGS_KAFKA__GROUP_PREFIX": names.run,
            "TIDINGS_KAFKA__SESSION_TIMEOUT_S": f"{SESSION_TIMEOUT_S:g}",
            "TIDINGS_KAFKA__TRANSACTION_TIMEOUT_S": "10",
            "TIDINGS_KAFKA__MAX_POLL_INTERVAL_S": "45",
            "TIDINGS_REDIS__URL": f"redis://{LOOPBACK}:{self.proxy.port(LINK)}/0",
            "TIDINGS_REDIS__PREFIX": f"{names.run}.redis",
            "TIDINGS_REDIS__TIMEOUT_S": "2",
            "TIDINGS_TRITON__URL": f"{LOOPBACK}:{self.proxy.port(TRITON_LINK)}",
            "TIDINGS_TRITON__TIMEOUT_S": "3",
            "TIDINGS_MODEL__REPOSITORY": str(self.repository),
            "TIDINGS_SCORE__WATCHLIST": str(files / "watchlist.yaml"),
            "TIDINGS_ALERT__RULES": str(files / "rules.yaml"),
            "TIDINGS_ALERT__ALLOWED_LATENESS_S": f"{lateness_s:g}",
            "TIDINGS_LOG__FORMAT": "json",
        }
