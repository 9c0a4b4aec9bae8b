import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.config import configuring, translated
from worker.errors import FatalError, RetryableError, SettingsError, TidingsError


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), RetryableError),
        (KafkaException(KafkaError(KafkaError._FENCED, "another", True)), FatalError),
        (TimeoutError(), RetryableError),
    ],
)
def test_errors_are_ours_and_say_what_was_done(error: Exception, ours: type[TidingsError]) -> None:
    """Whether trying again may help is told by the type, a broker that keeps silent included."""
    with pytest.raises(ours, match="creating topics failed"), translated("creating topics"):
        raise error


def test_a_refused_configuration_is_a_wrong_setting() -> None:
    """It is the person's to put right, so it is no matter of trying again."""
    with pytest.raises(SettingsError, match=r"kafka: .*mechanism"), configuring():
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no such mechanism"))
