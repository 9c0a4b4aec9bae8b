"""The body for Slack's incoming webhooks, and for what speaks like them (Mattermost, Rocket.Chat, Discord's /slack). Pure.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and, for attachments,
https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments.
"""

import re
from collections.abc import Mapping

import msgspec

from worker.notify.groups import Contents
from worker.notify.parts import SlackConfig
from worker.notify.payload import Alert, Heading, Message, message

MAX_SHOWN = 10
"""Alerts in one notification; Slack cuts off long ones, and nobody reads them."""
_MAX_TEXT = 3_500
_MAX_TITLE = 250
_COLORS = {"firing": "danger", "resolved": "good"}
_PLACE = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The coloured part of a message."""

    color: str
    fallback: str
    title: str
    title_link: str = ""
    text: str
    footer: str


class SlackMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A message; `text` is what a notification on a phone shows."""

    text: str
    channel: str = ""
    attachments: tuple[Attachment, ...]


def slack_message(config: SlackConfig, heading: Heading, contents: Contents) -> SlackMessage:
    """Return the message."""
    body = message(heading, contents, MAX_SHOWN)
    values = _values(body, contents)
    title = _filled(config.title, values)[:_MAX_TITLE]
    text = _filled(config.text, values) if config.text else _listed(body)
    link = next((alert.generator_url for alert in body.alerts if alert.generator_url), "")
    fallback = f"{title} {body.alerts[0].annotations['summary'] if body.alerts else ''}".strip()
    attachment = Attachment(
        color=_COLORS[body.status],
        fallback=_escaped(fallback),
        title=_escaped(title),
        title_link=link,
        text=_escaped(text[:_MAX_TEXT]),
        footer="Tidings",
    )
    return SlackMessage(text=_escaped(title), channel=config.channel or "", attachments=(attachment,))


def encode_slack(body: SlackMessage) -> bytes:
    """Return the JSON."""
    return msgspec.json.encode(body)


def _values(body: Message, contents: Contents) -> dict[str, str]:
    firing, ended = len(contents.firing), len(contents.ended)
    own = {
        "status": f"FIRING:{firing}" if firing else "RESOLVED",
        "group": " ".join(body.group_labels.values()) or body.common_labels.get("alertname", "alerts"),
        "firing": str(firing),
        "resolved": str(ended),
        "receiver": body.receiver,
    }
    return {**body.common_labels, **own}


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values.get(place.group(1), ""), template)


def _listed(body: Message) -> str:
    lines = [_told(alert) for alert in body.alerts]
    if body.truncated_alerts:
        lines.append(f"and {body.truncated_alerts} more")
    return "\n\n".join(lines)


def _told(alert: Alert) -> str:
    severity = alert.labels.get("severity", "")
    return f"{alert.annotations['summary']}{f' ({severity})' if severity else ''}\n{alert.annotations['description']}"


def _escaped(text: str) -> str:
    """What Slack takes for markup, as text: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
