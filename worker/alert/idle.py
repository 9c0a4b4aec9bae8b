"""Which partitions have been silent for so long that their open alerts should not be taken at their word any more. Pure.

The clock comes in here and nowhere else, and all that it can do is have a tick written into the partition. What a tick means is
decided by those who read it there, so that a replay comes to the same end.
"""

from collections.abc import Iterable, Mapping

from worker.messages import TopicPartition


class IdleWatch:
    """Notes when each partition last had a signal, as this worker saw it; a partition that is taken on begins anew."""

    def __init__(self, idle_after_s: float) -> None:
        self._idle_after_s = idle_after_s
        self._heard_at_s: dict[TopicPartition, float] = {}

    def heard(self, partitions: Iterable[TopicPartition], now_s: float) -> None:
        """Note that signals of these partitions came, or were kept from coming; `now_s` is monotonic."""
        self._heard_at_s.update(dict.fromkeys(partitions, now_s))

    def due(self, wanting: Mapping[TopicPartition, bool], now_s: float) -> list[TopicPartition]:
        """Return the partitions to write a tick into: those that want one and have been silent for long; each once.

        `wanting` has the partitions that are held, and whether any alert of theirs is open; what it lacks is forgotten.
        """
        self._heard_at_s = {partition: self._heard_at_s.get(partition, now_s) for partition in wanting}
        silent = [p for p, wants in wanting.items() if wants and now_s - self._heard_at_s[p] >= self._idle_after_s]
        self.heard(silent, now_s)
        return silent
