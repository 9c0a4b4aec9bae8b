from collections.abc import Iterator

import pytest

from tests.unit.worker.dead_letters.builders import letter
from worker.dead_letters.letter import DeadLetter, read_letter
from worker.dead_letters.replay import Destination, destination, replay
from worker.errors import RetryableError, SettingsError
from worker.messages import OutRecord, Record
from worker.settings import KafkaSettings, Topics

INPUTS = frozenset({"news", "chat"})


class Sender:
    """Keeps what it is given; `delivered` counts only once it is flushed, as with a real one."""

    def __init__(self, partitions: dict[str, int] | None = None) -> None:
        self.sent: list[tuple[str, OutRecord, int | None]] = []
        self.delivered = self.failed = 0
        self.failures: dict[str, str] = {}
        self._partitions = {"news": 6, "other": 2} if partitions is None else partitions

    def partitions(self, topic: str) -> int:
        """As many as told."""
        return self._partitions.get(topic, 0)

    def send(self, name: str, record: OutRecord, partition: int | None) -> None:
        """Keep."""
        self.sent.append((name, record, partition))

    def refuse(self, name: str, why: str) -> None:
        """Note."""
        self.failed += 1
        self.failures[name] = why

    def flush(self) -> None:
        """All that was sent arrives."""
        self.delivered = len(self.sent)


@pytest.mark.parametrize(
    ("to", "topic", "partition"),
    [
        pytest.param(None, "news", 5, id="where it came from"),
        pytest.param("news", "news", 5, id="the same, named"),
        pytest.param("other", "other", None, id="elsewhere the key decides"),
    ],
)
def test_a_record_goes_back_to_its_partition(to: str | None, topic: str, partition: int | None) -> None:
    """Whatever partitioner its producer used, the records of a key stay together."""
    sender = Sender()
    outcome = replay([letter(partition=5)], Destination(to, INPUTS), sender)
    assert [(name, record.topic, place) for name, record, place in sender.sent] == [("0-17", topic, partition)]
    assert (outcome.delivered, outcome.failed, outcome.last, outcome.interrupted) == (1, 0, "0-17", False)


def test_a_topic_with_fewer_partitions_takes_the_record_by_its_key() -> None:
    """It was deleted and made anew."""
    sender = Sender({"news": 5})
    replay([letter(partition=5)], Destination(None, INPUTS), sender)
    assert [place for *_, place in sender.sent] == [None]


@pytest.mark.parametrize(
    ("one", "to", "why"),
    [
        pytest.param(letter(topic="sentiment.alerts"), None, "no input topic", id="not an input"),
        pytest.param(read_letter(Record("dlq", 0, 17, None, b"x", 0)), None, "nowhere that is known", id="not ours"),
        pytest.param(letter(topic="chat"), None, "there is no topic chat", id="gone"),
        pytest.param(letter(), "nosuch", "there is no topic nosuch", id="wrong --to"),
    ],
)
def test_what_has_nowhere_to_go_is_named_and_the_rest_goes_on(one: DeadLetter, to: str | None, why: str) -> None:
    """A letter can send us to an input topic and to no other."""
    sender = Sender()
    outcome = replay([one, letter(at=(0, 18))], Destination(to, INPUTS), sender)
    assert (outcome.failed, why in outcome.failures["0-17"]) == (2 if to else 1, True)
    assert outcome.delivered == (0 if to else 1)


def test_ctrl_c_leaves_a_clear_count() -> None:
    """What was sent is waited for; the last letter is named, so that one can go on behind it."""

    def interrupted() -> Iterator[DeadLetter]:
        yield letter(at=(0, 1))
        yield letter(at=(0, 4))
        raise KeyboardInterrupt

    outcome = replay(interrupted(), Destination(None, INPUTS), Sender())
    assert (outcome.delivered, outcome.last, outcome.interrupted) == (2, "0-4", True)


class Unanswered(Sender):
    """Hears of the first record alone before somebody loses patience."""

    def flush(self) -> None:
        """Wait, until Ctrl-C."""
        self.delivered = 1
        raise KeyboardInterrupt


def test_ctrl_c_while_the_last_answers_are_waited_for() -> None:
    """The counts say what is known by then, and of how many nothing is."""
    outcome = replay([letter(at=(0, offset)) for offset in (1, 4, 7)], Destination(None, INPUTS), Unanswered())
    assert (outcome.delivered, outcome.unknown, outcome.last, outcome.interrupted) == (1, 2, "0-7", True)


def test_letters_are_taken_one_at_a_time() -> None:
    """A hundred thousand are never in memory together: the next is asked for when the one before is sent."""
    sender = Sender()

    def watched() -> Iterator[DeadLetter]:
        for number in range(3):
            assert len(sender.sent) == number
            yield letter(at=(0, number))

    assert replay(watched(), Destination(None, INPUTS), sender).delivered == 3


def test_what_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No count is given that may be wrong."""

    def unanswered() -> None:
        raise RetryableError("of 3 records it is not known")

    sender = Sender()
    monkeypatch.setattr(sender, "flush", unanswered)
    with pytest.raises(RetryableError, match="not known"):
        replay([letter()], Destination(None, INPUTS), sender)


def test_dead_letters_are_not_sent_to_the_dead_letters() -> None:
    """They would come round for ever."""
    kafka = KafkaSettings(topics=Topics(dead_letters="dlq"))
    with pytest.raises(SettingsError, match="--to dlq"):
        destination(kafka, "dlq")
    assert destination(kafka, None) == Destination(None, INPUTS)
