"""What one scored message becomes: a prediction, and a signal for each watched name in it."""

import msgspec

from worker.codec import encode_prediction, encode_signal
from worker.messages import Matches, Message, ModelRef, OutRecord, Prediction, Sentiment, Signal
from worker.redact import Redactor

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


def signal_records(scored: Scored, topic: str, redactor: Redactor) -> list[OutRecord]:
    """Return one signal per alert key for `topic`, each under its alert key; personal data is taken out of their excerpt."""
    message, sentiment = scored.message, scored.sentiment
    if not scored.matches.alert_keys:
        return []
    excerpt = redactor.beginning(message.content, EXCERPT_CHARS)
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
                    source=message.source,
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
