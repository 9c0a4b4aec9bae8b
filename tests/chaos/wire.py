"""Two questions to Kafka that librdkafka does not offer, in Kafka's own protocol: who leads the quorum, reassign replicas.

DescribeQuorum (55) and AlterPartitionReassignments (45), both version 0, request header 2, response header 1:
https://kafka.apache.org/protocol.html
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence

from deploy.local.ports import LOOPBACK

_DESCRIBE_QUORUM = 55
_ALTER_REASSIGNMENTS = 45
_METADATA_TOPIC = "__cluster_metadata"
_NO_TAGS = b"\0"
_TIMEOUT_S = 10.0


def varint(number: int) -> bytes:
    """An unsigned varint, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned varint at this place and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def compact_string(text: str) -> bytes:
    """A string of the flexible versions: length + 1, then UTF-8."""
    body = text.encode()
    return varint(len(body) + 1) + body


def compact_array(items: Iterable[bytes]) -> bytes:
    """An array of the flexible versions: count + 1, then the items."""
    listed = list(items)
    return varint(len(listed) + 1) + b"".join(listed)


def quorum_request() -> bytes:
    """The body that asks for the one partition of the metadata topic."""
    partitions = compact_array([struct.pack(">i", 0) + _NO_TAGS])
    return compact_array([compact_string(_METADATA_TOPIC) + partitions + _NO_TAGS]) + _NO_TAGS


def leader_of(body: bytes) -> int:
    """The leader's id in an answer to `quorum_request`; -1 when there is none.

    Raises:
        ValueError: the answer is an error.
    """
    (error,) = struct.unpack_from(">h", body)
    if error:
        raise ValueError(f"Kafka answers with error {error}")
    _, at = read_varint(body, 2)
    name, at = read_varint(body, at)
    _, at = read_varint(body, at + name - 1)
    _, error, leader = struct.unpack_from(">ihi", body, at)
    if error:
        raise ValueError(f"Kafka answers with error {error}")
    return int(leader)


def reassignment_request(assignment: Mapping[str, Mapping[int, Sequence[int]]], timeout_ms: int = 10_000) -> bytes:
    """The body that gives partitions (topic -> partition -> replicas, the preferred leader first) these replicas."""
    topics = [
        compact_string(name)
        + compact_array(
            struct.pack(">i", partition) + compact_array(struct.pack(">i", replica) for replica in replicas) + _NO_TAGS
            for partition, replicas in partitions.items()
        )
        + _NO_TAGS
        for name, partitions in assignment.items()
    ]
    return struct.pack(">i", timeout_ms) + compact_array(topics) + _NO_TAGS


def quorum_leader(port: int) -> int:
    """Ask the broker on this loopback port who leads the metadata quorum.

    Raises:
        OSError, ValueError: it does not answer, or not with that.
    """
    return leader_of(_ask(port, _DESCRIBE_QUORUM, quorum_request()))


def reassign(port: int, assignment: Mapping[str, Mapping[int, Sequence[int]]]) -> None:
    """Have partitions carried by these replicas; returns when Kafka has taken the order.

    Raises:
        OSError, ValueError: it does not answer, or refuses.
    """
    answer = _ask(port, _ALTER_REASSIGNMENTS, reassignment_request(assignment))
    _, error = struct.unpack_from(">ih", answer)
    if error:
        raise ValueError(f"Kafka answers with error {error}")


def _ask(port: int, key: int, body: bytes) -> bytes:
    client = b"chaos"
    header = struct.pack(">hhih", key, 0, 1, len(client)) + client + _NO_TAGS
    with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        (size,) = struct.unpack(">i", _read(connection, 4))
        return _read(connection, size)[5:]


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("Kafka closed the connection")
        data += part
    return data
