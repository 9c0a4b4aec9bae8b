import re
from collections.abc import Mapping
from typing import get_args

import pytest

from tests.unit.worker.notify.builders import CONFIG, config
from tests.unit.worker.ops.builders import Clock, watch
from worker.errors import RetryableError
from worker.notify.ports import Failure, Notification
from worker.notify.role import NotifyCounts
from worker.notify.routing import GroupName
from worker.ops.metrics import NOTIFY_COUNTS
from worker.ops.notifying import ObservedMessenger, ObservedNotifyStore, ReceiversWatch
from worker.testing.notify import FAILED, SENT, InMemoryNotifyStore, Receivers


class Queues:
    """The role as the metrics see it."""

    waiting: Mapping[str, int] = {"team/webhook/0": 3}
    groups = 5


def test_receivers_are_counted_and_named() -> None:
    """By receiver and integration, with help; one that fails is told and makes nobody unready."""
    role, receivers = watch("notify"), ReceiversWatch(config(CONFIG).targets)
    receivers.role = Queues()
    sink = Receivers(lambda _: FAILED)
    messenger = ObservedMessenger(sink, role, receivers)
    sent = Notification(GroupName("team/webhook/0", "{}"), "key", b'{"alerts": []}')
    messenger.send(sent)
    assert role.health.readiness().ready
    assert "answered 500" in str(role.health.readiness().parts["receiver team/webhook/0"]["message"])
    sink.outcome = lambda _: SENT
    messenger.send(sent)
    assert role.health.readiness().parts["receiver team/webhook/0"]["message"] == "takes notifications"
    families = list(receivers.families())
    assert all(re.fullmatch(r"[A-Z].+\.", family.documentation) for family in families)
    values = {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}
    assert values["tidings_notifications_total", "team", "webhook/0"] == 2
    assert values["tidings_notifications_total", "quiet", "slack/0"] == 0
    assert values["tidings_notifications_failed_total", "server_error", "team", "webhook/0"] == 1
    assert values["tidings_notification_latency_seconds_count", "team", "webhook/0"] == 2
    assert values["tidings_notification_queue", "team", "webhook/0"] == 3
    assert values["tidings_notification_groups",] == 5


def test_failures_of_every_reason_are_counted_from_0() -> None:
    """Of each receiver: one that has failed from its first notification on has a rate from then on."""
    watched = ReceiversWatch(config(CONFIG).targets)
    samples = [sample for family in watched.families() for sample in family.samples]
    failed = [sample for sample in samples if sample.name == "tidings_notifications_failed_total"]
    assert {sample.value for sample in failed} == {0}
    told = {(sample.labels["receiver"], sample.labels["reason"]) for sample in failed}
    receivers = {target.receiver for target in config(CONFIG).targets.values()}
    assert told == {(receiver, reason) for receiver in receivers for reason in get_args(Failure)}


def test_every_count_of_the_role_is_shown() -> None:
    """None is kept in secret."""
    assert {count.field for count in NOTIFY_COUNTS} == set(NotifyCounts.__struct_fields__)


def test_a_member_that_stands_by_is_ready() -> None:
    """And says so; a store that is away is told."""
    clock = Clock()
    role, store = watch("notify", clock), InMemoryNotifyStore(clock)
    observed = ObservedNotifyStore(store, role)
    assert store.acquire("other", 10)
    assert not observed.acquire("me", 10)
    assert "standing by" in str(role.health.readiness().parts["notify"]["message"])
    assert role.health.readiness().ready
    store.fail_next = ["away"]
    with pytest.raises(RetryableError):
        observed.load()
    assert role.health.waiting_for() == ["redis"]
