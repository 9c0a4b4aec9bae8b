"""What two models say of the same messages, as two streams of signals: alerts by the one beside alerts by the other.

The score role cannot decide this as it goes: it has no rules, and each worker sees a part of a key's messages. On
`sentiment.shadow` those of all workers stand together, under the ids of messages; here they are put in order of event time, as
one partition. It is a sample, as large as `shadow.share`: at 1 the alerts are those there would have been.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from worker.backtest.inputs import Batch, Fault, Input, Snapshot, is_file
from worker.codec import decode_shadowed
from worker.errors import DecodeError, SelectionError
from worker.messages import Origin, Said, Shadowed, Signal
from worker.settings import KafkaSettings

_RUN = 2_000


class Line(NamedTuple):
    """A record of `sentiment.shadow`: where it stands, and its value."""

    place: str
    body: bytes


class ShadowInput:
    """Comparisons as a backtest reads them: `signals` of a batch are by the model that serves, `other` by the second one."""

    def __init__(self, name: str, lines: Sequence[Line]) -> None:
        self.name = name
        self.total = len(lines)
        self._lines = lines

    def batches(self) -> Iterator[Batch]:
        """Yield them in order of event time; what cannot be read comes first, by its place."""
        faults: list[Fault] = []
        found: list[Shadowed] = []
        for line in self._lines:
            try:
                found.append(decode_shadowed(line.body))
            except DecodeError as error:
                faults.append(Fault(line.place, str(error)))
        found.sort(key=lambda one: (one.event_time_ms, one.id))
        yield Batch(0, [], faults, len(faults), [])
        for start in range(0, len(found), _RUN):
            run = found[start : start + _RUN]
            serving = [signal for one in run for signal in signals_of(one, one.serving)]
            yield Batch(0, serving, [], len(run), [signal for one in run for signal in signals_of(one, one.shadow)])


@contextmanager
def opened(name: str, kafka: KafkaSettings) -> Iterator[Input]:
    """Open the file of that name, as `tidings tail shadow --json` writes it, else the topic.

    Raises:
        SelectionError: the file cannot be read.
        RetryableError: there is no such topic, or the cluster did not answer.
    """
    if is_file(name):
        yield ShadowInput(name, _lines_of_file(Path(name)))
        return
    from worker.adapters.kafka import TopicSnapshot  # noqa: PLC0415 - a file needs no client

    with closing(TopicSnapshot(kafka, name, "backtest")) as snapshot:
        yield ShadowInput(name, _lines_of_topic(name, snapshot))


def signals_of(shadowed: Shadowed, said: Said) -> list[Signal]:
    """Return the signals that a message is by what one of the models said of it; its text is not on record."""
    likely = said.probabilities
    return [
        Signal(
            alert_key=key,
            message_id=shadowed.id,
            label=said.label,
            negative=likely.negative,
            score=max(-1.0, min(1.0, likely.positive - likely.negative)),
            kind=shadowed.kind,
            source=shadowed.source,
            event_time_ms=shadowed.event_time_ms,
            duplicate_of=None,
            excerpt="",
            model=said.model,
            origin=Origin("sentiment.shadow", 0, 0),
        )
        for key in shadowed.alert_keys
    ]


def _lines_of_file(path: Path) -> list[Line]:
    try:
        bodies = path.read_bytes().splitlines()
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}") from error
    return [Line(f"{path}:{number}", body) for number, body in enumerate(bodies, 1) if body.strip()]


def _lines_of_topic(name: str, snapshot: Snapshot) -> list[Line]:
    return [Line(f"{name}-{one.partition} offset {one.offset}", one.value or b"") for one in snapshot.records()]
