"""What the local stack is asked for; the only reader of the environment in this package."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from deploy.local.errors import LocalStackError
from deploy.local.report import PART_NAMES

KAFKA_VARIABLE = "TIDINGS_KAFKA__BOOTSTRAP_SERVERS"
REDIS_VARIABLE = "TIDINGS_REDIS__URL"
TRITON_VARIABLE = "TIDINGS_TRITON__URL"
BACKEND_VARIABLE = "TIDINGS_MODEL__BACKEND"


class KafkaChoice(StrEnum):
    """TIDINGS_LOCAL_KAFKA: which Kafka to start."""

    AUTO = "auto"
    APACHE = "apache"
    MOCK = "mock"


class RedisChoice(StrEnum):
    """TIDINGS_LOCAL_REDIS: which redis-server to start."""

    AUTO = "auto"
    SYSTEM = "system"
    WHEEL = "wheel"


class ModelChoice(StrEnum):
    """TIDINGS_LOCAL_TRITON: what serves the model."""

    AUTO = "auto"
    TRITON = "triton"
    ONNX = "onnx"


@dataclasses.dataclass(frozen=True)
class StackConfig:
    """The stack to start.

    Attributes:
        state: folder of runs, logs and data (`.tidings`).
        cache: folder of what survives: Kafka's jars, Triton's environment (`.cache`).
        model_repository: the folder Triton loads.
        data_dir: data kept between runs; None means fresh data, removed at the end.
        parts: the parts wanted, a subset of PART_NAMES.
        external: part name -> address of a running one to use instead; may hold a password.
        kafka_properties: added to, and stronger than, the broker's own `server.properties`.
        may_install: whether missing system packages may be installed with apt-get.
    """

    state: Path = Path(".tidings")
    cache: Path = Path(".cache")
    model_repository: Path = Path("triton_repo")
    data_dir: Path | None = None
    parts: frozenset[str] = frozenset(PART_NAMES)
    external: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kafka_properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kafka: KafkaChoice = KafkaChoice.AUTO
    redis: RedisChoice = RedisChoice.AUTO
    triton: ModelChoice = ModelChoice.AUTO
    may_install: bool = True

    def __post_init__(self) -> None:
        """Make folders absolute, so that servers started elsewhere find them.

        Raises:
            LocalStackError: a part that does not exist is wanted.
        """
        if unknown := self.parts - set(PART_NAMES):
            raise LocalStackError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PART_NAMES)}")
        for field in ("state", "cache", "model_repository", "data_dir"):
            path = getattr(self, field)
            object.__setattr__(self, field, path and path.absolute())

    def but(self, **changes: object) -> StackConfig:
        """The same configuration with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type] # dataclasses.replace checks the names

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> StackConfig:
        """Read the environment (`os.environ` unless another is given).

        `TIDINGS_KAFKA__BOOTSTRAP_SERVERS`, `TIDINGS_REDIS__URL`, `TIDINGS_TRITON__URL` name running parts to use;
        `TIDINGS_LOCAL_KAFKA` (auto, apache, mock), `TIDINGS_LOCAL_REDIS` (auto, system, wheel), `TIDINGS_LOCAL_TRITON`
        (auto, triton, onnx) choose what to start; `TIDINGS_LOCAL_INSTALL=no` forbids apt-get; `TIDINGS_CACHE_DIR` moves
        `.cache`.

        Raises:
            LocalStackError: a variable has a value that does not exist; the message names both.
        """
        environ = os.environ if environ is None else environ
        variables = {"kafka": KAFKA_VARIABLE, "redis": REDIS_VARIABLE, "triton": TRITON_VARIABLE}
        return cls(
            cache=Path(environ.get("TIDINGS_CACHE_DIR") or ".cache"),
            external={part: environ[name] for part, name in variables.items() if environ.get(name)},
            kafka=_choice(environ, "TIDINGS_LOCAL_KAFKA", KafkaChoice),
            redis=_choice(environ, "TIDINGS_LOCAL_REDIS", RedisChoice),
            triton=_choice(environ, "TIDINGS_LOCAL_TRITON", ModelChoice),
            may_install=_choice(environ, "TIDINGS_LOCAL_INSTALL", _Install) is not _Install.NO,
        )


class _Install(StrEnum):
    AUTO = "auto"
    NO = "no"


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(environ: Mapping[str, str], name: str, choices: type[_Choice]) -> _Choice:
    value = environ.get(name) or "auto"
    try:
        return choices(value)
    except ValueError:
        raise LocalStackError(f'{name} is "{value}"; it must be one of {", ".join(choices)}') from None
