"""The body of a webhook: Alertmanager's JSON, version 4, so that what reads Alertmanager reads us. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config says what it looks like, and Alertmanager's
`notify/webhook/webhook.go` and `template/template.go` what it means: times are RFC 3339, an alert that has not ended has the
zero time of Go for its end, and common labels and annotations are those of all alerts shown.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from worker.messages import AlertEvent, Evidence
from worker.notify.book import labels_of
from worker.notify.groups import Contents

NEVER = "0001-01-01T00:00:00Z"
_FNV_START, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


class Alert(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One alert, as Alertmanager's receivers know it."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    generator_url: str = msgspec.field(name="generatorURL")
    fingerprint: str


class Message(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One notification, as Alertmanager's receivers know it."""

    receiver: str
    status: Literal["firing", "resolved"]
    alerts: tuple[Alert, ...]
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = msgspec.field(name="externalURL")
    version: Literal["4"] = "4"
    group_key: str
    truncated_alerts: int = 0


class Heading(NamedTuple):
    """Whom a notification is for, and of which group."""

    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    external_url: str = ""


def message(heading: Heading, contents: Contents, max_alerts: int = 0) -> Message:
    """Return the notification; with more than `max_alerts`, unless that is 0, the last ones are only counted."""
    shown = [*contents.firing, *contents.ended]
    kept = shown[:max_alerts] if max_alerts else shown
    alerts = tuple(_alert(event, heading.external_url) for event in kept)
    return Message(
        receiver=heading.receiver,
        status="firing" if contents.firing else "resolved",
        alerts=alerts,
        group_labels=dict(heading.group_labels),
        common_labels=_common([alert.labels for alert in alerts]),
        common_annotations=_common([alert.annotations for alert in alerts]),
        external_url=heading.external_url,
        group_key=heading.group_key,
        truncated_alerts=len(shown) - len(kept),
    )


def encode_message(body: Message) -> bytes:
    """Return the JSON."""
    return msgspec.json.encode(body)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return Prometheus' fingerprint of labels: 64 bits of FNV-1a over the sorted names and values, each closed by 0xFF."""
    text = b"".join(part.encode() + b"\xff" for item in sorted(labels.items()) for part in item)
    found = _FNV_START
    for byte in text:
        found = (found ^ byte) * _FNV_PRIME & _MASK
    return f"{found:016x}"


def summary_of(event: AlertEvent) -> str:
    """One line: what is the matter with whom."""
    state = {"firing": "is firing", "stale": "is firing, its data have stopped", "resolved": "has resolved"}[event.state]
    return f"{event.rule} on {event.alert_key} {state}"


def description_of(evidence: Evidence) -> str:
    """A few lines: the statistic against what it was held to, the window's figures, the messages that weighed most."""
    usual = f", usually {evidence.baseline:.3g}" if evidence.baseline is not None else ""
    window = f"{_time(evidence.window_start_ms)} to {_time(evidence.window_end_ms)}"
    counts = f"{evidence.negatives} of {evidence.messages} messages negative ({evidence.negative_share:.0%})"
    lines = [
        f"{evidence.detector} {evidence.statistic:.3g}, threshold {evidence.threshold:.3g}{usual}",
        f"{counts}, mean score {evidence.mean_score:+.2f}, {window}",
    ]
    lines += [f"{sample.score:+.2f} {sample.source or sample.origin.topic}: {sample.excerpt}" for sample in evidence.samples]
    return "\n".join(lines)


def _alert(event: AlertEvent, external_url: str) -> Alert:
    labels = labels_of(event)
    return Alert(
        status="resolved" if event.state == "resolved" else "firing",
        labels=labels,
        annotations=_annotations(event),
        starts_at=_time(event.started_at_ms),
        ends_at=_time(event.at_ms) if event.state == "resolved" else NEVER,
        generator_url=event.link or external_url,
        fingerprint=fingerprint(labels),
    )


def _annotations(event: AlertEvent) -> dict[str, str]:
    said = {"summary": summary_of(event), "description": description_of(event.evidence), "reason": event.reason}
    said |= {"alert_id": event.alert_id, "rule_version": event.rule_version}
    if event.acknowledgement is not None:
        said["acknowledged_by"] = event.acknowledgement.author
    if event.link is not None:
        said["link"] = event.link
    return said


def _common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    if not sets:
        return {}
    return {name: value for name, value in sets[0].items() if all(other.get(name) == value for other in sets[1:])}


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
