"""A door in front of a server: shut, open but with nobody answering, or open."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Door:
    """Listens on a port of its own, once opened, and passes what comes on to `address` (host:port), once somebody is in."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._behind = (host, int(port))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._somebody_in = threading.Event()
        self._closed = False
        self._held: list[socket.socket] = []

    def open(self, *, somebody_in: bool = True) -> None:
        """Accept connections; with nobody in, they are accepted and nothing ever comes back."""
        if somebody_in:
            self._somebody_in.set()
        with contextlib.suppress(OSError):
            self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the door, shut."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Cut everything."""
        self._closed = True
        for held in (self._socket, *self._held):
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed:
                client, _ = self._socket.accept()
                self._held.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if not self._somebody_in.is_set():
            return
        with contextlib.suppress(OSError):
            server = socket.create_connection(self._behind)
            self._held.append(server)
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            _copy(server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
