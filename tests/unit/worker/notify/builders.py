"""Builders with defaults for the notify tests."""

from typing import Any

from tests.unit.worker.alert.builders import event
from worker.messages import AlertEvent
from worker.notify.config import NotifyConfig, parse_notify

CONFIG = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    - {matchers: ['severity="critical"'], receiver: pager, group_by: ['...'], continue: true}
    - {matchers: ['topic=~"film|music"'], receiver: quiet}
receivers:
  - name: team
    webhook_configs: [{url: 'https://example.org/hook'}]
  - name: pager
    webhook_configs: [{url: 'https://example.org/pager'}]
  - name: quiet
    slack_configs: [{api_url: 'https://example.org/secret-path', channel: '#films'}]
"""
ONE = """
route: {receiver: team, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}
receivers: [{name: team, webhook_configs: [{url: 'https://example.org/hook'}]}]
"""


def config(text: str = ONE) -> NotifyConfig:
    """The configuration of a text."""
    return parse_notify(text)


def alert(name: str = "acme", state: str = "firing", began: int = 0, **fields: Any) -> AlertEvent:
    """An event of the alert on `entity:<name>` that began then."""
    given: dict[str, Any] = {
        "alert_key": f"entity:{name}",
        "alert_id": f"{name}-{began}",
        "id": f"{name}-{began}-{state}",
        "state": state,
        "started_at_ms": 1_000_000 + began,
        "change": state,
        **fields,
    }
    return event(2_000_000 + began, **given)
