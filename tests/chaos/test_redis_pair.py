"""A failover loses commits, or says that it did not. Two real Redis servers and the proxy between them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.ports import free_ports
from tests.chaos import redis_pair
from tests.chaos.proxy import Proxy
from tests.chaos.redis_pair import LINK, REPLICATION, RedisPair

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

META = "run:{signals-0}:meta"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[RedisPair]:
    """A primary that holds a commit, and its replica; skipped where there is no Redis, and failed for it with CI=true."""
    one, other, door, behind = free_ports(4)
    (tmp_path / "logs").mkdir()
    proxy = Proxy({LINK: (door, one), REPLICATION: (behind, one)}, tmp_path / "logs" / "proxy.log")
    try:
        pair = RedisPair(StackConfig.from_environment(), tmp_path, (one, other), proxy, lambda _: None)
        try:
            pair.start()
            redis.Redis.from_url(pair.url).hset(META, "next", 1)
            yield pair
        finally:
            pair.stop()
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.message)
    finally:
        proxy.close()


def test_a_failover_waits_for_a_commit_that_the_replica_lacks(pair: RedisPair) -> None:
    """What is written while the link is cut is gone afterwards; a write that is no commit does not do."""
    writer = redis.Redis.from_url(pair.url)
    writes = [threading.Timer(after_s, writer.hset, (key, "next", 2)) for after_s, key in ((0.5, "other"), (1.5, META))]
    for write in writes:
        write.start()
    lost = pair.fail_over(0.0)
    for write in writes:
        write.join()
    assert lost.partitions == 1
    assert lost.size > 0
    assert redis.Redis.from_url(pair.url).hget(META, "next") == b"1"


def test_a_failover_without_a_commit_says_so(pair: RedisPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on after a while, and has lost nothing of a partition."""
    monkeypatch.setattr(redis_pair, "_COMMIT_LIMIT_S", 0.0)
    assert pair.fail_over(0.0).partitions == 0
