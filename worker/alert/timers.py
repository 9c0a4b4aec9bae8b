"""The timers of one partition's alert keys, on event time. No clock: it is told how far the watermark has come."""

from collections.abc import Mapping, Set
from heapq import heapify, heappop, heappush


class Timers:
    """At most one timer per key, found in order of time and key."""

    def __init__(self, due: Mapping[str, int]) -> None:
        self._due = dict(due)
        self._heap = [(at_ms, key) for key, at_ms in due.items()]
        heapify(self._heap)

    def keys(self) -> Set[str]:
        """The keys that have a timer."""
        return self._due.keys()

    def set(self, key: str, at_ms: int | None) -> None:
        """Set the key's timer, or remove it."""
        if at_ms is None:
            self._due.pop(key, None)
        elif self._due.get(key) != at_ms:
            self._due[key] = at_ms
            heappush(self._heap, (at_ms, key))
            self._shrink()

    def until(self, watermark_ms: int) -> list[str]:
        """Return, and leave as they are, the keys whose timers run out by then, in no particular order.

        In a heap no entry lies before its parent, so only those that have run out, and their children, are looked at.
        """
        found, places = list[str](), [0]
        while places:
            place = places.pop()
            if place < len(self._heap) and self._heap[place][0] <= watermark_ms:
                at_ms, key = self._heap[place]
                if self._due.get(key) == at_ms:
                    found.append(key)
                places += (2 * place + 1, 2 * place + 2)
        return list(dict.fromkeys(found))

    def pop(self, watermark_ms: int) -> str | None:
        """Take the timer that ran out first by then, None if none has."""
        while self._heap and self._heap[0][0] <= watermark_ms:
            at_ms, key = heappop(self._heap)
            if self._due.get(key) == at_ms:
                del self._due[key]
                return key
        return None

    def _shrink(self) -> None:
        """Drop the timers that were set anew since, so that the heap is bounded by the keys."""
        if len(self._heap) > 2 * len(self._due) + 1_000:
            self._heap = [(at_ms, key) for key, at_ms in self._due.items()]
            heapify(self._heap)
