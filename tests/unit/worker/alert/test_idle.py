from worker.alert.idle import IdleWatch
from worker.messages import TopicPartition

A, B = TopicPartition("signals", 0), TopicPartition("signals", 1)


def test_a_partition_is_idle_when_nothing_came_for_long() -> None:
    """Counted from its last signal, or from when it was taken on."""
    watch = IdleWatch(60)
    assert watch.due({A: True, B: True}, 0) == []
    watch.heard([B], 30)
    assert watch.due({A: True, B: True}, 59.9) == []
    assert watch.due({A: True, B: True}, 60) == [A]
    assert watch.due({A: True, B: True}, 90) == [B]


def test_a_tick_is_not_said_again_at_once() -> None:
    """It has yet to come back through the log; should it be lost, the next one follows after as long a silence."""
    watch = IdleWatch(60)
    found = [watch.due({A: True}, at) for at in (0, 60, 61, 119, 120)]
    assert found == [[], [A], [], [], [A]]


def test_where_nothing_is_open_nothing_is_said() -> None:
    """A partition without open alerts may be silent for as long as it likes."""
    watch = IdleWatch(60)
    assert [watch.due({A: False}, at) for at in (0, 100, 1_000)] == [[], [], []]
    assert watch.due({A: True}, 1_001) == [A]


def test_a_partition_that_was_away_begins_anew() -> None:
    """What was known of it when it was let go says nothing of the time since."""
    watch = IdleWatch(60)
    watch.due({A: True}, 0)
    watch.due({}, 50)
    assert watch.due({A: True}, 100) == []
    assert watch.due({A: True}, 160) == [A]
