"""What is known of one part of the stack: the value that `status`, the state file and the demo show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

PART_NAMES = ("kafka", "redis", "triton")


class Kind(StrEnum):
    """Where a part comes from."""

    STARTED = "started"
    EXTERNAL = "external"
    STAND_IN = "stand-in"


class Health(StrEnum):
    """How a part does."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    DEAD = "dead"


@dataclasses.dataclass(frozen=True)
class PartReport:
    """One part as seen at one moment.

    Attributes:
        name: `kafka`, `redis` or `triton`.
        software: name and version as the running server tells them, or the plain name of the stand-in.
        address: where a client connects; a password is never part of it.
        ports: port numbers by what they serve.
        pids: the guard and every process of the server, empty for what this stack did not start.
        log: the server's log file, empty for what this stack did not start.
        note: what a stand-in cannot do, or why a part is not ready.
    """

    name: str
    kind: Kind
    health: Health
    software: str
    address: str = ""
    ports: Mapping[str, int] = dataclasses.field(default_factory=dict)
    pids: tuple[int, ...] = ()
    log: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {**dataclasses.asdict(self), "ports": dict(self.ports), "pids": list(self.pids)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PartReport:
        """Read back what `to_dict` wrote."""
        kind, health = Kind(fields["kind"]), Health(fields["health"])
        return cls(**{**fields, "kind": kind, "health": health, "pids": tuple(fields["pids"])})


class Part(Protocol):
    """What the stack needs to know of a part, started by it or not."""

    @property
    def name(self) -> str:
        """`kafka`, `redis` or `triton`."""
        ...

    def report(self) -> PartReport:
        """The part as it is now."""
        ...

    def settings(self) -> Mapping[str, str]:
        """The `TIDINGS_*` settings with which a worker finds the part; may hold a password."""
        ...
