"""A TCP proxy between the workers and every part, in a process of its own so that the harness' own work does not slow it.

`Proxy` starts it and tells it what to do; `python -m tests.chaos.proxy` is the process. Per link: `pass` (with a delay and a
jitter perhaps), `cut` (connections are closed and new ones refused), `hold` (connections stand, new ones are accepted, and
nothing passes: a black hole), and another target. Like toxiproxy, in small: https://github.com/Shopify/toxiproxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deploy.local.ports import LOOPBACK

Mode = Literal["pass", "cut", "hold"]
_CHUNK = 65_536
_ROOT = Path(__file__).parents[2]


@dataclass
class Link:
    """One listening port and where it leads; delays are seconds each way."""

    port: int
    target: int
    mode: Mode = "pass"
    delay_s: float = 0.0
    jitter_s: float = 0.0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    passing: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, order: dict[str, Any]) -> None:
        """Take over what the order names; `cut` and another target close what is open."""
        target = int(order.get("target", self.target))
        self.mode = order.get("mode", self.mode)
        self.delay_s = float(order.get("delay_s", self.delay_s))
        self.jitter_s = float(order.get("jitter_s", self.jitter_s))
        if self.mode == "cut" or target != self.target:
            for writer in tuple(self.open):
                writer.transport.abort()
        self.target = target
        if self.mode == "hold":
            self.passing.clear()
        else:
            self.passing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways until either end closes it."""
        if self.mode == "cut":
            writer.transport.abort()
            return
        self.open.add(writer)
        try:
            await self.passing.wait()
            there, back = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            self._drop(writer)
            return
        self.open.add(back)
        ways = [asyncio.ensure_future(self._carry(reader, back)), asyncio.ensure_future(self._carry(there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        self._drop(writer, back)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s or self.jitter_s:
                    await asyncio.sleep(self.delay_s + random.uniform(0, self.jitter_s))
                await self.passing.wait()
                writer.write(data)
                await writer.drain()

    def _drop(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            self.open.discard(writer)
            writer.transport.abort()


async def _main(ports: dict[str, list[int]]) -> None:
    links = {name: Link(port, target) for name, (port, target) in ports.items()}
    for link in links.values():
        link.passing.set()
        await asyncio.start_server(link.serve, LOOPBACK, link.port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        links[order["link"]].set(order)
        sys.stdout.write("done\n")
        sys.stdout.flush()


class Proxy:
    """The harness' handle on the proxy process; may be used by several threads."""

    def __init__(self, ports: dict[str, tuple[int, int]], log: Path) -> None:
        """Start it.

        Args:
            ports: link name -> (port to listen on, port to lead to).
            log: where its complaints go.
        """
        command = [sys.executable, "-m", "tests.chaos.proxy", json.dumps(ports)]
        self.ports = ports
        self._lock = threading.Lock()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._hear()

    @property
    def pid(self) -> int:
        """The proxy's process id."""
        return self._process.pid

    def port(self, link: str) -> int:
        """Where the link listens."""
        return self.ports[link][0]

    def set(self, link: str, **order: object) -> None:
        """Change a link: `mode`, `delay_s`, `jitter_s`, `target`; done when this returns."""
        with self._lock:
            if self._process.stdin is None or self._process.poll() is not None:
                raise OSError("the proxy has ended")
            self._process.stdin.write(json.dumps({"link": link, **order}) + "\n")
            self._process.stdin.flush()
            self._hear()

    def heal(self) -> None:
        """Let everything pass at once again, wherever it leads now."""
        for link in self.ports:
            self.set(link, mode="pass", delay_s=0, jitter_s=0)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _hear(self) -> None:
        if self._process.stdout is None or not self._process.stdout.readline():
            raise OSError("the proxy does not answer")


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
