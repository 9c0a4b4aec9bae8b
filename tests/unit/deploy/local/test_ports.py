import socket

from deploy.local.ports import LOOPBACK, answers, free_ports, is_free


def test_ports_are_different_free_and_outside_the_ephemeral_range() -> None:
    """The kernel hands out ports from 32768 on to outgoing connections; a part must find its own again."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) and 15_000 <= port < 32_768 for port in ports)


def test_a_port_in_use_is_not_free_and_answers() -> None:
    """Listening makes a port taken; closing gives it back."""
    with socket.create_server((LOOPBACK, free_ports(1)[0])) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert answers(LOOPBACK, port)
    assert not answers(LOOPBACK, port)
