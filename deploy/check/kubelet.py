"""What the kubelet would do with a rendered pod: the manifest's own command, environment, files, probes and end.

Not a container: paths of mounts are put under a folder, and the probed port is one of this machine's, so that several pods fit
on it. The rest is as it is rendered.
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.check.chart import Object
from deploy.check.configured import laid_out
from deploy.local.ports import free_ports

_PROGRAM = {"tidings": [sys.executable, "-m", "worker"]}
"""How an image's program is started here."""
_LOOK_S = 0.2


class PodError(Exception):
    """A pod that the kubelet would have restarted or killed; the message has the end of its log."""


@dataclass
class LocalPod:
    """One pod, of its first container.

    Args:
        objects: the release, for its ConfigMaps.
        pod: the specification.
        folder: for its files and its log.
        links: what stands in for volumes, by where they are mounted.
    """

    objects: Sequence[Object]
    pod: Object
    folder: Path
    links: Mapping[str, Path] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def container(self) -> Object:
        """Its first container."""
        found: Object = self.pod["containers"][0]
        return found

    def start(self) -> "LocalPod":
        """Start it as the manifest says."""
        self.folder.mkdir(parents=True)
        env = laid_out(self.objects, self.pod, self.container, self.folder)
        self._link()
        named = {port["name"]: port["containerPort"] for port in self.container.get("ports", ())}
        self.ports = dict(zip(named, free_ports(len(named)), strict=True)) if named else {}
        for name, port in named.items():
            self._replace(f"port: {port}", f"port: {self.ports[name]}")
        command = [*_PROGRAM.get(self.container["command"][0], [self.container["command"][0]]), *self.container["args"]]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=clean | env, stdout=log, stderr=log)
        return self

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / "log"

    def until_ready(self) -> float:
        """Probe it as the kubelet does, at the manifest's pace; returns the seconds that it took.

        Raises:
            PodError: it ended, or the startup or the liveness probe failed too often.
        """
        began_s = time.monotonic()
        self._until("startupProbe", lambda: self.probe("startupProbe"))
        self._until("readinessProbe", lambda: self.probe("readinessProbe") and self._lives())
        return time.monotonic() - began_s

    def probe(self, name: str) -> bool:
        """Ask once, as the manifest says."""
        probe: dict[str, Any] = self.container[name]
        asked = probe["httpGet"]
        try:
            with closing(
                http.client.HTTPConnection("127.0.0.1", self.ports[asked["port"]], timeout=probe["timeoutSeconds"])
            ) as to:
                to.request("GET", asked["path"])
                return 200 <= to.getresponse().status < 400
        except OSError:
            return False

    def stop(self) -> tuple[int, float]:
        """Ask it to leave and wait as long as the manifest gives it; returns the exit code and the seconds that it took.

        Raises:
            PodError: it had to be killed.
        """
        began_s, process = time.monotonic(), self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(self.pod["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise PodError(f"killed after its grace period: {self._tail()}") from error
        return code, time.monotonic() - began_s

    def finish(self, limit_s: float) -> None:
        """Wait for a Job's pod; raises PodError if it fails."""
        if self._running().wait(limit_s):
            raise PodError(self._tail())

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _until(self, name: str, holds: Callable[[], bool]) -> None:
        probe = self.container[name]
        limit_s = 6 * probe["periodSeconds"] * probe["failureThreshold"]  # this machine is slower than a node
        deadline_s = time.monotonic() + limit_s
        while not holds():
            if self._running().poll() is not None or time.monotonic() > deadline_s:
                raise PodError(f"{name}: {self._tail()}")
            time.sleep(_LOOK_S)

    def _lives(self) -> bool:
        if not self.probe("livenessProbe"):
            raise PodError(f"livenessProbe: {self._tail()}")
        return True

    def _link(self) -> None:
        for mount, target in self.links.items():
            place = self.folder / mount.lstrip("/")
            if place.is_dir():
                place.rmdir()
                place.symlink_to(target)

    def _replace(self, old: str, new: str) -> None:
        for path in self.folder.glob("etc/tidings/settings/*.yaml"):
            path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def _running(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            raise PodError("not started")
        return self.process

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
