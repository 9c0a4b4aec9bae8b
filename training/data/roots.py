"""Sets that grow together, for groups that must not be divided. The standard library alone, as `icwsm` needs."""

from __future__ import annotations


class Roots:
    """Sets of things that are merged two at a time (union-find); each is known by the first thing in it."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def find(self, index: int) -> int:
        """Return the first member of the set that `index` is in."""
        while self._parents[index] != index:
            self._parents[index] = self._parents[self._parents[index]]
            index = self._parents[index]
        return index

    def merge(self, one: int, other: int) -> None:
        """Make one set of the two."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parents[high] = low
