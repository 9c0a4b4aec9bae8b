"""Ask a listener about its TLS: whether it speaks it at all, and what is wrong with the certificate that it shows.

Client libraries say little of a connection that was refused. Nothing but the handshake is sent, and nothing is trusted.
"""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TIMEOUT_S = 2.0
_TLS_RECORDS = (b"\x15", b"\x16")
"""An alert or a handshake, RFC 8446 section 5.1: what a server that speaks TLS answers a hello with."""


class TlsFiles(NamedTuple):
    """What a client of ours needs for TLS, PEM: whom to trust (None for the client's own list), and for mTLS who we are."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = None

    def __repr__(self) -> str:
        """Name no secret."""
        return f"TlsFiles(authority={self.authority}, certificate={self.certificate})"


def speaks_tls(address: str) -> bool:
    """Whether whoever listens at host:port answers a TLS hello with TLS; False if nobody does."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=_split(address)[0])
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    try:
        with socket.create_connection(_split(address), _TIMEOUT_S) as connection:
            connection.sendall(outgoing.read())
            return connection.recv(1) in _TLS_RECORDS
    except OSError:
        return False


def certificate_problem(address: str, authority: Path | None) -> str | None:
    """Say what is wrong with the certificate shown at host:port, None if nothing is, or if it cannot be told.

    Args:
        address: host:port; the certificate must be for this host.
        authority: the certificate authority to trust, PEM; None for those that the system trusts.
    """
    try:
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection(_split(address), _TIMEOUT_S) as connection:
            context.wrap_socket(connection, server_hostname=_split(address)[0]).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):  # of the connection, or of a host name that no certificate can be for
        return None
    return None


def refuses_us(address: str, files: TlsFiles) -> bool:
    """Whether the server at host:port ends a connection made with these files, or without a certificate of ours.

    In TLS 1.3 the server looks at the client's certificate after the handshake is over for the client: it drops the connection
    then (RFC 8446 section 4.4.2.4), where one that is content with us waits for what we say.
    """
    try:
        context = ssl.create_default_context(cafile=files.authority)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key, files.key_password)
        with (
            socket.create_connection(_split(address), _TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=_split(address)[0]) as wrapped,
        ):
            wrapped.settimeout(_TIMEOUT_S)
            return wrapped.recv(1) == b""
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "") or isinstance(error, ssl.SSLEOFError)
    except ConnectionResetError:
        return True
    except (OSError, ValueError):
        return False


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "localhost", int(port) if port.isdecimal() else 0
