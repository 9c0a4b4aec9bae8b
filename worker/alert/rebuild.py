"""Where to begin when the store has lost a partition: far enough back for every window to be whole again.

The limit: an alert that has been firing for longer than that is found firing again, but with a later start, so the event that
resolves it bears another alert id than the one that fired.
"""

from worker.messages import TopicPartition
from worker.ports import Source


def replay_start(source: Source, partition: TopicPartition, position: int, now_ms: int, span_ms: int) -> int:
    """Return an offset at least `span_ms` of Kafka's time before the record that precedes `position`.

    The age of that record is not known, so it is sought in doubling steps back from now: one lookup for a live topic, a dozen
    for one that stood still for a month; the replay is at most that age longer than it needs to be. It goes by the records'
    timestamps in Kafka, which for live input are close to the event times that the windows go by.
    """
    back_ms = span_ms
    while back_ms < now_ms and source.offsets_at([partition], now_ms - back_ms)[partition] >= position:
        back_ms *= 2
    return min(position, source.offsets_at([partition], max(0, now_ms - back_ms - span_ms))[partition])
