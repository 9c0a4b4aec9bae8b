import msgspec
import pytest

from tests.unit.worker.builders import GOOD, message, prediction, record, signal
from worker import messages
from worker.messages import LABELS, Matches, TopicPartition


@pytest.mark.parametrize("value", [message(), record(b"x"), prediction(), signal(), GOOD, Matches()])
def test_values_do_not_change(value: msgspec.Struct) -> None:
    """What passes between stages is frozen; a change makes a new value."""
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, value.__struct_fields__[0], "other")


def test_every_value_is_frozen() -> None:
    """No type of the module is an exception."""
    types = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    assert len(types) > 10
    assert all(kind.__struct_config__.frozen for kind in types)


def test_a_record_knows_its_partition() -> None:
    """As a key of its own, equal to any other way of saying it."""
    assert record(b"x", topic="chat", partition=3).topic_partition == TopicPartition("chat", 3)


def test_alert_keys_tell_entities_from_topics() -> None:
    """An entity and a topic of one name are two keys."""
    assert Matches(("a", "b"), ("a",)).alert_keys == ("entity:a", "entity:b", "topic:a")
    assert Matches().alert_keys == ()


def test_the_order_of_the_labels() -> None:
    """The model's outputs are read by it."""
    assert LABELS == ("negative", "neutral", "positive")
