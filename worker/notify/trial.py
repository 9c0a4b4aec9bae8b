"""A notification that only tries a receiver out, and says so. Pure."""

from worker.errors import SelectionError
from worker.messages import AlertEvent, Evidence
from worker.notify.config import NotifyConfig
from worker.notify.groups import Contents, Group
from worker.notify.ports import Notification
from worker.notify.routing import GroupName, labels_text
from worker.notify.writing import write

RULE = "TidingsTest"


def trials(config: NotifyConfig, receiver: str, now_ms: int, external_url: str = "") -> list[Notification]:
    """Return a test notification for each integration of the receiver.

    Raises:
        SelectionError: there is no such receiver, or it has no integration.
    """
    targets = config.targets_of(receiver)
    if not targets:
        known = ", ".join(sorted({target.receiver for target in config.targets.values()}))
        raise SelectionError(f"`{receiver}` is no receiver with an integration; there are: {known or 'none'}")
    group = Group("{}", {"alertname": RULE})
    contents = Contents(f"test-{now_ms}", (_event(now_ms),), ())
    names = [GroupName(target.name, f"{{}}:{labels_text(group.labels)}") for target in targets]
    return [write(config, name, group, contents, external_url) for name in names]


def _event(now_ms: int) -> AlertEvent:
    evidence = Evidence(
        window_start_ms=now_ms - 60_000,
        window_end_ms=now_ms,
        messages=0,
        negatives=0,
        negative_share=0.0,
        detector="test",
        statistic=0.0,
        threshold=0.0,
        samples=(),
    )
    return AlertEvent(
        id=f"test-{now_ms}",
        alert_id=f"test-{now_ms}",
        state="firing",
        reason="test",
        alert_key="test:tidings",
        rule=RULE,
        rule_version="test",
        severity="info",
        started_at_ms=now_ms,
        at_ms=now_ms,
        evidence=evidence,
        model=None,
        labels={"tidings_test": "true"},
    )
