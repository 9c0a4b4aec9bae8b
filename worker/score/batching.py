"""Form micro-batches by padded tokens and deadline, one queue per length bucket.

Cost is padded tokens: the bucket's length times the number of texts. Triton's dynamic batcher merges equal shapes only, so
every batch is padded to its bucket's length (docs: Triton Inference Server, "Dynamic Batcher").

Where there is a backlog each bucket fills batches of its own. Where there is not, a batch that is not full may take in texts of
the buckets just below: a model does a few texts at once for little more than one, and fine buckets would hand them to it one by
one. Only if its answers are the same however far a text is padded; else an answer would depend on who else came.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Generic, TypeVar

import msgspec
import numpy as np

from worker.ports import TokenBatch

T = TypeVar("T")
_NEAR = 0.7
"""A text that takes at least this share of its place may fill up a batch."""


class BatchLimits(msgspec.Struct, frozen=True):
    """`buckets` in tokens, ascending; a batch takes at most `max_tokens` padded tokens, but at least one text.

    `cost` is what the model takes at its best, in seconds: for a batch, for each token, for each pair of tokens in a text.
    `fills_up`: whether a text may be padded further than to its own bucket, so that a batch is fuller.
    """

    buckets: tuple[int, ...]
    max_tokens: int
    max_texts: int
    deadline_ms: float
    cost: tuple[float, float, float] | None = None
    fills_up: bool = False

    def texts(self, bucket: int) -> int:
        """How many texts fill a batch of this bucket."""
        return max(1, min(self.max_texts, self.max_tokens // bucket))

    def ceiling_s(self, bucket: int, lengths: Sequence[int]) -> float:
        """Return the seconds that the model would need for texts of so many tokens, in full batches without padding.

        0 where its cost is not known.
        """
        if self.cost is None:
            return 0.0
        batch, token, pair = self.cost
        return batch * len(lengths) / self.texts(bucket) + token * sum(lengths) + pair * sum(size * size for size in lengths)


class Tokenised(msgspec.Struct, Generic[T], frozen=True):
    """A text's token ids, when its message arrived (ms, the caller's clock), and what the caller keeps with it."""

    ids: Sequence[int]
    arrived_ms: float
    item: T


class Batch(msgspec.Struct, Generic[T], frozen=True):
    """Texts that fit a bucket, in order of arrival within each of theirs."""

    bucket: int
    texts: tuple[Tokenised[T], ...]

    @property
    def padding(self) -> float:
        """The share of the batch's tokens that is padding."""
        return 1 - sum(len(text.ids) for text in self.texts) / (self.bucket * len(self.texts))


class Batcher(Generic[T]):
    """Holds tokenised texts until they make a batch."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._fills_up = limits.fills_up
        self._queues: dict[int, deque[Tokenised[T]]] = {bucket: deque() for bucket in limits.buckets}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, text: Tokenised[T]) -> None:
        """Queue a text in the smallest bucket that holds it.

        Raises:
            ValueError: it is longer than the largest bucket; the tokenizer truncates, so that is a fault of the caller.
        """
        buckets = self._limits.buckets
        if len(text.ids) > buckets[-1]:
            raise ValueError(f"{len(text.ids)} tokens do not fit the largest bucket, {buckets[-1]}")
        self._queues[buckets[bisect_left(buckets, len(text.ids))]].append(text)

    def go_on_with(self, *, pads_freely: bool) -> None:
        """Another model is asked from now on: fill batches up only if that goes for it as well."""
        self._fills_up = self._limits.fills_up and pads_freely

    def take(self, now_ms: float, *, idle: bool = False) -> Batch[T] | None:
        """Return the batch that should leave now: of those due, the one with the oldest text, filled up from the buckets below.

        A batch is due when it is full or its oldest text has reached the deadline; when the model is `idle`, any batch is,
        because waiting would gain nothing.
        """
        due = [bucket for bucket, queue in self._queues.items() if queue and (idle or self._is_due(bucket, now_ms))]
        if not due:
            return None
        bucket = min(due, key=lambda bucket: self._queues[bucket][0].arrived_ms)
        return Batch(bucket, tuple(self._texts(bucket)))

    def _texts(self, bucket: int) -> Iterator[Tokenised[T]]:
        """Take texts for a batch: its own bucket's, and then those of the next buckets below, the oldest of each first."""
        room = self._limits.texts(bucket)
        for place in range(self._limits.buckets.index(bucket), -1, -1):
            lower = self._limits.buckets[place]
            if room == 0 or lower < (_NEAR if self._fills_up else 1) * bucket:
                return
            queue = self._queues[lower]
            taken = min(len(queue), room)
            room -= taken
            for _ in range(taken):
                yield queue.popleft()

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop the texts whose item is not wanted."""
        for bucket, queue in self._queues.items():
            self._queues[bucket] = deque(text for text in queue if wanted(text.item))

    def clear(self) -> None:
        """Drop everything."""
        for queue in self._queues.values():
            queue.clear()

    def _is_due(self, bucket: int, now_ms: float) -> bool:
        queue = self._queues[bucket]
        return len(queue) >= self._limits.texts(bucket) or now_ms - queue[0].arrived_ms >= self._limits.deadline_ms


def pad(batch: Batch[T], pad_id: int) -> TokenBatch:
    """Return the batch as arrays of shape (texts, bucket), int64, padded on the right."""
    lengths = np.fromiter((len(text.ids) for text in batch.texts), dtype=np.int64, count=len(batch.texts))
    mask = np.arange(batch.bucket) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_id, dtype=np.int64)
    tokens = chain.from_iterable(text.ids for text in batch.texts)
    input_ids[mask] = np.fromiter(tokens, dtype=np.int64, count=int(lengths.sum()))
    return TokenBatch(input_ids, mask.astype(np.int64), batch.texts)
