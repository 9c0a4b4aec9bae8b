"""The values that pass between stages: frozen, and importing nothing of ours.

Times are integers in milliseconds since the Unix epoch (UTC) and end in `_ms`. Probabilities lie in [0, 1], scores in [-1, 1].
"""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

Label = Literal["negative", "neutral", "positive"]
LABELS: tuple[Label, Label, Label] = ("negative", "neutral", "positive")
Kind = Literal["news", "chat"]
AlertState = Literal["firing", "stale", "resolved"]
AlertChange = Literal["firing", "stale", "resolved", "acknowledged", "suppressed", "unsuppressed"]
"""What an alert event tells of: a step of the alert's life, or what people and other alerts make of it."""
Headers = tuple[tuple[str, bytes | None], ...]
MAX_EVENT_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, the end of RFC 3339."""
EventTime = Annotated[int, Meta(ge=0, le=MAX_EVENT_TIME_MS)]
_Place = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""As Kafka counts; what is larger could not be stored."""


class TopicPartition(NamedTuple):
    """One partition of one Kafka topic."""

    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as Kafka delivered it: `key`, `value` and `headers` untouched, `timestamp_ms` as Kafka holds it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()

    @property
    def topic_partition(self) -> TopicPartition:
        """Where the record came from."""
        return TopicPartition(self.topic, self.partition)


class OutRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to be produced. Without `timestamp_ms` the client's clock is used."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None
    """By default the one that the key leads to."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The input record that a value was made from."""

    topic: str
    partition: _Place
    offset: _Place


class ModelRef(msgspec.Struct, frozen=True, gc=False):
    """The model that scored a message, as Triton names it."""

    name: str
    version: str


class Message(msgspec.Struct, frozen=True):
    """A decoded and validated input message.

    `event_time_ms` is `published_at` unless that is missing or too far in the future, in which case `event_time_source` says
    `kafka` (the record's timestamp) or `clock` (the worker's own, when even Kafka's timestamp lies in the future).
    `extra` holds the fields that Tidings does not know, as the JSON they came in.
    """

    id: str
    text: str
    kind: Kind
    event_time_ms: int
    event_time_source: Literal["published_at", "kafka", "clock"]
    origin: Origin
    title: str | None = None
    source: str | None = None
    author: str | None = None
    lang: str | None = None
    url: str | None = None
    entities: tuple[str, ...] = ()
    extra: dict[str, msgspec.Raw] = {}

    @property
    def content(self) -> str:
        """What is matched and scored: the title, where there is one, and the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


class Matches(msgspec.Struct, frozen=True, gc=False):
    """The watched names found in a message, each sorted and without repeats.

    `similarities` holds, of the topics found by their meaning, how similar the text is to them.
    """

    entities: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    similarities: dict[str, float] = {}

    def meaning(self, similarities: dict[str, float]) -> "Matches":
        """Return it with topics that were found by their meaning too."""
        if not similarities:
            return self
        return Matches(self.entities, tuple(sorted({*self.topics, *similarities})), similarities)

    @property
    def alert_keys(self) -> tuple[str, ...]:
        """One key per watched name: `entity:<name>`, `topic:<name>`."""
        if not (self.entities or self.topics):
            return ()
        return (*(f"entity:{name}" for name in self.entities), *(f"topic:{name}" for name in self.topics))


class Probabilities(msgspec.Struct, frozen=True, gc=False):
    """Calibrated probabilities of the three labels; they add up to 1."""

    negative: float
    neutral: float
    positive: float


class Sentiment(msgspec.Struct, frozen=True, gc=False):
    """What the model says of one text. `score` is `positive - negative`."""

    label: Label
    probabilities: Probabilities
    score: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One message's sentiment, as published on `sentiment.predictions` under the message's id.

    `similarities` says of those topics that were found by their meaning how similar the text is to them.
    """

    id: str
    label: Label
    probabilities: Probabilities
    score: float
    entities: tuple[str, ...]
    topics: tuple[str, ...]
    kind: Kind
    source: str | None
    event_time_ms: int
    event_time_source: Literal["published_at", "kafka", "clock"]
    duplicate_of: str | None
    model: ModelRef
    origin: Origin
    extra: dict[str, msgspec.Raw] = {}
    similarities: dict[str, float] = {}


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One message's sentiment on one alert key, as published on `sentiment.signals` under that key.

    `excerpt` is the beginning of the text, cut; it serves as evidence. `similarity` is how similar the text is to the topic,
    where that was found by its meaning. The bounds are held to what is read: anybody may have written it.
    """

    alert_key: str
    message_id: str
    label: Label
    negative: Annotated[float, Meta(ge=0, le=1)]
    score: Annotated[float, Meta(ge=-1, le=1)]
    kind: Kind
    source: str | None
    event_time_ms: EventTime
    duplicate_of: str | None
    excerpt: str
    model: ModelRef
    origin: Origin
    similarity: Annotated[float, Meta(ge=-1, le=1)] | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the model is unsure of, as published on `sentiment.review` under the message's id, for a person to label.

    Title and text are whole, for a person judges them and a model may learn from them. `confidence` is the calibrated
    probability of `label`.
    """

    id: Annotated[str, Meta(min_length=1)]
    text: Annotated[str, Meta(min_length=1)]
    title: str | None = None
    label: Label
    confidence: Annotated[float, Meta(ge=0, le=1)]
    probabilities: Probabilities
    kind: Kind
    source: str | None = None
    lang: str | None = None
    event_time_ms: EventTime
    model: ModelRef
    origin: Origin

    @property
    def content(self) -> str:
        """What was scored, as `Message.content`."""
        return f"{self.title}\n{self.text}" if self.title else self.text


class Said(msgspec.Struct, frozen=True):
    """What one model said of a message."""

    model: ModelRef
    label: Label
    probabilities: Probabilities

    @property
    def confidence(self) -> float:
        """The probability of the label."""
        probability: float = getattr(self.probabilities, self.label)
        return probability


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """What two models say of one message, as published on `sentiment.shadow` under the message's id; a sample, not a record.

    `serving` is what the prediction says, `shadow` what the second model would have said. `gap` is the largest difference of a
    probability; `alert_keys` are those of the message's signals.
    """

    id: Annotated[str, Meta(min_length=1)]
    kind: Kind
    source: str | None
    event_time_ms: EventTime
    alert_keys: tuple[str, ...]
    serving: Said
    shadow: Said
    gap: Annotated[float, Meta(ge=0, le=1)]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a message, as published on `sentiment.feedback` under the message's id.

    `text` is what was scored: the title, where there is one, and the text. `predicted` is the label that the model of
    `model_version` gave; `at` says when the person answered, RFC 3339.
    """

    id: Annotated[str, Meta(min_length=1)]
    text: Annotated[str, Meta(min_length=1)]
    label: Label
    annotator: Annotated[str, Meta(max_length=256, pattern=r"\S")]
    at: datetime
    predicted: Label
    model_version: str


Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
Author = Annotated[str, Meta(max_length=256, pattern=r"\S")]
Comment = Annotated[str, Meta(max_length=1_024, pattern=r"\S")]


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Said in a partition of `sentiment.signals` that has been silent for long, at `at_ms` by the clock of who noticed.

    It stands in the log, among the signals, so that everyone who reads them comes to the same decisions.
    """

    at_ms: EventTime


class Acknowledge(msgspec.Struct, frozen=True, gc=False):
    """Said in the partition of an alert's key: somebody takes the alert upon themselves, at `at_ms` by their clock."""

    alert_key: Annotated[str, Meta(min_length=1, max_length=1_024)]
    alert_id: Identifier
    author: Author
    comment: Comment
    at_ms: EventTime


class Silence(msgspec.Struct, frozen=True):
    """Said in every partition: in the event time `[starts_at_ms, ends_at_ms)` nobody is to be woken by what all matchers match.

    Each matcher is written as in Alertmanager. A silence of the same id takes the place of the one before.
    """

    id: Identifier
    matchers: Annotated[tuple[Annotated[str, Meta(max_length=1_024)], ...], Meta(min_length=1, max_length=16)]
    ends_at_ms: EventTime
    author: Author
    comment: Comment
    starts_at_ms: EventTime = 0


class Expire(msgspec.Struct, frozen=True, gc=False):
    """Said in every partition: the silence of this id is over."""

    id: Identifier


class Inhibitor(msgspec.Struct, frozen=True):
    """Said in every partition by who relays an alert that may inhibit others: whether it is firing now."""

    alert_id: Identifier
    labels: Annotated[dict[str, str], Meta(max_length=256)]
    firing: bool


class Standing(msgspec.Struct, frozen=True):
    """Said again from time to time in a partition: what is in force there, for who reads the log from the middle."""

    silences: tuple[Silence, ...] = ()
    inhibitors: tuple[Inhibitor, ...] = ()


Control = Tick | Acknowledge | Silence | Expire | Inhibitor | Standing
"""What stands in `sentiment.signals` beside signals."""


class Sample(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One of the messages that weighed most in an alert; `similarity` as in its signal."""

    message_id: str
    excerpt: str
    score: float
    source: str | None
    event_time_ms: int
    origin: Origin
    similarity: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why an alert changed state: the window `[window_start_ms, window_end_ms)`, the statistic and what it was held to.

    `baseline` is what the detector took for usual, None for one that compares with nothing; `late` counts the key's signals
    that came too late to count, ever.
    """

    window_start_ms: int
    window_end_ms: int
    messages: int
    negatives: int
    negative_share: float
    mean_score: float = 0.0
    detector: str
    statistic: float
    threshold: float
    baseline: float | None = None
    late: int = 0
    samples: tuple[Sample, ...]


class Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    """Somebody takes an alert upon themselves: who, what they say, and when by their clock."""

    author: str
    comment: str
    at_ms: int


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that fired, went stale for want of data, fired on when data came back, or resolved.

    `alert_id` is made from rule, key and `started_at_ms`, so that a replay gives the same one; `id` adds the state, and from
    the second on the `episode`: the first is the alert's beginning, and each return from silence begins another. `at_ms` is the
    event time of the change. `reason` is the life cycle's named reason. `labels` are those that silences and receivers go by.
    `change` is what happened; acknowledged and suppressed alerts keep their `state`. `suppressed_by` names what keeps an alert
    quiet by, `silence:<id>` or `inhibition:<alert id>`: nobody should be woken by it as long as there is any. `revision` counts
    the alert's acknowledgements and changes of suppression so far; the ids of their events end in it.
    """

    id: str
    alert_id: str
    state: AlertState
    reason: str
    alert_key: str
    rule: str
    rule_version: str
    severity: str
    started_at_ms: int
    at_ms: int
    evidence: Evidence
    model: ModelRef | None
    episode: int = 1
    change: AlertChange | None = None
    acknowledgement: Acknowledgement | None = None
    suppressed_by: tuple[str, ...] = ()
    revision: int = 0
    labels: dict[str, str] = {}
    link: str | None = None
