"""Real redis-server processes for the contract suite, on free loopback ports, ended by the one that started them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

START_TIMEOUT_S = 10


def missing(reason: str) -> None:
    """Skip for want of a service on a laptop, and fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[int]:
    """Run a redis-server with nothing kept on disk and yield its port."""
    program = shutil.which("redis-server")
    if program is None:
        missing("no redis-server on the PATH: install it (apt-get install redis-server), or set TIDINGS_TEST_REDIS_URL")
        return
    port = free_port()
    common = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, *common, *options], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "redis.log")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with Redis(port=port) as client:
                client.ping()
        except RedisError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"redis-server did not start:\n{log.read_text()}")
