"""Rules and dashboards name metrics that are exported: by a worker, by Triton, or by a rule that records them.

What a worker exports is asked of the code that exports it, every role and part of it present.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.prometheus.queries import metrics_of
from worker.ops.catalogue import sample_names

_STRANGERS = re.compile(r"^(up|ALERTS|ALERTS_FOR_STATE|(scrape|kube|container|kafka|redis|go|prometheus)_\w+)$")
"""Metrics of others that rules may name; `nv_` are Triton's, and known by name."""
_TRITON = frozenset(
    {
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_count",
        "nv_inference_exec_count",
        "nv_inference_request_duration_us",
        "nv_inference_queue_duration_us",
        "nv_inference_compute_input_duration_us",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us",
        "nv_inference_pending_request_count",
        "nv_gpu_utilization",
        "nv_gpu_memory_total_bytes",
        "nv_gpu_memory_used_bytes",
        "nv_gpu_power_usage",
        "nv_gpu_power_limit",
        "nv_energy_consumption",
        "nv_cpu_utilization",
        "nv_cpu_memory_total_bytes",
        "nv_cpu_memory_used_bytes",
        "nv_pinned_memory_pool_total_bytes",
        "nv_pinned_memory_pool_used_bytes",
    }
)
"""https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html."""


def unknown(chart: Path) -> Iterator[str]:
    """Each metric that a rule or a dashboard of the chart names and nobody exports."""
    rules, dashboards = rule_files(chart), dashboard_files(chart)
    known = sample_names() | _TRITON | {rule["record"] for path in rules for rule in _rules(path) if "record" in rule}
    for path in rules:
        yield from _strange(path.name, (rule["expr"] for rule in _rules(path)), known)
    for path in dashboards:
        yield from _strange(path.name, _queries(json.loads(path.read_text(encoding="utf-8"))), known)


def rule_files(chart: Path) -> list[Path]:
    """Return the chart's rule files."""
    return sorted(chart.glob("files/rules/*.yaml"))


def dashboard_files(chart: Path) -> list[Path]:
    """Return the chart's dashboards."""
    return sorted(chart.glob("files/dashboards/*.json"))


def _strange(where: str, expressions: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    for expression in expressions:
        for name in sorted(metrics_of(expression) - set(known)):
            if not _STRANGERS.match(name):
                yield f"{where}: {name} is exported by nobody"


def _rules(path: Path) -> Iterator[dict[str, Any]]:
    for group in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("groups", ()):
        yield from group["rules"]


def _queries(node: Any) -> Iterator[str]:
    """Every `expr` of a dashboard, and the queries of its variables."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr" and isinstance(value, str):
                yield value
            else:
                yield from _queries(value)
    elif isinstance(node, list):
        for item in node:
            yield from _queries(item)
