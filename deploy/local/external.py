"""Running parts that the user named in the environment: checked, used, never started or stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tritonclient.grpc import InferenceServerClient  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from deploy.local import redis
from deploy.local.config import KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE
from deploy.local.errors import NotReadyError, PartFailedError
from deploy.local.ports import answers
from deploy.local.process import Ready
from deploy.local.report import Health, Kind, PartReport

_TIMEOUT_S = 3.0
_VARIABLES = {"kafka": KAFKA_VARIABLE, "redis": REDIS_VARIABLE, "triton": TRITON_VARIABLE}


def _probe_kafka(bootstrap: str) -> Ready:
    """A TCP connection only: the security settings are the worker's, and `tidings check` goes further."""
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        if port.isdigit() and answers(host, int(port), _TIMEOUT_S):
            return Ready("kafka of your own", bootstrap, {KAFKA_VARIABLE: bootstrap})
    raise NotReadyError("none of its addresses accepts a connection")


def _probe_triton(url: str) -> Ready:
    try:
        with InferenceServerClient(url) as client:
            version = client.get_server_metadata(client_timeout=_TIMEOUT_S).version
    except InferenceServerException as error:
        raise NotReadyError(str(error)) from error
    return Ready(version, url, {TRITON_VARIABLE: url})


_PROBES: Mapping[str, Callable[[str], Ready]] = {
    "kafka": _probe_kafka,
    "redis": lambda url: redis.probe(url, _TIMEOUT_S),
    "triton": _probe_triton,
}


class ExternalPart:
    """A part that runs elsewhere."""

    def __init__(self, name: str, address: str) -> None:
        """Reach it once.

        Args:
            name: `kafka`, `redis` or `triton`.
            address: the value of its `TIDINGS_*` variable; may hold a password, which is never shown.

        Raises:
            PartFailedError: it does not answer; the message names the variable.
        """
        self.name = name
        self._address = address
        try:
            self._ready = _PROBES[name](address)
        except (NotReadyError, ValueError) as error:
            variable = _VARIABLES[name]
            raise PartFailedError(f"{variable} names a running {name}, but it cannot be used: {error}") from error

    def report(self) -> PartReport:
        """The part as it is now; asks it once."""
        health, note = Health.READY, f"given by {_VARIABLES[self.name]}"
        try:
            self._ready = _PROBES[self.name](self._address)
        except NotReadyError as error:
            health, note = Health.NOT_READY, str(error)
        return PartReport(self.name, Kind.EXTERNAL, health, self._ready.software, self._ready.address, note=note)

    def settings(self) -> Mapping[str, str]:
        """The variable that named it."""
        return self._ready.settings
