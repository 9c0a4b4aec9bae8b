"""Notice partitions that librdkafka has stopped fetching: there is something to read, nobody paused them, and nothing comes.

Consumers are reported to stop so, without a word, after rebalances and restarts of brokers (librdkafka issues 5153 and 5591).
We have not seen it ourselves. librdkafka's statistics do not tell it from a partition without news, for they know no other end
of a partition than that of its last fetch. So where nothing has come for a while, the broker is asked.
"""

import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from worker.messages import TopicPartition

Verdict = Literal["well", "wait", "begin_again", "give_up"]
_SILENT_S = 30.0
"""A partition from which nothing has come for so long is looked at."""
_EVERY_S = 5.0
"""So far apart are any two looks, each of which asks a broker and waits for it."""


class _Behind(NamedTuple):
    position: int
    since_s: float


class Standstill:
    """Which partition to look at next, and what to make of what is seen. Pure but for its clock, seconds, monotonic."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, silent_s: float = _SILENT_S, every_s: float = _EVERY_S
    ) -> None:
        """`silent_s` and `every_s` as the constants of this module."""
        self._clock = clock
        self._silent_s = silent_s
        self._every_s = every_s
        self._looked_s = clock()
        self._well_s: dict[TopicPartition, float] = {}
        self._behind: dict[TopicPartition, _Behind] = {}
        self._begun_again: set[TopicPartition] = set()

    def hear(self, partitions: Iterable[TopicPartition]) -> None:
        """Records have come from these."""
        now_s = self._clock()
        for partition in partitions:
            self._well(partition, now_s)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours no longer, or were told to go on elsewhere, or to pause: they begin anew when they are seen again."""
        for partition in partitions:
            self._well_s.pop(partition, None)
            self._behind.pop(partition, None)
            self._begun_again.discard(partition)

    def due(self, reading: Iterable[TopicPartition]) -> TopicPartition | None:
        """Return which of the partitions that are being read to look at now: the one that is silent longest; None for none."""
        now_s = self._clock()
        if now_s - self._looked_s < self._every_s:
            return None
        self._looked_s = now_s
        longest = min(reading, key=lambda partition: self._well_s.setdefault(partition, now_s), default=None)
        return None if longest is None or now_s - self._well_s[longest] < self._silent_s else longest

    def judge(self, partition: TopicPartition, position: int, end: int) -> Verdict:
        """Say what to do about a silent partition that is to be read next at `position` and goes up to `end`.

        Only who is seen at the same place twice stands still. If that comes again at once, `begin_again` did not help.
        """
        now_s = self._clock()
        before = self._behind.get(partition)
        if end <= position:
            self._well(partition, now_s)
            return "well"
        if before is None or before.position != position:
            self._behind[partition] = _Behind(position, now_s)
            return "wait"
        if now_s - before.since_s < 2 * self._every_s:
            return "wait"
        if partition in self._begun_again:
            return "give_up"
        self._well(partition, now_s)
        self._begun_again.add(partition)
        return "begin_again"

    def _well(self, partition: TopicPartition, now_s: float) -> None:
        self._well_s[partition] = now_s
        self._behind.pop(partition, None)
        self._begun_again.discard(partition)
