"""Finding the dead letters that are meant: by name, or by filters over the whole topic as it is now."""

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from worker.adapters.kafka import TopicSnapshot
from worker.dead_letters.filters import Filters, Place
from worker.dead_letters.letter import DeadLetter, read_letter
from worker.errors import SelectionError
from worker.progress_bar import progress_bar
from worker.settings import KafkaSettings


class Selection(msgspec.Struct, frozen=True):
    """Which letters: those named, else those that the filters admit; of these the first `limit` in order of place."""

    places: Sequence[Place] = ()
    filters: Filters = Filters()
    limit: int | None = None


class Letters:
    """The dead-letter topic as it was when this was made, so that two passes over it see the same."""

    def __init__(self, kafka: KafkaSettings, selection: Selection) -> None:
        self._snapshot = TopicSnapshot(kafka, kafka.topics.dead_letters)
        self._selection = selection

    def read(self, doing: str) -> Iterator[DeadLetter]:
        """Yield the letters one after the other, in order of partition and offset; a bar on standard error says how far.

        Raises:
            SelectionError: one that was named is not there.
            RetryableError: the cluster did not answer.
        """
        selected = self._named() if self._selection.places else self._admitted(doing)
        return islice(selected, self._selection.limit)

    def close(self) -> None:
        """Drop the connection."""
        self._snapshot.close()

    def _named(self) -> Iterator[DeadLetter]:
        for partition, offset in sorted(set(self._selection.places)):
            record = self._snapshot.record(partition, offset)
            if record is None:
                raise SelectionError(
                    f"there is no dead letter {partition}-{offset}: it may have reached the end of the topic's retention; "
                    "`tidings dead-letters list` shows those that are there"
                )
            letter = read_letter(record)
            if self._selection.filters.admits(letter):
                yield letter

    def _admitted(self, doing: str) -> Iterator[DeadLetter]:
        filters = self._selection.filters
        with progress_bar(doing, self._snapshot.offsets) as bar:
            for record in self._snapshot.records(filters.since_ms, lambda count: bar.advance(bar.task_ids[0], count)):
                letter = read_letter(record)
                if filters.admits(letter):
                    yield letter
