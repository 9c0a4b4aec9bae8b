"""Two Redis servers with append-only files: one serves, the other follows it over a link that can be cut."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import redis as client

from deploy.local import redis
from deploy.local.config import StackConfig
from deploy.local.errors import NotReadyError
from deploy.local.ports import LOOPBACK
from deploy.local.process import Server, ServerSpec
from deploy.local.system import Say
from tests.chaos.proxy import Proxy

LINK = "redis"
REPLICATION = "redis-replication"
_SYNC_LIMIT_S = 30.0
_COMMIT_LIMIT_S = 20.0
_COMMITTED = "*:meta"
"""The keys that every commit of a worker writes, one per partition."""


class Lost(NamedTuple):
    """What a failover lost: bytes of replication, and partitions whose newest commit the replica did not have."""

    size: int
    partitions: int


class RedisPair:
    """A primary and its replica. Handled by one fault at a time; `url` may be asked from any thread."""

    def __init__(self, config: StackConfig, folder: Path, ports: tuple[int, int], proxy: Proxy, say: Say) -> None:
        """Say how to run them; the proxy's `redis` and `redis-replication` links lead to the first."""
        binary = shutil.which(redis.find_server(config, say)) or ""
        self._proxy = proxy
        self._ports = ports
        self._folders = tuple(folder / f"redis-{number}" for number in (1, 2))
        self._servers = [Server(_spec(binary, number, ports[number], folder)) for number in (0, 1)]
        self._primary = 0

    @property
    def url(self) -> str:
        """The primary's own address, past the proxy."""
        return f"redis://{LOOPBACK}:{self._ports[self._primary]}/0"

    @property
    def servers(self) -> tuple[Server, ...]:
        """Both servers."""
        return tuple(self._servers)

    def start(self) -> None:
        """Start both and wait until the replica follows."""
        for server in self._servers:
            server.start()
        for server in self._servers:
            server.wait_ready()
        self._follow(1)

    def stop(self) -> None:
        """End both."""
        for server in self._servers:
            server.kill()

    def kill(self) -> None:
        """Kill -9 of the primary."""
        self._servers[self._primary].kill()

    def restart(self) -> None:
        """Start the primary again with the append-only file that it left."""
        self._servers[self._primary].restart()

    def restart_empty(self) -> None:
        """Start the primary again with nothing in it; the replica follows and so forgets too."""
        self._erase(self._primary)
        self._servers[self._primary].restart()

    def revive(self) -> None:
        """Start what is down."""
        for server in self._servers:
            if not server.alive:
                server.restart()

    def fail_over(self, lag_s: float) -> Lost:
        """Let the replica fall behind for `lag_s` and by a commit at least, kill the primary, promote the replica.

        No commit is waited for longer than 20 s. The old primary is erased and becomes the replica of the new one.
        """
        old, new = self._primary, 1 - self._primary
        if not self.await_sync():
            raise NotReadyError("the replica has not caught up since the last fault")
        self._proxy.set(REPLICATION, mode="cut")
        time.sleep(lag_s)
        lost = self._await_lag(old, new)
        self._servers[old].kill()
        self._ask(new).execute_command("REPLICAOF", "NO", "ONE")
        self._primary = new
        self._proxy.set(LINK, target=self._ports[new])
        self._proxy.set(REPLICATION, mode="pass", target=self._ports[new])
        self._erase(old)
        self._servers[old].restart()
        self._follow(old)
        return lost

    def await_sync(self, limit_s: float = _SYNC_LIMIT_S) -> bool:
        """Wait until the replica has all that the primary had at the time of the call."""
        deadline, wanted = time.monotonic() + limit_s, None
        while time.monotonic() < deadline:
            try:
                wanted = self._offset(self._primary) if wanted is None else wanted
                info = self._ask(1 - self._primary).info("replication")
            except client.RedisError:
                info = {}
            if info.get("master_link_status") == "up" and int(info["slave_repl_offset"]) >= (wanted or 0):
                return True
            time.sleep(0.2)
        return False

    def _await_lag(self, old: int, new: int) -> Lost:
        deadline = time.monotonic() + _COMMIT_LIMIT_S
        while not (behind := self._behind(old, new)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return Lost(self._offset(old) - self._offset(new), behind)

    def _behind(self, old: int, new: int) -> int:
        """Return of how many partitions the one holds another commit than the other."""
        one, other = self._ask(old), self._ask(new)
        return sum(one.hgetall(key) != other.hgetall(key) for key in one.scan_iter(_COMMITTED))

    def _follow(self, number: int) -> None:
        self._ask(number).execute_command("REPLICAOF", LOOPBACK, str(self._proxy.port(REPLICATION)))
        self.await_sync()

    def _offset(self, number: int) -> int:
        return int(self._ask(number).info("replication")["master_repl_offset"])

    def _erase(self, number: int) -> None:
        for path in self._folders[number].iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _ask(self, number: int) -> client.Redis:
        return client.Redis(LOOPBACK, self._ports[number], socket_timeout=5, socket_connect_timeout=5)


def _spec(binary: str, number: int, port: int, folder: Path) -> ServerSpec:
    data = folder / f"redis-{number + 1}"
    data.mkdir(parents=True, exist_ok=True)
    options = {**redis.server_options(port, data), "repl-diskless-sync-delay": "0", "repl-timeout": "10"}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    url = f"redis://{LOOPBACK}:{port}/0"
    return ServerSpec(
        name=f"redis-{number + 1}",
        command=(binary, *words),
        log=folder / "logs" / f"redis-{number + 1}.log",
        folder=data,
        probe=lambda: redis.probe(url),
        ports={"redis": port},
        grace_s=5.0,
        ready_s=60.0,
    )
