import socket
from collections.abc import Iterator

import pytest

from deploy.local.errors import PartFailedError
from deploy.local.external import ExternalPart
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.report import Health, Kind


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that accepts connections."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_kafka_is_usable_when_one_of_its_addresses_answers(listening: int) -> None:
    """A bootstrap list may name brokers that are down; the variable is handed on as it was."""
    (closed,) = free_ports(1)
    bootstrap = f"{LOOPBACK}:{closed}, SASL_SSL://{LOOPBACK}:{listening}"
    part = ExternalPart("kafka", bootstrap)
    assert part.settings() == {"TIDINGS_KAFKA__BOOTSTRAP_SERVERS": bootstrap}
    report = part.report()
    assert (report.kind, report.health, report.pids) == (Kind.EXTERNAL, Health.READY, ())


@pytest.mark.parametrize(
    ("name", "address", "variable"),
    [
        ("kafka", "{closed}", "TIDINGS_KAFKA__BOOTSTRAP_SERVERS"),
        ("kafka", "no-port", "TIDINGS_KAFKA__BOOTSTRAP_SERVERS"),
        ("redis", "redis://:planted@{closed}/0", "TIDINGS_REDIS__URL"),
        ("redis", "not-a-url", "TIDINGS_REDIS__URL"),
        ("triton", "{closed}", "TIDINGS_TRITON__URL"),
    ],
)
def test_a_part_that_cannot_be_used_is_named_by_its_variable(name: str, address: str, variable: str) -> None:
    """And its password is not told."""
    closed = f"{LOOPBACK}:{free_ports(1)[0]}"
    with pytest.raises(PartFailedError, match=f"{variable} names a running {name}, but it cannot be used") as raised:
        ExternalPart(name, address.format(closed=closed))
    assert "planted" not in raised.value.message


def test_a_part_that_goes_away_is_not_ready() -> None:
    """Seen at the next look."""
    with socket.create_server((LOOPBACK, 0)) as server:
        part = ExternalPart("kafka", f"{LOOPBACK}:{server.getsockname()[1]}")
    assert part.report().health is Health.NOT_READY
