"""Committing offsets alone, for a role whose effects are not in Kafka."""

from collections.abc import Mapping, Sequence

from worker.adapters.kafka.source import Membership
from worker.errors import FatalError
from worker.messages import OutRecord, TopicPartition


class OffsetsSink:
    """`ports.Sink` that produces nothing: the consumer that read commits, fenced by the group's generation."""

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """Commit the offsets of what is still the member's.

        Raises:
            RetryableError: the broker did not take them.
            FatalError: the member cannot go on, or there are records, for which this is no sink.
        """
        if records or not isinstance(group, Membership):
            raise FatalError("only offsets can be committed here, by a member of one of this adapter's sources")
        group.commit(offsets)

    def close(self) -> None:
        """See `ports.Sink`."""
