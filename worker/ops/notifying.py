"""The notify role's neighbours with somebody looking on: how receivers answer, and whether this member is the active one.

A receiver that fails is named by `/readyz` and makes nobody unready: other receivers are told all the same.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, get_args

from prometheus_client import Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from worker.errors import FencedError, RetryableError
from worker.notify.config import Target
from worker.notify.ports import Failure, Messenger, Notification, NotifyCommit, NotifyState, NotifyStore, Outcome
from worker.ops.watch import RoleWatch

_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_LABELS = ("receiver", "integration")


class HasQueues(Protocol):
    """The notify role as the metrics see it."""

    @property
    def waiting(self) -> Mapping[str, int]:
        """Groups with news that are not told, by integration."""
        ...

    @property
    def groups(self) -> int:
        """How many groups there are."""
        ...


class ReceiversWatch:
    """Figures by receiver and integration; `role` is set once it is built."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets
        self.role: HasQueues | None = None
        self._tries = Counter(
            "tidings_notifications", "Notifications sent or tried, by receiver and integration.", _LABELS, registry=None
        )
        self._failed = Counter(
            "tidings_notifications_failed",
            "Notifications that were not taken: refused for good, or to be tried again.",
            (*_LABELS, "reason"),
            registry=None,
        )
        self._seconds = Histogram(
            "tidings_notification_latency_seconds",
            "One try to notify, from the connection to the answer, seconds.",
            _LABELS,
            registry=None,
            buckets=_BUCKETS_S,
        )
        for target in targets.values():
            self._tries.labels(*_labels(target))
            self._seconds.labels(*_labels(target))
            for reason in get_args(Failure):  # at 0 from the start: what is born at 1 has no rate
                self._failed.labels(*_labels(target), reason)

    def count(self, target: str, outcome: Outcome, seconds: float) -> None:
        """Add a try; from any thread."""
        labels = _labels(self._targets[target])
        self._tries.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
        if outcome.result != "sent":
            self._failed.labels(*labels, outcome.reason).inc()

    def families(self) -> Iterable[Metric]:
        """See `HasFamilies`."""
        for figures in (self._tries, self._failed, self._seconds):
            yield from figures.collect()
        queue = GaugeMetricFamily(
            "tidings_notification_queue", "Groups with news that their receiver was not told of yet.", labels=_LABELS
        )
        for name, count in (self.role.waiting if self.role else {}).items():
            queue.add_metric(_labels(self._targets[name]), count)
        yield queue
        yield GaugeMetricFamily(
            "tidings_notification_groups", "Groups of alerts, of each integration.", self.role.groups if self.role else 0
        )


class ObservedMessenger:
    """A `Messenger` that says how each receiver answers."""

    def __init__(self, messenger: Messenger, role: RoleWatch, watch: ReceiversWatch) -> None:
        self._messenger = messenger
        self._role = role
        self._watch = watch

    def send(self, notification: Notification) -> Outcome:
        """See `Messenger`."""
        began_s = time.monotonic()
        outcome = self._messenger.send(notification)
        target = notification.group.target
        self._watch.count(target, outcome, time.monotonic() - began_s)
        said = "takes notifications" if outcome.result == "sent" else f"fails: {outcome.detail}"
        self._role.health.report(f"receiver {target}", self._role.name, True, said)
        return outcome


class ObservedNotifyStore:
    """A `NotifyStore` that says whether it answers, and whether this member stands by."""

    def __init__(self, store: NotifyStore, watch: RoleWatch) -> None:
        self._store = store
        self._watch = watch

    def acquire(self, token: str, ttl_s: float) -> bool:
        """See `NotifyStore`."""
        with self._asked():
            leads = self._store.acquire(token, ttl_s)
        if not leads:
            self._watch.health.report(self._watch.name, self._watch.name, True, "standing by: another notifier is at work")
        return leads

    def renew(self, token: str, ttl_s: float) -> int | None:
        """See `NotifyStore`."""
        with self._asked():
            return self._store.renew(token, ttl_s)

    def release(self, token: str) -> None:
        """See `NotifyStore`."""
        with self._asked():
            self._store.release(token)

    def load(self) -> NotifyState:
        """See `NotifyStore`."""
        with self._asked():
            return self._store.load()

    def commit(self, token: str, commit: NotifyCommit) -> None:
        """See `NotifyStore`."""
        with self._asked():
            self._store.commit(token, commit)

    def close(self) -> None:
        """See `NotifyStore`."""
        self._store.close()

    @contextmanager
    def _asked(self) -> Iterator[None]:
        health, name = self._watch.health, self._watch.name
        health.beat(name)
        try:
            yield
        except RetryableError as error:
            health.report("redis", name, False, str(error))
            raise
        except FencedError:
            health.report("redis", name, True, "answers")
            raise
        health.report("redis", name, True, "answers")


def _labels(target: Target) -> Sequence[str]:
    return target.receiver, target.name.removeprefix(f"{target.receiver}/")
