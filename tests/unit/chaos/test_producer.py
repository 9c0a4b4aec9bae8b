import pytest

from tests.chaos.observe import Place, TopicNames, stream_key
from tests.chaos.plan import Planned
from tests.chaos.producer import HoldBack, partition_of


def message(key: bytes | None) -> Planned:
    """A message with this key."""
    return Planned("m", "news", key, b"{}", (), 0, 0, 0.0, "prediction")


def test_partition_is_the_same_in_every_run() -> None:
    """By key, and without one by the number in the plan: ids made of topic, partition and offset must not differ."""
    assert partition_of(message(b"author-1"), 1, 4) == partition_of(message(b"author-1"), 9, 4)
    assert [partition_of(message(None), number, 4) for number in range(5)] == [0, 1, 2, 3, 0]
    assert {partition_of(message(b"author-%d" % number), 0, 4) for number in range(40)} == {0, 1, 2, 3}


def test_hold_back_looks_at_the_oldest_message_without_its_outcome() -> None:
    """The next may go as long as no open message is older by more than the skew."""
    accounted: set[Place] = set()
    hold = HoldBack(100, accounted)
    assert hold.allows(10_000)
    hold.sent(0, 1_000)
    hold.sent(1, 1_050)
    assert hold.allows(1_100)
    assert not hold.allows(1_101)
    hold.placed(0, ("t", 0, 0))
    assert not hold.allows(1_101)
    accounted.add(("t", 0, 0))
    assert hold.oldest_ms() == 1_050
    assert hold.allows(1_150)
    hold.placed(1, ("t", 1, 0))
    accounted.add(("t", 1, 0))
    assert hold.oldest_ms() is None


def test_an_outcome_known_before_its_place_counts() -> None:
    """The onlooker may be quicker than the delivery report."""
    accounted: set[Place] = {("t", 0, 0)}
    hold = HoldBack(100, accounted)
    hold.sent(0, 1_000)
    assert hold.oldest_ms() == 1_000
    hold.placed(0, ("t", 0, 0))
    assert hold.oldest_ms() is None


def test_older_messages_need_not_have_been_sent_first() -> None:
    """Event times may go back and forth within the plan."""
    hold = HoldBack(100, set())
    hold.sent(0, 2_000)
    hold.sent(1, 1_000)
    assert hold.oldest_ms() == 1_000


def test_hold_back_lets_go_of_what_is_lost() -> None:
    """Nothing is held back for the sake of a message that will never have an outcome."""
    hold = HoldBack(100, set())
    hold.sent(0, 1_000)
    hold.let_go()
    assert hold.allows(9_000)


@pytest.mark.parametrize("run", ["reference", "faulty"])
def test_names_of_a_run_can_be_taken_out(run: str) -> None:
    """What two runs say differs in nothing but their topics' names, and those are made the same."""
    names = TopicNames(run)
    assert len(set(names.all)) == 6
    assert names.neutral(f'{{"topic":"{names.news}"}}'.encode()) == b'{"topic":"news"}'
    assert names.neutral(stream_key(names, 3).encode()) == b"redis:{signals-3}:alerts"
