"""The dashboards of the model, and of alerts with the objectives."""

from deploy.prometheus.panel import Dashboard, Panel, quantile, quantiles, query, rate, stat
from deploy.prometheus.slos import OBJECTIVES

_LEFT = "1 - tidings:slo_errors:ratio_rate30d{$g} / on (slo) group_left () (1 - tidings:slo_objective:ratio)"
_FAILED = rate("tidings_model_failures_total")
_PER_REQUEST = "sum(rate({}[$__rate_interval])) / sum(rate(nv_inference_request_success[$__rate_interval]))"
_STAGES = ("decode", "queue", "tokenise", "infer", "publish", "commit")
_PER_ALERT = "TidingsNotifyFailing", "TidingsNotifyRefused"

MODEL = Dashboard(
    "tidings-model",
    "Tidings: model",
    "How the model answers: speed, batches, failures, and a second version beside it.",
    (
        stat(
            "Request, p99",
            "One request to the model, from sending to the answer.",
            "s",
            quantile(0.99, "tidings_model_request_seconds"),
            (0.5, 1),
            "TidingsModelSlow",
        ),
        stat(
            "Failures",
            "Share of requests that failed; their batches are sent again.",
            "percentunit",
            f"{_FAILED} / ({_FAILED} + {rate('tidings_batches_total')})",
            (0.01, 0.05),
            "TidingsModelFailing",
        ),
        stat(
            "Breakers not closed",
            "Workers that leave the model alone for now.",
            "short",
            'sum(tidings_model_breaker{$s,phase!="closed"})',
            (1,),
            "TidingsModelBreakerOpen",
        ),
        stat(
            "Batch size", "Messages a batch.", "short", f"{rate('tidings_predictions_total')} / {rate('tidings_batches_total')}"
        ),
        stat(
            "Padding",
            "Share of token places that hold no token.",
            "percentunit",
            f"1 - {rate('tidings_batch_tokens_total')} / {rate('tidings_batch_token_places_total')}",
            (0.4, 0.6),
        ),
        stat(
            "Duplicates",
            "Share of messages whose text was seen before: they take the score of the first.",
            "percentunit",
            f"{rate('tidings_duplicates_total')} / {rate('tidings_messages_total')}",
        ),
        Panel(
            "One request",
            "From sending to the answer, the queue in Triton included.",
            "s",
            quantiles("tidings_model_request_seconds"),
            (0.5, 1),
            runbooks=("TidingsModelSlow",),
        ),
        Panel(
            "Triton: where the time goes",
            "A request's mean time in the queue and in computation, as Triton tells it; empty where Triton is not scraped.",
            "\u00b5s",
            (
                query(
                    _PER_REQUEST.format("nv_inference_queue_duration_us"),
                    "queue",
                ),
                query(
                    _PER_REQUEST.format("nv_inference_compute_infer_duration_us"),
                    "computation",
                ),
            ),
            runbooks=("TidingsModelSlow",),
            stacked=True,
        ),
        Panel(
            "Score role: where the time goes",
            "Seconds a second of each stage, over all workers; batches wait, are inferred and committed beside one another.",
            "s",
            tuple(query(rate(f"tidings_score_{stage}_seconds_total"), stage) for stage in _STAGES),
        ),
        Panel(
            "Share of the model's own pace",
            "What was scored, by what one server needs for it at its best: while there is a backlog, the efficiency of the"
            " pipeline times the servers. 0 until `tidings tune --write` has measured the model's cost (score.model_cost).",
            "percentunit",
            (query(rate("tidings_score_ceiling_seconds_total"), "of one server"),),
        ),
        Panel(
            "How full batches are",
            "Of the texts that had room in the batches sent; and of all messages those whose text was scored before.",
            "percentunit",
            (
                query(f"{rate('tidings_batch_texts_total')} / {rate('tidings_batch_text_places_total')}", "batch fill"),
                query(f"{rate('tidings_sentiments_from_memory_total')} / {rate('tidings_messages_total')}", "from memory"),
            ),
        ),
        Panel(
            "Batches and failures",
            "Batches answered, requests failed.",
            "ops",
            (query(rate("tidings_batches_total"), "batches"), query(rate("tidings_model_failures_total"), "failures")),
            runbooks=("TidingsModelFailing",),
        ),
        Panel(
            "Circuit breaker",
            "1 for the phase that it is in.",
            "short",
            (query("max by (phase, instance) (tidings_model_breaker{$s})", "{{phase}} {{instance}}"),),
            runbooks=("TidingsModelBreakerOpen",),
        ),
        Panel(
            "Version in force",
            "How many workers have which version of the model.",
            "short",
            (query("count by (version) (tidings_model_version_info{$s})", "version {{version}}"),),
            runbooks=("TidingsModelReleaseRefused",),
            stacked=True,
        ),
        Panel(
            "Asked of people",
            "Messages that the model is unsure of, for `tidings review`.",
            "ops",
            (query(rate("tidings_reviews_total"), "reviews"),),
        ),
        Panel(
            "Second model: disagreement",
            "Share of compared messages with another label; empty unless `shadow.version` is set.",
            "percentunit",
            (query(f"{rate('tidings_shadow_disagreed_total')} / {rate('tidings_shadow_compared_total')}", "other label"),),
        ),
        Panel(
            "Second model: one request",
            "Empty unless `shadow.version` is set.",
            "s",
            quantiles("tidings_shadow_request_seconds"),
        ),
    ),
)
ALERTS = Dashboard(
    "tidings-alerts",
    "Tidings: alerts and objectives",
    "What is left of the objectives' budgets, which alerts fire and resolve, and whether people hear of them.",
    (
        *(
            Panel(
                f"Budget left: {one.slo.replace('_', ' ')}",
                f"{one.promise}. What is left of the share that may fail in 30 days.",
                "percentunit",
                (query(_LEFT.replace("{$g}", f'{{$g,slo="{one.slo}"}}'), "left"),),
                (0.25, 0.5),
                "stat",
                (one.alert,),
                width=8,
                height=4,
                less_is_worse=True,
            )
            for one in OBJECTIVES
        ),
        Panel(
            "How fast budgets burn",
            "Over an hour, as a multiple of what uses a budget up in just 30 days: 14.4 wakes somebody, 6 does if it lasts.",
            "short",
            (
                query(
                    "tidings:slo_errors:ratio_rate1h{$g} / on (slo) group_left () (1 - tidings:slo_objective:ratio)", "{{slo}}"
                ),
            ),
            (6, 14.4),
            runbooks=tuple(one.alert for one in OBJECTIVES),
        ),
        Panel(
            "Latency of signals",
            "From Kafka's time of a signal until its events were on Kafka; the objective is 5 s.",
            "s",
            quantiles("tidings_record_latency_seconds", 'role="alert"'),
            (2.5, 5),
            runbooks=("TidingsAlertDelayBudgetBurn",),
        ),
        Panel(
            "Alerts",
            "That began to fire, went stale for want of data, and resolved, in five minutes.",
            "short",
            tuple(
                query(f"sum(increase(tidings_alerts_{what}_total{{$s}}[5m]))", what)
                for what in ("fired", "stale", "resolved", "acknowledged", "suppressed")
            ),
        ),
        Panel(
            "Signals",
            "Handled; too late to count; dated into the future; unreadable.",
            "ops",
            (
                query(rate("tidings_alert_signals_total"), "handled"),
                query(rate("tidings_alert_signals_late_total"), "late"),
                query(rate("tidings_alert_signals_future_total"), "from the future"),
                query(rate("tidings_alert_signals_undecodable_total"), "unreadable"),
            ),
            runbooks=("TidingsSignalsLate", "TidingsSignalsUndecodable"),
        ),
        Panel(
            "Redis",
            "Calls made again, commits refused because another worker has the partition, partitions rebuilt; in five minutes.",
            "short",
            (
                query("sum(increase(tidings_alert_store_retries_total{$s}[5m]))", "calls made again"),
                query("sum(increase(tidings_alert_fenced_total{$s}[5m]))", "refused"),
                query("sum(increase(tidings_alert_partitions_rebuilt_total{$s}[5m]))", "rebuilt"),
            ),
            (1,),
            runbooks=("TidingsRedisFailing", "TidingsRedisRebuilt"),
        ),
        Panel(
            "Rules in force",
            "Whether each worker's rule file is in force (1) or wrong (0).",
            "short",
            (query("min by (instance) (tidings_rules_last_reload_successful{$s})", "{{instance}}"),),
            runbooks=("TidingsRulesReloadFailed",),
        ),
        Panel(
            "Notifications",
            "Tries, by receiver; empty unless the role notify runs.",
            "ops",
            (query(rate("tidings_notifications_total", "receiver, integration"), "{{receiver}} {{integration}}"),),
            runbooks=_PER_ALERT,
        ),
        Panel(
            "Notifications that failed",
            "By receiver and reason; empty unless the role notify runs.",
            "ops",
            (query(rate("tidings_notifications_failed_total", "receiver, reason"), "{{receiver}} {{reason}}"),),
            runbooks=_PER_ALERT,
        ),
        Panel(
            "One notification, p99",
            "One try, from the connection to the answer; empty unless the role notify runs.",
            "s",
            (query(quantile(0.99, "tidings_notification_latency_seconds", "receiver"), "{{receiver}}"),),
            (5, 10),
        ),
        Panel(
            "Groups that wait",
            "Groups of alerts with news that their receiver was not told of yet; empty unless the role notify runs.",
            "short",
            (query("sum by (receiver) (tidings_notification_queue{$s})", "{{receiver}}"),),
            runbooks=("TidingsNotifyFailing", "TidingsNotifyOverflowed"),
        ),
    ),
)
