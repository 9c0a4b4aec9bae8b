"""What is watched of one role and of the model: figures that the wrappers of `observed` keep and the metrics show."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from prometheus_client import Histogram, Metric

from worker.ops.health import Health
from worker.ops.lag import Lag
from worker.ports import SourceStatistics

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from worker.ops.spans import OpenSpans

_COMMIT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 45)
_MODEL_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HasCounts(Protocol):
    """A role as the metrics see it: plain counts, and how many records it has in hand."""

    @property
    def counts(self) -> object:
        """Its counts, a struct of integers."""
        ...

    @property
    def in_hand(self) -> int:
        """Records taken and not yet done."""
        ...


class HasPhase(Protocol):
    """A circuit breaker as the metrics see it."""

    @property
    def phase(self) -> str:
        """`closed`, `open` or `half_open`."""
        ...


@runtime_checkable
class HasBreaker(Protocol):
    """A role that guards its model with a circuit breaker."""

    @property
    def breaker(self) -> HasPhase:
        """Where the breaker stands."""
        ...


@runtime_checkable
class HasHold(Protocol):
    """A role that says why it reads nothing new."""

    @property
    def holding(self) -> str | None:
        """The reason; None when it reads on."""
        ...


class HasReload(Protocol):
    """A file that is read again when it changes, as the metrics and SIGHUP see it."""

    @property
    def successful(self) -> bool:
        """Whether what the file last held is in force."""
        ...

    @property
    def succeeded_at_s(self) -> float:
        """When what is in force was read; seconds since the epoch."""
        ...

    def hurry(self) -> None:
        """Have it looked at in the next cycle; from any thread."""
        ...


class HasRelease(HasReload, Protocol):
    """The contract of a model, which may come to name another version."""

    @property
    def version(self) -> str:
        """The version in force."""
        ...


class HasFamilies(Protocol):
    """Figures beyond plain counts."""

    def families(self) -> Iterable[Metric]:
        """Return them as metrics."""
        ...


class RoleWatch:
    """What is known of one role. Its thread writes, the server's reads; counts only grow."""

    def __init__(self, name: str, health: Health) -> None:
        self.name = name
        self.health = health
        self.lag = Lag()
        self.role: HasCounts | None = None
        """None until it is built."""
        self.rules: HasReload | None = None
        """The rule file, of the alert role alone."""
        self.release: HasRelease | None = None
        """The model's contract, of the score role alone."""
        self.shadow: HasFamilies | None = None
        """How a second model compares, of the score role alone."""
        self.receivers: HasFamilies | None = None
        """How receivers are told, of the notify role alone."""
        self.tracer: Tracer | None = None
        """Whom to ask for spans; None where tracing is off."""
        self.spans: OpenSpans | None = None
        """Those of the records in hand, where tracing is on, once the source is there."""
        self.statistics: SourceStatistics | None = None
        self.aborted = 0
        self.commit_seconds = Histogram(
            "tidings_commit_seconds", "One Kafka transaction, seconds.", registry=None, buckets=_COMMIT_BUCKETS_S
        )
        self._lock = threading.Lock()
        self._published: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()

    def count(self, published: Mapping[str, int], dead_letters: Mapping[str, int]) -> None:
        """Add what a committed transaction published, records by topic and dead letters by reason."""
        with self._lock:
            self._published.update(published)
            self._dead_letters.update(dead_letters)

    def published(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return records by topic and dead letters by reason so far."""
        with self._lock:
            return dict(self._published), dict(self._dead_letters)


class ModelWatch:
    """What is known of the model: requests answered and failed, and how long they took."""

    def __init__(self) -> None:
        self.failures = 0
        self.seconds = Histogram(
            "tidings_model_request_seconds", "One request to the model, seconds.", registry=None, buckets=_MODEL_BUCKETS_S
        )
