"""A real redis-server with a TLS port that demands a client certificate, one that does not, a plain one, and ACL users."""

import contextlib
import dataclasses
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from deploy.local.ports import LOOPBACK, free_ports
from tests.contract.redis_servers import missing
from tests.security.certificates import Certificates, Pair

ADMIN_PASSWORD = "admin-password-of-the-test"  # noqa: S105 - no secret: the server lives as long as the test
_START_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True)
class SecureRedis:
    """A running server: `plain` and `tls` are ports."""

    plain: int
    tls: int

    @cached_property
    def admin(self) -> "Redis":
        """A client that may do everything."""
        return Redis(port=self.plain, username="default", password=ADMIN_PASSWORD)

    def url(self, user: str = "", *, tls: bool = True, host: str = LOOPBACK) -> str:
        """The server's URL; `user` is name:password@, or nothing."""
        return f"{'rediss' if tls else 'redis'}://{user}{host}:{self.tls if tls else self.plain}/0"


@contextmanager
def running_redis(
    folder: Path,
    certificates: Certificates,
    shown: Pair | None = None,
    *,
    wants_certificate: bool = False,
    options: Mapping[str, str] | None = None,
) -> Iterator[SecureRedis]:
    """Run one until the block ends."""
    plain, tls = free_ports(2)
    pair = shown or certificates.server
    chosen: dict[str, object] = {
        "bind": LOOPBACK,
        "port": plain,
        "tls-port": tls,
        "tls-cert-file": pair.certificate,
        "tls-key-file": pair.key,
        "tls-ca-cert-file": certificates.authority,
        "tls-auth-clients": "yes" if wants_certificate else "no",
        "requirepass": ADMIN_PASSWORD,
        "save": "",
        "dir": folder,
        **(options or {}),
    }
    words = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([_program(), *words], stdout=log, stderr=log)
    server = SecureRedis(plain, tls)
    try:
        _wait(server, process, folder / "redis.log")
        yield server
    finally:
        server.admin.close()
        process.terminate()
        process.wait(10)


def _program() -> str:
    program = shutil.which("redis-server")
    if program is None:
        missing("no redis-server on the PATH: install it (apt-get install redis-server)")
    return program or ""


def _wait(server: SecureRedis, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(RedisError):
            server.admin.ping()
            return
        time.sleep(0.05)
    pytest.fail(f"redis-server did not start:\n{log.read_text()}")
