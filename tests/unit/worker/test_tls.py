import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from worker.tls import TlsFiles, certificate_problem, refuses_us, speaks_tls


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """An authority and its file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority, tmp_path / "ca.pem"


@pytest.fixture
def listener(authority: tuple[trustme.CA, Path]) -> Iterator[str]:
    """Answers a few TLS hellos with a certificate for the loopback address, and says nothing more until the client leaves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
    thread.join(5)


def test_tls_is_recognised(listener: str) -> None:
    """By its first byte."""
    assert speaks_tls(listener)


@pytest.mark.parametrize("answer", [b"", b"-ERR unknown command\r\n", b"\x00\x00\x00\x01"])
def test_what_is_not_tls_is_not(answer: bytes) -> None:
    """Another protocol, or a connection that is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert not speaks_tls(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join(5)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-host.invalid:9", "unix:/nowhere", ""])
def test_nobody_speaks_tls(address: str) -> None:
    """Nor is anything known of a certificate, or of a refusal."""
    assert not speaks_tls(address)
    assert certificate_problem(address, None) is None
    assert not refuses_us(address, TlsFiles())


def test_a_good_certificate_has_no_problem(listener: str, authority: tuple[trustme.CA, Path]) -> None:
    """It is signed by the authority, and for this host."""
    assert certificate_problem(listener, authority[1]) is None


def test_a_bad_certificate_has_one(listener: str) -> None:
    """Here of an authority that the system does not know."""
    assert "issuer" in (certificate_problem(listener, None) or "") or "self" in (certificate_problem(listener, None) or "")


def test_files_show_no_password() -> None:
    """However they are printed."""
    files = TlsFiles(None, None, None, "hunter2")
    assert "hunter2" not in f"{files!r} {files}"
