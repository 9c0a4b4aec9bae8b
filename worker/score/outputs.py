"""What one scored message becomes: a prediction, a signal for each watched name in it, and perhaps a question to a person."""

from zlib import crc32

import msgspec

from worker.codec import encode_prediction, encode_review, encode_signal
from worker.messages import Matches, Message, ModelRef, OutRecord, Prediction, Review, Sentiment, Signal
from worker.redact import Redactors

EXCERPT_CHARS = 160


class Scored(msgspec.Struct, frozen=True):
    """A message and everything that was found out about it."""

    message: Message
    matches: Matches
    sentiment: Sentiment
    duplicate_of: str | None
    model: ModelRef


def prediction_record(scored: Scored, topic: str) -> OutRecord:
    """Return the prediction for `topic`, under the message's id."""
    message, sentiment = scored.message, scored.sentiment
    prediction = Prediction(
        id=message.id,
        label=sentiment.label,
        probabilities=sentiment.probabilities,
        score=sentiment.score,
        entities=scored.matches.entities,
        topics=scored.matches.topics,
        kind=message.kind,
        source=message.source,
        event_time_ms=message.event_time_ms,
        event_time_source=message.event_time_source,
        duplicate_of=scored.duplicate_of,
        model=scored.model,
        origin=message.origin,
        extra=message.extra,
        similarities=scored.matches.similarities,
    )
    return OutRecord(topic, message.id.encode(), encode_prediction(prediction))


def signal_records(scored: Scored, topic: str, redactors: Redactors) -> list[OutRecord]:
    """Return one signal per alert key for `topic`, each under its alert key; personal data is taken out of their texts."""
    message, sentiment = scored.message, scored.sentiment
    if not scored.matches.alert_keys:
        return []
    excerpt = redactors.excerpt.beginning(message.content, EXCERPT_CHARS)
    source = redactors.source.redact(message.source) if message.source else message.source
    similarities = {f"topic:{name}": similarity for name, similarity in scored.matches.similarities.items()}
    return [
        OutRecord(
            topic,
            alert_key.encode(),
            encode_signal(
                Signal(
                    alert_key=alert_key,
                    message_id=message.id,
                    label=sentiment.label,
                    negative=sentiment.probabilities.negative,
                    score=sentiment.score,
                    kind=message.kind,
                    source=source,
                    event_time_ms=message.event_time_ms,
                    duplicate_of=scored.duplicate_of,
                    excerpt=excerpt,
                    model=scored.model,
                    origin=message.origin,
                    similarity=similarities.get(alert_key),
                )
            ),
        )
        for alert_key in scored.matches.alert_keys
    ]


class ReviewPolicy(msgspec.Struct, frozen=True):
    """What a person is asked: of `share` of all messages those whose label has a probability below `below`, on `topic`.

    Which messages are of the share follows from their ids alone: that bounds what a person gets without counting, chooses
    alike in every worker and after every restart, and takes a fair sample of what the model is unsure of.
    """

    topic: str
    share: float
    below: float

    def asks(self, scored: Scored) -> bool:
        """Tell whether a person is to label this message; nobody is asked about a repeat."""
        if scored.duplicate_of is not None or _confidence(scored.sentiment) >= self.below:
            return False
        return crc32(scored.message.id.encode()) < self.share * (1 << 32)


def review_records(scored: Scored, policy: ReviewPolicy | None) -> list[OutRecord]:
    """Return what goes to the topic of reviews, under the message's id: one record or none."""
    if policy is None or not policy.asks(scored):
        return []
    message, sentiment = scored.message, scored.sentiment
    review = Review(
        id=message.id,
        text=message.text,
        title=message.title,
        label=sentiment.label,
        confidence=_confidence(sentiment),
        probabilities=sentiment.probabilities,
        kind=message.kind,
        source=message.source,
        lang=message.lang,
        event_time_ms=message.event_time_ms,
        model=scored.model,
        origin=message.origin,
    )
    return [OutRecord(policy.topic, message.id.encode(), encode_review(review))]


def _confidence(sentiment: Sentiment) -> float:
    probability: float = getattr(sentiment.probabilities, sentiment.label)
    return probability
