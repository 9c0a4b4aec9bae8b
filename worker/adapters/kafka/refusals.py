"""What brokers refuse, told from what passes: a wrong password must not look like a broker that is away.

librdkafka tells why a connection failed through `error_cb` alone; the call that waits for the connection only times out. A
broker that is restarted refuses connections and drops them, but it finds no fault with passwords or certificates.
"""

import re
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

from worker.errors import FatalError, RetryableError, SettingsError
from worker.settings import KafkaSettings
from worker.tls import certificate_problem, speaks_tls

log = structlog.get_logger(__name__)
T = TypeVar("T")
Clock = Callable[[], float]
_REPEAT_AFTER_S = 10.0
_TURN_S = 1.0
_LASTING_S = 30.0
"""A client at work whose brokers have refused it for so long does not go on: its connections will not come back."""
_TOPIC = "Read on the topic, or Write, as it is read or written"
_PAUSE_S = 15.0
"""Refusals further apart are not one: librdkafka tries again every five seconds at the latest."""


class _Kind(NamedTuple):
    """One kind of refusal: the error's names, a pattern of its text, and the setting to look at."""

    names: tuple[str, ...]
    pattern: str
    remedy: str


_KINDS = (
    _Kind(
        ("_AUTHENTICATION",),
        r"OAUTHBEARER token: .*(invalid_|unauthorized_client|unsupported_)",
        "look at kafka.oauth_client_id, kafka.oauth_client_secret and kafka.oauth_scope",
    ),
    _Kind(("_AUTHENTICATION",), r"OAUTHBEARER token: .*certificate", "look at kafka.oauth_ca_location"),
    _Kind(("_AUTHENTICATION",), r"OAUTHBEARER token: .*oauth_token_file", "look at kafka.oauth_token_file"),
    _Kind(("_AUTHENTICATION",), r"mechanism handshake failed", "look at kafka.sasl_mechanism and kafka.security_protocol"),
    _Kind(
        ("_AUTHENTICATION",),
        r"authentication error.*(OAUTHBEARER|invalid_token|JWT)",
        "look at the token that kafka.oauth_token_file or kafka.oauth_token_endpoint gives: its issuer, audience and end",
    ),
    _Kind(("_AUTHENTICATION",), r"authentication error: Auth", "look at kafka.sasl_username and kafka.sasl_password"),
    _Kind(
        ("_SSL",),
        r"certificate verify failed|could not be verified",
        "look at kafka.ssl_ca_location, at the broker's certificate, and at the host names in kafka.bootstrap_servers",
    ),
    _Kind(
        ("_SSL", "_TRANSPORT"),
        r"tls.* alert",
        "look at kafka.ssl_certificate_location: the broker wants a certificate of ours, or another one",
    ),
)


def remedy(name: str, text: str) -> str | None:
    """What to do about an error of librdkafka (its name, such as `_SSL`, and its text); None for one that may pass.

    A token endpoint that is away may come back; one that refuses us may not.
    """
    return next((kind.remedy for kind in _KINDS if name in kind.names and re.search(kind.pattern, text)), None)


class Refusals:
    """The `error_cb` of one client: logs what it hears, and remembers refusals.

    Args:
        client: what to call it in the log.
        settings: to look at the listener more closely.
        clock: seconds, monotonic.
    """

    def __init__(self, client: str, settings: KafkaSettings, clock: Clock = time.monotonic) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._refusal: str | None = None
        self._first_s = self._last_s = float("-inf")

    def __call__(self, error: KafkaError) -> None:
        """Hear an error. Each is logged at most every 10 s; librdkafka repeats itself 20 times a second."""
        now = self._clock()
        if now - self._logged_at.get(error.name(), float("-inf")) >= _REPEAT_AFTER_S:
            self._logged_at[error.name()] = now
            log.warning("kafka client", client=self._client, error=error.str())
        if what := remedy(error.name(), error.str()):
            self._first_s = self._first_s if now - self._last_s < _PAUSE_S else now
            self._last_s = now
            self._refusal = f"{error.str()}; {what}"

    def answer(self, call: Callable[[float], T], serve: Callable[[float], object], limit_s: float) -> T:
        """Make a first call, which waits for a connection, in short turns, so that a refusal ends it at once.

        Args:
            call: takes the seconds that it may wait; may be made again after it has timed out.
            serve: takes seconds; lets librdkafka tell its errors.
            limit_s: how long to try.

        Raises:
            SettingsError: the brokers refuse us.
            KafkaException: what `call` raised in the end.
        """
        deadline, turns = self._clock() + limit_s, 0
        while True:
            try:
                return call(_TURN_S)
            except KafkaException as error:
                serve(0.1)
                self._raise_refusal()
                if self._clock() >= deadline or not _is_waiting(error.args[0]):
                    raise
                turns += 1
                if turns == 1:
                    self._raise_if_tls_is_expected()

    def raise_lasting(self) -> None:
        """Raise FatalError if a client at work has been refused, again and again, for half a minute."""
        if self._last_s - self._first_s >= _LASTING_S and self._clock() - self._last_s < _PAUSE_S:
            raise FatalError(f"Kafka refuses us: {self._refusal}")

    def _raise_refusal(self) -> None:
        if self._refusal is None:
            return
        first = self._settings.bootstrap_servers.split(",")[0].strip()
        tls = "SSL" in self._settings.security_protocol
        problem = certificate_problem(first, self._settings.ssl_ca_location) if tls else None
        raise SettingsError(f"Kafka refuses us: {self._refusal}" + (f" ({first}: {problem})" if problem else ""))

    def _raise_if_tls_is_expected(self) -> None:
        first, protocol = self._settings.bootstrap_servers.split(",")[0].strip(), self._settings.security_protocol
        if "SSL" not in protocol and speaks_tls(first):
            wanted = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
            raise SettingsError(f"kafka.security_protocol is {protocol}, but {first} speaks TLS; set it to {wanted}")


def _is_waiting(error: KafkaError) -> bool:
    return (error.retriable() or error.name() in {"_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN"}) and not error.fatal()


def grant(error: KafkaError, *, topic: str | None = None, group: str = "", doing: str = "Read") -> str | None:
    """What to grant so that this error does not come again; None if it is not about permissions.

    Args:
        error: what the broker said.
        topic: the topic that it is about, None if that is not known.
        group: the consumer group that it is about.
        doing: the operation on the topic.
    """
    needed = {
        KafkaError.TOPIC_AUTHORIZATION_FAILED: f"{doing} on the topic {topic}" if topic else _TOPIC,
        KafkaError.GROUP_AUTHORIZATION_FAILED: f"Read on the consumer group {group}".rstrip(),
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write on the transactional id",
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the operation on the cluster",
    }.get(error.code())
    return needed and f"grant the worker's principal {needed} (docs/security.md)"


def translate(doing: str, error: KafkaError) -> FatalError | RetryableError:
    """Return the error as ours, saying what was being done and, of a lacking permission, what to grant."""
    needed = grant(error)
    kind = FatalError if error.fatal() or needed else RetryableError
    return kind(f"{doing} failed: {error.str()}" + (f"; {needed}" if needed else ""))
