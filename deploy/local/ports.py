"""Find free loopback ports that stay ours."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral range (32768 and up, ip(7)), so that an outgoing connection cannot take the port of a part
# between two starts of it.
_FIRST, _LAST = 15_000, 32_000
_ATTEMPTS = 500


def is_free(port: int) -> bool:
    """True when a server could listen on this loopback TCP port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Choose `count` different free loopback TCP ports.

    Raises:
        OSError: no free port was found, which means the machine is out of them.
    """
    chosen: list[int] = []
    for port in random.sample(range(_FIRST, _LAST), _ATTEMPTS):
        if len(chosen) == count:
            return chosen
        if is_free(port):
            chosen.append(port)
    raise OSError(f"no {count} free ports between {_FIRST} and {_LAST}")


def answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """True when something accepts a TCP connection there within `timeout_s` seconds."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
