import struct

import pytest

from tests.chaos import wire


@pytest.mark.parametrize(("number", "encoded"), [(0, b"\0"), (1, b"\1"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2")])
def test_varints(number: int, encoded: bytes) -> None:
    """As in Kafka's protocol: seven bits a byte, the lowest first."""
    assert wire.varint(number) == encoded
    assert wire.read_varint(b"x" + encoded + b"y", 1) == (number, 1 + len(encoded))


def test_quorum_request() -> None:
    """One topic, one partition, no tags; byte for byte what `kafka-metadata-quorum` sends."""
    assert wire.quorum_request() == b"\2\x13__cluster_metadata\2\0\0\0\0\0\0\0"


def quorum_answer(error: int = 0, partition_error: int = 0, leader: int = 2) -> bytes:
    """A DescribeQuorum answer, as far as it is read."""
    partition = struct.pack(">ihi", 0, partition_error, leader) + b"and so on"
    return struct.pack(">h", error) + b"\2\x13__cluster_metadata\2" + partition


def test_leader_is_read_from_the_answer() -> None:
    """Behind the topic's name and the partition's number and error."""
    assert wire.leader_of(quorum_answer()) == 2


@pytest.mark.parametrize("answer", [quorum_answer(error=29), quorum_answer(partition_error=3)])
def test_an_error_is_no_leader(answer: bytes) -> None:
    """Neither the answer's error nor the partition's passes for a leader."""
    with pytest.raises(ValueError, match="error"):
        wire.leader_of(answer)


def test_reassignment_request() -> None:
    """Timeout, topics, partitions, replicas with the preferred leader first."""
    body = wire.reassignment_request({"t": {1: [3, 2]}}, timeout_ms=5)
    assert body == b"\0\0\0\5" + b"\2\2t" + b"\2\0\0\0\1" + b"\3\0\0\0\3\0\0\0\2" + b"\0" + b"\0" + b"\0"
