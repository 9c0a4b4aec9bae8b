import re
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.worker.ops.builders import Clock, health
from worker.alert.counting import AlertCounts
from worker.codec import DEAD_LETTER_REASONS
from worker.messages import Record, TopicPartition
from worker.ops.health import Health
from worker.ops.metrics import ALERT_COUNTS, CONTENT_TYPE, SCORE_COUNTS, WorkerCollector, metrics_page, registry
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import PartitionStatistics, SourceStatistics
from worker.score.counts import ScoreCounts

P0 = TopicPartition("news", 0)


class Breaker(msgspec.Struct):
    """Where a breaker stands."""

    phase: str


class Role:
    """A role with counts."""

    def __init__(self, counts: object, in_hand: int = 0) -> None:
        self.counts = counts
        self.in_hand = in_hand


class Guarded(Role):
    """A role whose model has a breaker."""

    breaker = Breaker("open")


class Bench:
    """A process with both roles."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health: Health = health(self.clock)
        self.score, self.alert = RoleWatch("score", self.health), RoleWatch("alert", self.health)
        self.model = ModelWatch()

    def registry(self, *roles: RoleWatch) -> CollectorRegistry:
        """The metrics of these roles."""
        return registry(WorkerCollector(roles or (self.score, self.alert), self.model, self.health, "1.2.3", self.clock))

    def value(self, name: str, **labels: str) -> float | None:
        """One sample."""
        return self.registry().get_sample_value(name, labels)


def test_the_page_is_prometheus_text() -> None:
    """Its parser reads it, and every family of ours has a help text that is a sentence."""
    bench = Bench()
    bench.score.role, bench.alert.role = Guarded(ScoreCounts()), Role(AlertCounts())
    bench.alert.rules = Reload(True, 0.0)
    answer = metrics_page(bench.registry())()
    assert (answer.status, answer.content_type) == (200, CONTENT_TYPE)
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    ours = [family for name, family in families.items() if name.startswith("tidings_")]
    assert len(ours) > 25
    assert [family.name for family in ours if not re.fullmatch(r"[A-Z].+\.", family.documentation)] == []
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= families.keys()


@pytest.mark.parametrize("suffix", ["_ms", "_millis", "_kb", "_percent"])
def test_units_are_base_units(suffix: str) -> None:
    """Seconds and bytes; see Prometheus' naming practices."""
    assert suffix not in metrics_page(Bench().registry())().body.decode()


@pytest.mark.parametrize(("counts", "shown"), [(ScoreCounts, SCORE_COUNTS), (AlertCounts, ALERT_COUNTS)])
def test_every_count_of_a_role_is_shown(counts: type[msgspec.Struct], shown: Any) -> None:
    """But two of the score role: dead letters and aborts are counted as they are committed, with reason and role."""
    fields = set(counts.__struct_fields__) - ({"dead_letters", "aborted"} if counts is ScoreCounts else set())
    assert {count.field for count in shown} >= fields


class Reload(msgspec.Struct):
    """What became of the rule file."""

    successful: bool
    succeeded_at_s: float

    def hurry(self) -> None:
        """Nobody does."""


def test_the_rule_file_is_told_as_prometheus_tells_its_own() -> None:
    """Whether what it holds is in force, and since when; nothing where there is no alert role."""
    bench, names = Bench(), ("successful", "success_timestamp_seconds")
    assert [bench.value(f"tidings_rules_last_reload_{name}") for name in names] == [None, None]
    bench.alert.rules = Reload(True, 1_700_000_000.5)
    assert [bench.value(f"tidings_rules_last_reload_{name}") for name in names] == [1, 1_700_000_000.5]
    bench.alert.rules = Reload(False, 1_700_000_000.5)
    assert [bench.value(f"tidings_rules_last_reload_{name}") for name in names] == [0, 1_700_000_000.5]


def test_counts_are_read_when_they_are_scraped() -> None:
    """0 before the role is built, then what it has counted by then."""
    bench = Bench()
    assert bench.value("tidings_messages_total") == 0
    counts = ScoreCounts(messages=3)
    bench.score.role = Role(counts, in_hand=2)
    assert bench.value("tidings_messages_total") == 3
    counts.messages = 5
    assert bench.value("tidings_messages_total") == 5
    assert bench.value("tidings_records_in_hand", role="score") == 2
    bench.alert.role = Role(AlertCounts(fired=1))
    assert bench.value("tidings_alerts_fired_total") == 1


def test_what_was_published_is_told_by_topic_and_reason() -> None:
    """With aborts, failures and times beside it."""
    bench = Bench()
    bench.score.count({"sentiment.predictions": 4}, {"not_json": 2})
    bench.score.count({"sentiment.predictions": 1}, {})
    bench.score.aborted, bench.model.failures = 3, 6
    bench.alert.commit_seconds.observe(0.2)
    assert bench.value("tidings_records_published_total", topic="sentiment.predictions") == 5
    assert bench.value("tidings_dead_letters_total", reason="not_json") == 2
    assert bench.value("tidings_transactions_aborted_total", role="score") == 3
    assert bench.value("tidings_model_failures_total") == 6
    assert bench.value("tidings_commit_seconds_count", role="alert") == 1
    assert bench.value("tidings_commit_seconds_count", role="score") == 0
    assert bench.value("tidings_commit_seconds_bucket", role="alert", le="0.25") == 1


def test_dead_letters_of_every_reason_are_counted_from_0() -> None:
    """Else the first is born at 1, `increase` sees nothing, and nobody is told; a role that makes none exports none."""
    bench = Bench()
    assert [bench.value("tidings_dead_letters_total", reason=reason) for reason in DEAD_LETTER_REASONS] == [0] * 11
    bench.score.count({}, {"model_refused": 1})
    assert bench.value("tidings_dead_letters_total", reason="model_refused") == 1
    assert bench.value("tidings_dead_letters_total", reason="not_json") == 0
    assert bench.registry(bench.alert).get_sample_value("tidings_dead_letters_total", {"reason": "not_json"}) is None


def test_lag_is_told_by_partition() -> None:
    """In seconds and in records, with the committed offset, which for the alert role is the relay's position."""
    bench = Bench()
    bench.score.statistics = SourceStatistics(1, True, 7, {P0: PartitionStatistics(10, 14, 0)}, expired=3)
    bench.score.lag.assigned([P0])
    place = {"role": "score", "topic": "news", "partition": "0"}
    assert bench.value("tidings_consumer_committed_offset", **place) is None
    bench.score.lag.committed({P0: 8}, 0)
    bench.score.lag.taken([Record("news", 0, 9, None, b"", int(bench.clock.now_s * 1000) - 2_500)], 0)
    assert bench.value("tidings_consumer_lag_seconds", **place) == 2.5
    assert bench.value("tidings_consumer_lag_records", **place) == 5
    assert bench.value("tidings_consumer_committed_offset", **place) == 8
    assert bench.value("tidings_consumer_partitions", role="score") == 1
    assert bench.value("tidings_consumer_rebalances_total", role="score") == 7
    assert bench.value("tidings_consumer_offsets_expired_total", role="score") == 3
    assert bench.value("tidings_consumer_offsets_expired_total", role="alert") == 0


def test_the_breaker_is_told_by_phase() -> None:
    """Where there is one; the alert role has no model at all."""
    bench = Bench()
    assert bench.value("tidings_model_breaker", phase="open") is None
    bench.score.role = Guarded(ScoreCounts())
    phases = {phase: bench.value("tidings_model_breaker", phase=phase) for phase in ("closed", "open", "half_open")}
    assert phases == {"closed": 0, "open": 1, "half_open": 0}
    assert "tidings_model" not in metrics_page(bench.registry(bench.alert))().body.decode()


def test_readiness_and_silence_are_metrics_too() -> None:
    """By part and by role."""
    bench = Bench()
    bench.health.report("redis", "alert", False, "away")
    bench.health.beat("score")
    bench.clock.now_s += 4
    assert bench.value("tidings_ready", part="redis") == 0
    assert bench.value("tidings_loop_age_seconds", role="score") == 4
    assert bench.value("tidings_build_info", version="1.2.3") == 1
