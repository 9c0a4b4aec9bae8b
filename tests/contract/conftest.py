"""The real Redis of the contract suite: `TIDINGS_TEST_REDIS_URL` where it is set, else one of our own."""

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.contract.redis_servers import free_port, running_redis

_GIVEN_URL = os.environ.get("TIDINGS_TEST_REDIS_URL")
"""Read at import: tests themselves see no settings (tests/conftest.py)."""


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis; tests there keep to keys under a prefix of their own."""
    if _GIVEN_URL:
        yield _GIVEN_URL
        return
    with running_redis(tmp_path_factory.mktemp("redis")) as port:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def redis_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a cluster of one node, which refuses scripts whose keys do not share a slot."""
    # By default the bus is 10,000 above the port, which for a high port is no port at all.
    bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with running_redis(tmp_path_factory.mktemp("cluster"), *bus) as port:
        with Redis(port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                pass
        yield f"redis://127.0.0.1:{port}"
