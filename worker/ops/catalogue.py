"""Every metric that a worker exports, for the page docs/metrics.md and for tests that hold dashboards and alert rules to it.

It is read from the collector itself, which is given roles that have everything a role can have, each with a figure, so that no
family stays empty.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prometheus_client import Metric

from worker.alert.counting import AlertCounts
from worker.messages import Record, TopicPartition
from worker.notify.config import parse_notify
from worker.notify.ports import Outcome
from worker.notify.role import NotifyCounts
from worker.ops.health import Health
from worker.ops.metrics import WorkerCollector, registry
from worker.ops.notifying import ReceiversWatch
from worker.ops.shadowed import ShadowWatch
from worker.ops.watch import HasCounts, ModelWatch, RoleWatch
from worker.ports import PartitionStatistics, SourceStatistics
from worker.score.counts import ScoreCounts
from worker.score.shadow import ShadowCounts

OURS = "tidings_"
_PLACE = TopicPartition("news", 0)
_RECEIVERS = "route: {receiver: team}\nreceivers: [{name: team, webhook_configs: [{url: https://example.org/hook}]}]\n"


_INTRODUCTION = """# Metrics

Made by `tidings metrics`, which reads the code that exports them; a test holds this page to it. `tidings metrics --json` says
the same for a program.

A worker serves them on `/metrics` of `ops.host:ops.port` (127.0.0.1:9464), in Prometheus' text format 0.0.4, from its first
moment. Times are seconds, counters end in `_total`, histograms have `_bucket`, `_sum` and `_count`. A role that is not run here
exports nothing of its own. Counters begin at 0 with each process: use `rate` or `increase`. Alert rules over them:
[deploy/helm/tidings/files/rules](../deploy/helm/tidings/files/rules); when one fires: [runbooks](runbooks/README.md).

## Ours
"""
_OWN = """## Of the process

From prometheus_client, on Linux.
"""


class Described(NamedTuple):
    """One metric family: `name` without the suffixes of its samples, `samples` the names that a query may use."""

    name: str
    type: str
    unit: str
    labels: tuple[str, ...]
    help: str
    samples: tuple[str, ...]


class _Breaker(NamedTuple):
    phase: str = "closed"


class _Role:
    in_hand = 0
    groups = 0

    def __init__(self, counts: object) -> None:
        self.counts = counts
        self.waiting = {"team/webhook/0": 0}


class _ScoreRole(_Role):
    breaker = _Breaker()
    holding = None


class _File(NamedTuple):
    version: str = "1"
    successful: bool = True
    succeeded_at_s: float = 0.0

    def hurry(self) -> None:
        """Nothing is read."""


def catalogue() -> tuple[Described, ...]:
    """Return what a worker with all roles exports, in the order of its page; first ours, then prometheus_client's own."""
    families = list(registry(_collector()).collect())
    described = [_describe(family) for family in families]
    return tuple(sorted(described, key=lambda one: (not one.name.startswith(OURS), one.name)))


def sample_names() -> frozenset[str]:
    """Return every name that a query may use."""
    return frozenset(name for one in catalogue() for name in one.samples)


def _collector() -> WorkerCollector:
    health = Health(1.0, lambda: 0.0, lambda: 0.0)
    score, alert, notify = (RoleWatch(name, health) for name in ("score", "alert", "notify"))
    _furnish(score, _ScoreRole(ScoreCounts()))
    _furnish(alert, _Role(AlertCounts()))
    _furnish(notify, _Role(NotifyCounts()))
    alert.rules = score.release = _File()
    score.shadow = ShadowWatch(ShadowCounts(), ModelWatch())
    notify.receivers = _receivers()
    return WorkerCollector((score, alert, notify), ModelWatch(), health, "0", lambda: 0.0)


def _furnish(watch: RoleWatch, role: HasCounts) -> None:
    watch.role = role
    watch.health.report("kafka", watch.name, True, "connected")
    watch.count({"sentiment.predictions": 1}, {"not_json": 1})
    watch.statistics = SourceStatistics(1, True, 0, {_PLACE: PartitionStatistics(0, 0, 0)})
    watch.lag.assigned([_PLACE])
    watch.lag.taken([Record(*_PLACE, 0, None, b"", 1)], 1)
    watch.lag.committed({_PLACE: 1}, 1)


def _receivers() -> ReceiversWatch:
    watch = ReceiversWatch(parse_notify(_RECEIVERS, "receivers").targets)
    watch.role = _Role(None)
    watch.count("team/webhook/0", Outcome("failed", "timeout", ""), 0.0)
    return watch


def _describe(family: Metric) -> Described:
    """Read off one family; its labels are those of its samples, less what the type itself adds."""
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    names = tuple(dict.fromkeys(sample.name for sample in samples))
    labels = dict.fromkeys(name for sample in samples for name in sample.labels if name != "le")
    return Described(family.name, family.type, unit_of(family.name), tuple(labels), family.documentation, names)


def unit_of(name: str) -> str:
    """Return the unit that a family's name ends in; empty where it counts things that the name itself tells."""
    if name.endswith("_timestamp_seconds"):
        return "seconds since the epoch"
    return {"seconds": "seconds", "bytes": "bytes"}.get(name.rpartition("_")[2], "")


def page() -> str:
    """Return docs/metrics.md."""
    families = catalogue()
    ours = [one for one in families if one.name.startswith(OURS)]
    own = [one for one in families if not one.name.startswith(OURS)]
    return "\n".join((_INTRODUCTION, *_table(ours), "", _OWN, *_table(own), ""))


def _table(families: Sequence[Described]) -> Iterator[str]:
    yield "| metric | type | unit | labels | what it says |"
    yield "|---|---|---|---|---|"
    for one in families:
        shown = f"{one.name}_total" if one.type == "counter" else f"{one.name}_info" if one.type == "info" else one.name
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{shown}` | {one.type} | {one.unit} | {labels} | {one.help} |"
