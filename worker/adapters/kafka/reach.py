"""Where to go on when a partition's log does not have the offset that is asked for. Nothing is passed over in silence.

Retention may have overtaken the reader: what has expired is lost, which is said, and the reader goes on where the log begins.
Or the log has lost its end, or is another topic's of the same name: then no offset is right, and a person has to choose one.
"""

from typing import NamedTuple

import structlog

from worker.errors import FatalError
from worker.messages import TopicPartition

log = structlog.get_logger(__name__)
_REMEDY = (
    "give the group {group} another offset there (kafka-consumer-groups.sh --reset-offsets); alerts have their own in Redis,"
    " so remove their state there too, or choose another redis.prefix"
)


class Astray(NamedTuple):
    """A partition that cannot be read on.

    `asked` is the offset that was asked for, None where librdkafka does not tell; `stands` one that is no later and known to be
    unread, maybe librdkafka's word for the beginning; `said` is what librdkafka says.
    """

    partition: TopicPartition
    asked: int | None
    stands: int
    said: str


def back_in_reach(astray: Astray, low: int, high: int, group: str) -> int:
    """Return where to go on in a log that now goes from `low` up to `high`.

    Where the log does have the offset after all, what was amiss has passed.

    Raises:
        FatalError: the log ends before the offset, or no longer holds what was read from it.
    """
    name = f"{astray.partition.topic}-{astray.partition.partition}"
    remedy = _REMEDY.format(group=group)
    if astray.asked is None and "truncation" in astray.said.lower():
        raise FatalError(f"{name} has lost its end, with records that were read from it already ({astray.said}): {remedy}")
    if astray.asked is not None and astray.asked > high:
        raise FatalError(
            f"{name} is to be read on at offset {astray.asked}, but ends at {high}: it has lost its end, or was deleted and"
            f" made anew; {remedy}"
        )
    if astray.asked is not None and astray.asked < low:
        log.error("records expired unread", partition=name, first=astray.asked, upto=low, offsets=low - astray.asked)
        return low
    log.warning("partition begun again", partition=name, offset=astray.stands, said=astray.said)
    return astray.stands
