"""Metrics for Prometheus, read from the roles' own counts when they are scraped: the hot path pays nothing for them.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` on what only grows, help on all of them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.codec import DEAD_LETTER_REASONS
from worker.ops.health import Health
from worker.ops.latency import latency_family
from worker.ops.server import Answer, Page
from worker.ops.watch import HasBreaker, HasHold, ModelWatch, RoleWatch
from worker.score.intake import Hold

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("closed", "open", "half_open")
HOLDS: tuple[str, ...] = get_args(Hold)


class _Count(NamedTuple):
    field: str
    name: str
    help: str


SCORE_COUNTS = (
    _Count("messages", "tidings_messages", "Messages taken from the input topics, again after an aborted transaction."),
    _Count("predictions", "tidings_predictions", "Messages scored, again after an aborted transaction."),
    _Count("signals", "tidings_signals", "Signals made, one per message and alert key, again after an aborted transaction."),
    _Count("reviews", "tidings_reviews", "Messages that a person is asked about, again after an aborted transaction."),
    _Count("duplicates", "tidings_duplicates", "Messages whose text was seen before."),
    _Count("releases", "tidings_model_releases", "How often the worker went over to another version of the model."),
    _Count("batches", "tidings_batches", "Batches that the model answered."),
    _Count("cache_hits", "tidings_sentiments_from_memory", "Messages whose text the model was not asked about again."),
    _Count("batch_texts", "tidings_batch_texts", "Texts in the batches that the model answered."),
    _Count("batch_room", "tidings_batch_text_places", "Texts that those batches had room for, at their bucket's limit."),
    _Count("padded", "tidings_batch_token_places", "Token places sent to the model, padding included."),
    _Count("tokens", "tidings_batch_tokens", "Tokens sent to the model; the rest of the places is padding."),
    _Count("decode_s", "tidings_score_decode_seconds", "Seconds of decoding, matching and looking for duplicates."),
    _Count(
        "queue_s", "tidings_score_queue_seconds", "Seconds that batches waited for the model, from their oldest text's arrival."
    ),
    _Count("tokenise_s", "tidings_score_tokenise_seconds", "Seconds of tokenising."),
    _Count("infer_s", "tidings_score_infer_seconds", "Seconds that batches were with the model; some at the same time."),
    _Count("publish_s", "tidings_score_publish_seconds", "Seconds of making the records of scored messages."),
    _Count("commit_s", "tidings_score_commit_seconds", "Seconds that transactions took, beside the rest."),
    _Count(
        "ceiling_s",
        "tidings_score_ceiling_seconds",
        "Seconds that the model alone would have needed, in full batches without padding, by `score.model_cost`; 0 without it.",
    ),
)
ALERT_COUNTS = (
    _Count("signals", "tidings_alert_signals", "Signals whose effects are stored."),
    _Count("undecodable", "tidings_alert_signals_undecodable", "Signals that could not be read, and were passed over."),
    _Count("late", "tidings_alert_signals_late", "Signals that came after the last window boundary, too late to count."),
    _Count(
        "future", "tidings_alert_signals_future", "Signals dated too far ahead of their records; the record's time is taken."
    ),
    _Count("late_s", "tidings_alert_signals_late_seconds", "How far they lay behind the newest signal, added up."),
    _Count("fired", "tidings_alerts_fired", "Alerts that began to fire."),
    _Count("stale", "tidings_alerts_stale", "Alerts that lost their data while they fired."),
    _Count("resolved", "tidings_alerts_resolved", "Alerts that resolved."),
    _Count("acknowledged", "tidings_alerts_acknowledged", "Acknowledgements of open alerts."),
    _Count("not_open", "tidings_alerts_not_open", "Acknowledgements of alerts that were not open, and changed nothing."),
    _Count("suppressed", "tidings_alerts_suppressed", "Open alerts that a silence or another alert began to keep quiet."),
    _Count("unsuppressed", "tidings_alerts_unsuppressed", "Open alerts that nothing keeps quiet any more."),
    _Count("relayed", "tidings_alert_events_relayed", "Alert events passed on from Redis to Kafka."),
    _Count("fenced", "tidings_alert_fenced", "Commits that Redis refused, because another worker owns the partition."),
    _Count("rebuilt", "tidings_alert_partitions_rebuilt", "Partitions whose state was rebuilt, as Redis had lost it."),
    _Count("store_retries", "tidings_alert_store_retries", "Calls to Redis that failed and were made again."),
)
NOTIFY_COUNTS = (
    _Count("events", "tidings_notify_events", "Alert events taken into groups, again after the state was taken up anew."),
    _Count("undecodable", "tidings_notify_events_undecodable", "Alert events that could not be read, and were passed over."),
    _Count("overflowed", "tidings_notify_alerts_overflowed", "Alerts told to nobody, as too many were open at once."),
    _Count("sent", "tidings_notify_sent", "Notifications that a receiver took."),
    _Count("refused", "tidings_notify_refused", "Notifications that a receiver refused for good, and that were given up."),
    _Count("failed", "tidings_notify_failed", "Tries to notify that failed, and are made again."),
    _Count("terms", "tidings_notify_terms", "How often this process became the active notifier."),
)
COUNTS = {"score": SCORE_COUNTS, "alert": ALERT_COUNTS, "notify": NOTIFY_COUNTS}


class WorkerCollector(Collector):
    """Everything about the roles of this process; `tidings_consumer_*` says how far behind each is."""

    def __init__(
        self,
        roles: Iterable[RoleWatch],
        model: ModelWatch,
        health: Health,
        version: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._roles = tuple(roles)
        self._model = model
        self._health = health
        self._version = version
        self._wall_clock = wall_clock

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield InfoMetricFamily("tidings_build", "The version of Tidings.", {"version": self._version})
        yield from self._readiness()
        for role in self._roles:
            yield from _counts(role)
            yield from _rules(role)
            yield from _release(role)
            for more in filter(None, (role.receivers, role.shadow)):
                yield from more.families()
            yield from _held(role)
        yield from _published(self._roles)
        yield latency_family({role.name: role.lag.latency() for role in self._roles})
        yield from _group(self._roles, int(self._wall_clock() * 1000))
        yield from _consumers(self._roles)
        yield from self._model_families()
        yield from self._commit_seconds()

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: it depends on the roles, which are yet to be built."""
        return ()

    def _readiness(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily(
            "tidings_ready", "Whether a part is ready (1) or waited for (0); see /readyz.", labels=["part"]
        )
        for part, told in self._health.readiness().parts.items():
            ready.add_metric([part], float(told["ready"]))
        silent = GaugeMetricFamily(
            "tidings_loop_age_seconds", "Time since the role's loop last came round.", labels=["role"], unit="seconds"
        )
        for role in self._roles:
            silent.add_metric([role.name], self._health.silent_s(role.name))
        return iter((ready, silent))

    def _model_families(self) -> Iterator[Metric]:
        if not any(role.name == "score" for role in self._roles):
            return
        yield CounterMetricFamily(
            "tidings_model_failures", "Requests to the model that failed; their batches are sent again.", self._model.failures
        )
        yield from self._model.seconds.collect()
        breaker = GaugeMetricFamily(
            "tidings_model_breaker", "The model's circuit breaker: 1 for the phase that it is in.", labels=["phase"]
        )
        for role in self._roles:
            guarded: object = role.role
            if isinstance(guarded, HasBreaker):
                now = guarded.breaker.phase
                for phase in PHASES:
                    breaker.add_metric([phase], float(phase == now))
        yield breaker

    def _commit_seconds(self) -> Iterator[Metric]:
        """Merge the roles' histograms into one family with the role as a label."""
        merged: Metric | None = None
        for role in self._roles:
            for family in role.commit_seconds.collect():
                merged = merged or Metric(family.name, family.documentation, family.type)
                for sample in family.samples:
                    merged.add_sample(sample.name, {**sample.labels, "role": role.name}, sample.value)
        if merged is not None:
            yield merged


def registry(collector: Collector) -> CollectorRegistry:
    """Return a registry with the worker's metrics and the process's own (memory, CPU, open files, garbage collection)."""
    made = CollectorRegistry()
    made.register(collector)
    for own in (ProcessCollector, PlatformCollector, GCCollector):
        own(registry=made)
    return made


def metrics_page(made: CollectorRegistry) -> Page:
    """Return the page with these metrics, in Prometheus' text format 0.0.4."""
    return lambda: Answer(HTTPStatus.OK, CONTENT_TYPE, generate_latest(made))


def _counts(watch: RoleWatch) -> Iterator[Metric]:
    role = watch.role
    for count in COUNTS.get(watch.name, ()):
        yield CounterMetricFamily(count.name, count.help, getattr(role.counts, count.field) if role is not None else 0)


def _rules(watch: RoleWatch) -> Iterator[Metric]:
    """Named and meant as Prometheus's own of its configuration."""
    if (rules := watch.rules) is not None:
        yield GaugeMetricFamily(
            "tidings_rules_last_reload_successful",
            "Whether the rule file, as it is, is in force (1), or wrong, so that the rules before it go on (0).",
            float(rules.successful),
        )
        yield GaugeMetricFamily(
            "tidings_rules_last_reload_success_timestamp_seconds",
            "When the rules in force were read, in seconds since the epoch.",
            rules.succeeded_at_s,
        )


def _held(watch: RoleWatch) -> Iterator[Metric]:
    guarded: object = watch.role
    if isinstance(guarded, HasHold):
        held = GaugeMetricFamily(
            "tidings_reading_held",
            "Why the score role reads nothing new: 1 for the reason that holds, if any.",
            labels=["reason"],
        )
        now = guarded.holding
        for reason in HOLDS:
            held.add_metric([reason], float(reason == now))
        yield held


def _release(watch: RoleWatch) -> Iterator[Metric]:
    if (release := watch.release) is not None:
        yield InfoMetricFamily("tidings_model_version", "The version of the model in force.", {"version": release.version})
        yield GaugeMetricFamily(
            "tidings_model_last_release_successful",
            "Whether the version that the contract names is in force (1), or refused or awaited, so that the one before it goes"
            " on (0).",
            float(release.successful),
        )
        yield GaugeMetricFamily(
            "tidings_model_last_release_success_timestamp_seconds",
            "When the version in force was taken, in seconds since the epoch.",
            release.succeeded_at_s,
        )


def _published(roles: Iterable[RoleWatch]) -> Iterator[Metric]:
    published = CounterMetricFamily(
        "tidings_records_published", "Records published in transactions that were committed.", labels=["topic"]
    )
    letters = CounterMetricFamily("tidings_dead_letters", "Dead letters published, by reason.", labels=["reason"])
    in_hand = GaugeMetricFamily("tidings_records_in_hand", "Records taken and not yet done.", labels=["role"])
    aborted = CounterMetricFamily("tidings_transactions_aborted", "Kafka transactions that were rolled back.", labels=["role"])
    for role in roles:
        by_topic, by_reason = role.published()
        _add(published, by_topic)
        known = DEAD_LETTER_REASONS if role.name == "score" else ()
        _add(letters, dict.fromkeys(known, 0) | by_reason)  # at 0 from the start: what is born at 1 has not increased
        in_hand.add_metric([role.name], role.role.in_hand if role.role is not None else 0)
        aborted.add_metric([role.name], role.aborted)
    return iter((published, letters, in_hand, aborted))


def _add(family: CounterMetricFamily, counts: Mapping[str, int]) -> None:
    for label, count in sorted(counts.items()):
        family.add_metric([label], count)


def _group(roles: Iterable[RoleWatch], now_ms: int) -> Iterator[Metric]:
    labels = ["role", "topic", "partition"]
    seconds = GaugeMetricFamily(
        "tidings_consumer_lag_seconds",
        "Age of the oldest record that is not committed, by its time in Kafka; 0 when caught up. It grows while the worker is"
        " held up. A backlog that this worker has not begun to read counts from when it was noticed.",
        labels=labels,
    )
    records = GaugeMetricFamily(
        "tidings_consumer_lag_records",
        "Records in hand and on the broker that are not committed. What comes in while the partition is paused is not in it.",
        labels=labels,
    )
    committed = GaugeMetricFamily(
        "tidings_consumer_committed_offset",
        "The next offset to read, as this worker last committed it; for the alert role it is the relay's position.",
        labels=labels,
    )
    assigned = GaugeMetricFamily("tidings_consumer_partitions", "Partitions assigned.", labels=["role"])
    for role in roles:
        told = role.statistics
        behind = role.lag.behind(told.partitions if told else {}, now_ms)
        assigned.add_metric([role.name], len(behind))
        for partition, figures in behind.items():
            place = [role.name, partition.topic, str(partition.partition)]
            seconds.add_metric(place, figures.seconds)
            records.add_metric(place, figures.records)
            if figures.committed is not None:
                committed.add_metric(place, figures.committed)
    return iter((seconds, records, committed, assigned))


def _consumers(roles: Iterable[RoleWatch]) -> Iterator[Metric]:
    rebalances = CounterMetricFamily("tidings_consumer_rebalances", "Rebalances of the group.", labels=["role"])
    expired = CounterMetricFamily(
        "tidings_consumer_offsets_expired",
        "Offsets that retention had removed before they were read: input that is lost.",
        labels=["role"],
    )
    standstills = CounterMetricFamily(
        "tidings_consumer_standstills",
        "Partitions that the Kafka client had stopped fetching though there was something to read, and that were begun again.",
        labels=["role"],
    )
    for role in roles:
        told = role.statistics
        rebalances.add_metric([role.name], told.rebalances if told else 0)
        expired.add_metric([role.name], told.expired if told else 0)
        standstills.add_metric([role.name], told.standstills if told else 0)
    return iter((rebalances, expired, standstills))
