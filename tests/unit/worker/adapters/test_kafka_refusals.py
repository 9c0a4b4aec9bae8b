import itertools

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.refusals import Refusals, grant, remedy, translate
from worker.errors import FatalError, RetryableError, SettingsError
from worker.settings import KafkaSettings

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:9")
BAD_PASSWORD = KafkaError(
    KafkaError._AUTHENTICATION,
    "sasl_ssl://broker:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid "
    "credentials with SASL mechanism SCRAM-SHA-512 (after 320ms in state AUTH_REQ)",
)
AWAY = KafkaError(KafkaError._TRANSPORT, "ssl://broker:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused")
LATE = KafkaException(KafkaError(KafkaError._TIMED_OUT, "timed out"))


@pytest.mark.parametrize(
    ("name", "text", "setting"),
    [
        ("_AUTHENTICATION", BAD_PASSWORD.str(), "sasl_password"),
        ("_AUTHENTICATION", "SASL authentication error: Authentication failed: Invalid username or password", "sasl_password"),
        ("_AUTHENTICATION", "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism", "sasl_mechanism"),
        ("_AUTHENTICATION", 'Failed to acquire SASL OAUTHBEARER token: {"error": "invalid_client"}', "oauth_client_secret"),
        (
            "_AUTHENTICATION",
            "Failed to acquire SASL OAUTHBEARER token: SSL certificate problem",
            "oauth_ca_location",
        ),
        ("_AUTHENTICATION", "Failed to acquire SASL OAUTHBEARER token: kafka.oauth_token_file: gone", "oauth_token_file"),
        ("_AUTHENTICATION", 'SASL authentication error: {"status":"invalid_token"}', "oauth_token_endpoint"),
        ("_AUTHENTICATION", "Failed to acquire SASL OAUTHBEARER token: Failed to connect to 127.0.0.1:9", None),
        ("_SSL", "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker", "ssl_ca_location"),
        (
            "_TRANSPORT",
            "Receive failed: SSL routines::ssl/tls alert bad certificate: SSL alert number 42",
            "ssl_certificate_loc",
        ),
        ("_TRANSPORT", "SSL routines::tlsv13 alert certificate required: SSL alert number 116", "ssl_certificate_location"),
        ("_TRANSPORT", "Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)", None),
        ("_TRANSPORT", "SSL handshake failed: Disconnected: SSL connection closed by peer", None),
        ("_TRANSPORT", "Disconnected (after 10ms in state AUTH_REQ)", None),
        ("_ALL_BROKERS_DOWN", "1/1 brokers are down", None),
        ("_RESOLVE", "Failed to resolve 'broker:9092'", None),
    ],
)
def test_a_refusal_names_its_setting_and_what_passes_is_none(name: str, text: str, setting: str | None) -> None:
    """The words are librdkafka's own; a broker that restarts, or a token endpoint that is away, refuses nobody."""
    found = remedy(name, text)
    assert found is None if setting is None else f"kafka.{setting}" in (found or "")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now_s


def test_a_refusal_ends_the_first_call_at_once() -> None:
    """Its error comes through the callback, while the call itself only times out."""
    refusals = Refusals("test", SETTINGS)
    calls = itertools.count()

    def call(_timeout_s: float) -> None:
        next(calls)
        raise LATE

    with pytest.raises(SettingsError, match=r"Kafka refuses us: .*kafka\.sasl_password"):
        refusals.answer(call, lambda _s: refusals(BAD_PASSWORD), 60)
    assert next(calls) == 1


def test_a_broker_that_is_away_is_asked_until_the_time_is_up() -> None:
    """Then its own error is raised, for whoever waits to judge."""
    clock = Clock()
    refusals = Refusals("test", SETTINGS, clock)

    def call(timeout_s: float) -> None:
        clock.now_s += timeout_s
        raise LATE

    with pytest.raises(KafkaException):
        refusals.answer(call, lambda _s: refusals(AWAY), 10)
    assert clock.now_s == 10


def test_an_answer_is_handed_on() -> None:
    """After it has timed out once, say."""
    answers = iter([LATE, "topics"])

    def call(_timeout_s: float) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert Refusals("test", SETTINGS).answer(call, lambda _s: None, 10) == "topics"


@pytest.mark.parametrize(
    ("heard_at_s", "asked_at_s", "lasting"),
    [
        ([], 0, False),
        ([0], 0, False),
        ([0, 5, 10, 15, 20, 25], 26, False),
        ([0, 5, 10, 15, 20, 25, 30], 31, True),
        ([0, 10, 20, 30], 44, True),
        ([0, 10, 20, 30], 46, False),
        ([0, 20, 40], 41, False),
    ],
)
def test_a_client_at_work_ends_when_it_is_refused_for_half_a_minute(
    heard_at_s: list[float], asked_at_s: float, lasting: bool
) -> None:
    """Again and again, without a pause: a single refusal while a broker starts up is none."""
    clock = Clock()
    refusals = Refusals("test", SETTINGS, clock)
    for clock.now_s in heard_at_s:
        refusals(BAD_PASSWORD)
        refusals(AWAY)
    clock.now_s = asked_at_s
    if lasting:
        with pytest.raises(FatalError, match="Kafka refuses us"):
            refusals.raise_lasting()
    else:
        refusals.raise_lasting()


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "Write on the topic news"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "Read on the consumer group tidings-score"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Write on the transactional id"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "on the cluster"),
        (KafkaError.REQUEST_TIMED_OUT, None),
    ],
)
def test_a_lacking_permission_says_what_to_grant(code: int, needed: str | None) -> None:
    """It will not come by itself, so it is fatal; anything else may pass."""
    error = KafkaError(code)
    found = grant(error, topic="news", group="tidings-score", doing="Write")
    assert found is None if needed is None else needed in (found or "")
    assert type(translate("reading", error)) is (RetryableError if needed is None else FatalError)
