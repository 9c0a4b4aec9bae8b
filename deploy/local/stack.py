"""The local stack as one value: start its parts, wait for them, reach each by name, take them down in order.

with LocalStack.start(StackConfig.from_environment()) as stack:
    environ = {**os.environ, **stack.settings_env()}
    stack.server("redis").kill()
    stack.server("redis").restart()
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import kafka, redis, stand_ins, triton
from deploy.local.config import KafkaChoice, ModelChoice, StackConfig
from deploy.local.errors import LocalStackError, MissingPackageError
from deploy.local.external import ExternalPart
from deploy.local.paths import RunFolder, locked, new_run
from deploy.local.process import Server
from deploy.local.report import PART_NAMES, Health, Part, PartReport
from deploy.local.system import Say


def _nothing(_: str) -> None: ...


def _kafka(config: StackConfig, run: RunFolder, say: Say) -> Part:
    if config.kafka is KafkaChoice.MOCK:
        return Server(stand_ins.mock_kafka(run, "TIDINGS_LOCAL_KAFKA=mock"))
    try:
        return Server(kafka.prepare(config, run, say))
    except MissingPackageError as error:
        if config.kafka is KafkaChoice.APACHE:
            raise
        say(f"no real Kafka: {error.message}")
        return Server(stand_ins.mock_kafka(run, error.message))


def _redis(config: StackConfig, run: RunFolder, say: Say) -> Part:
    return Server(redis.prepare(config, run, say))


def _triton(config: StackConfig, run: RunFolder, say: Say) -> Part:
    if config.triton is ModelChoice.ONNX:
        return stand_ins.InProcessModel("TIDINGS_LOCAL_TRITON=onnx")
    if config.triton is ModelChoice.AUTO and (why := triton.unsupported()):
        say(why)
        return stand_ins.InProcessModel(why)
    return Server(triton.prepare(config, run, say))


def _starts_triton(config: StackConfig) -> bool:
    wanted = "triton" in config.parts and "triton" not in config.external and config.triton is not ModelChoice.ONNX
    return wanted and not (config.triton is ModelChoice.AUTO and triton.unsupported())


_MAKERS: dict[str, Callable[[StackConfig, RunFolder, Say], Part]] = {
    "kafka": _kafka,
    "redis": _redis,
    "triton": _triton,
}


class LocalStack:
    """Kafka, Redis and Triton on this machine, or what stands in for them."""

    def __init__(self, run: RunFolder, parts: list[Part], closing: contextlib.ExitStack) -> None:
        """Use `start` to make one."""
        self._run = run
        self._parts = {part.name: part for part in parts}
        self._closing = closing

    @classmethod
    def start(cls, config: StackConfig, say: Say = _nothing) -> Self:
        """Prepare and start every part, and wait until all serve.

        Args:
            config: what to start.
            say: is told, in a few words, of each step that may take long.

        Raises:
            LocalStackError: a part cannot be prepared or did not come up; what had started is ended first.
        """
        if _starts_triton(config):
            triton.check_repository(config.model_repository)
        with contextlib.ExitStack() as closing:
            if config.data_dir is not None:
                refusal = f"the data in {config.data_dir} is in use by another stack"
                closing.enter_context(locked(config.data_dir / "lock", refusal))
            run = new_run(config.state, config.data_dir, datetime.datetime.now().astimezone())
            closing.callback(run.clear)
            closing.enter_context(locked(run.root / "lock"))
            parts = [_part(name, config, run, say) for name in PART_NAMES if name in config.parts]
            _start_all([part for part in parts if isinstance(part, Server)], closing, say)
            return cls(run, parts, closing.pop_all())

    @property
    def logs(self) -> Path:
        """The folder of the parts' logs, which stays."""
        return self._run.logs

    @property
    def data(self) -> Path:
        """The folder of the parts' data."""
        return self._run.data

    @property
    def names(self) -> tuple[str, ...]:
        """The parts this stack has, in the order they were started."""
        return tuple(self._parts)

    def server(self, name: str) -> Server:
        """The handle on one started part: `kill`, `stop`, `restart`, `pause`, `resume`, `pid`.

        Raises:
            LocalStackError: this stack did not start such a part.
        """
        part = self._parts.get(name)
        if not isinstance(part, Server):
            raise LocalStackError(f"{name} was not started by this stack")
        return part

    def settings_env(self) -> dict[str, str]:
        """The `TIDINGS_*` variables with which a worker finds the parts; may hold passwords of external ones."""
        return {key: value for part in self._parts.values() for key, value in part.settings().items()}

    def versions(self) -> dict[str, str]:
        """Part name -> software and version as the server tells it, or the plain name of the stand-in."""
        return {name: part.report().software for name, part in self._parts.items()}

    def reports(self) -> list[PartReport]:
        """Every part as it is now; asks each once."""
        return [part.report() for part in self._parts.values()]

    def check_alive(self) -> None:
        """See that no server has ended by itself; cheap enough for a loop.

        Raises:
            PartFailedError: one has; the message has the tail of its log.
        """
        for part in self._parts.values():
            if isinstance(part, Server) and not part.alive:
                raise part.failure(part.report().note)

    def ready(self) -> bool:
        """True when every part serves now."""
        return all(report.health is Health.READY for report in self.reports())

    def stop(self) -> None:
        """End every server, the last started first, and remove the data unless it is to be kept."""
        for part in self._parts.values():
            if isinstance(part, Server):
                part.request_stop()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()


def _part(name: str, config: StackConfig, run: RunFolder, say: Say) -> Part:
    if name in config.external:
        return ExternalPart(name, config.external[name])
    return _MAKERS[name](config, run, say)


def _start_all(servers: list[Server], closing: contextlib.ExitStack, say: Say) -> None:
    """Start all at once, since none needs another, and wait for each."""
    for server in servers:
        closing.callback(server.stop)
        server.start()
    for server in servers:
        say(f"waiting for {server.name}")
        server.wait_ready()
