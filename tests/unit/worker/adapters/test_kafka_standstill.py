"""Which silent partition is looked at, and what is made of what is seen there."""

from worker.adapters.kafka.standstill import Standstill
from worker.messages import TopicPartition

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


class Watch:
    """A standstill and its clock: silent after 30 s, a look every 5 s."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.of = Standstill(lambda: self.now_s, silent_s=30, every_s=5)

    def after(self, seconds: float, *reading: TopicPartition) -> TopicPartition | None:
        """What is due when so much time has passed."""
        self.now_s += seconds
        return self.of.due(reading)


def seen() -> Watch:
    """One that knows partition ONE since 35 s, of which nothing has come."""
    watch = Watch()
    assert watch.after(5, ONE) is None
    assert watch.after(35, ONE) == ONE
    return watch


def test_only_who_is_silent_is_looked_at_and_not_too_often() -> None:
    """A partition that is new counts from when it is seen first; what has come makes it wait again."""
    watch = seen()
    assert watch.after(4.9, ONE) is None
    assert watch.after(0.2, ONE) == ONE
    watch.of.hear([ONE])
    assert watch.after(29, ONE) is None
    assert watch.after(6, ONE) == ONE


def test_the_one_that_is_silent_longest_comes_first() -> None:
    """And the others after it, once it is well."""
    watch = Watch()
    watch.after(5, ONE)
    watch.after(5, ONE, TWO)
    assert watch.after(40, ONE, TWO) == ONE
    assert watch.of.judge(ONE, 7, 7) == "well"
    assert watch.after(5, ONE, TWO) == TWO


def test_nothing_is_looked_at_where_nothing_is_read() -> None:
    """All are paused, say."""
    watch = seen()
    assert watch.after(100) is None


def test_who_stands_at_the_same_place_twice_is_begun_again_and_then_given_up() -> None:
    """The second look comes two looks later at the earliest, so that what was only just written has time to come."""
    watch = seen()
    assert watch.of.judge(ONE, 7, 9) == "wait"
    watch.after(5, ONE)
    assert watch.of.judge(ONE, 7, 9) == "wait"
    watch.after(5, ONE)
    assert watch.of.judge(ONE, 7, 9) == "begin_again"
    assert watch.after(29, ONE) is None, "it has time to show that it goes on"
    assert watch.after(6, ONE) == ONE
    assert watch.of.judge(ONE, 7, 12) == "wait"
    watch.after(10, ONE)
    assert watch.of.judge(ONE, 7, 12) == "give_up"


def test_who_goes_on_is_well() -> None:
    """Markers of transactions and what was rolled back move the position and bring no record."""
    watch = seen()
    assert watch.of.judge(ONE, 7, 9) == "wait"
    watch.after(10, ONE)
    assert watch.of.judge(ONE, 8, 9) == "wait"
    watch.after(10, ONE)
    assert watch.of.judge(ONE, 9, 9) == "well"


def test_beginning_again_helped() -> None:
    """A record came: the next standstill is the first again."""
    watch = seen()
    watch.of.judge(ONE, 7, 9)
    watch.after(10, ONE)
    assert watch.of.judge(ONE, 7, 9) == "begin_again"
    watch.of.hear([ONE])
    watch.of.judge(ONE, 9, 11)
    watch.after(10, ONE)
    assert watch.of.judge(ONE, 9, 11) == "begin_again"


def test_what_went_away_or_was_sent_elsewhere_begins_anew() -> None:
    """Nothing that was seen before counts."""
    watch = seen()
    watch.of.judge(ONE, 7, 9)
    watch.of.forget([ONE])
    assert watch.after(10, ONE) is None
    assert watch.after(31, ONE) == ONE
    assert watch.of.judge(ONE, 7, 9) == "wait"
