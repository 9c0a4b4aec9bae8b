"""Rules and dashboards name metrics that are exported: by a worker, by Triton, or by a rule that records them.

What a worker exports is asked of the code that exports it, every role and part of it present.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from prometheus_client import Metric

from worker.notify.config import parse_notify
from worker.ops.health import Health
from worker.ops.metrics import WorkerCollector, registry
from worker.ops.notifying import ReceiversWatch
from worker.ops.shadowed import ShadowWatch
from worker.ops.watch import ModelWatch, RoleWatch
from worker.score.shadow import ShadowCounts

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
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
_NOT_NAMES = frozenset(
    {
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "inf",
        "nan",
        "le",
        "start",
        "end",
        "atan2",
        "__name__",
    }
)
_NOTIFY = "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'https://a.example'}]}]\n"


def exported() -> frozenset[str]:
    """Return every name that a series of the worker's may have."""
    names: set[str] = set()
    for family in registry(_everything()).collect():
        kind = family.type
        names.update(f"{family.name}{suffix}" for suffix in _SUFFIXES.get(kind, ("",)))
    return frozenset(names)


def families() -> list[Metric]:
    """Return the worker's own families, for their help and labels."""
    return [family for family in registry(_everything()).collect() if family.name.startswith("tidings_")]


def unknown(chart: Path) -> Iterator[str]:
    """Each metric that a rule or a dashboard of the chart names and nobody exports."""
    rules, dashboards = rule_files(chart), dashboard_files(chart)
    known = exported() | _TRITON | {rule["record"] for path in rules for rule in _rules(path) if "record" in rule}
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


def names_in(expression: str) -> set[str]:
    """Return the metrics that an expression of PromQL names."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', '""', str(expression))
    text = re.sub(r"\{[^{}]*\}", "{}", text)
    text = re.sub(r"\[[^\[\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", "", text)
    found = re.findall(r"(?<![\w:$.])([a-zA-Z_:][\w:]*)\b(?!\s*\()", text)
    return {name for name in found if name.lower() not in _NOT_NAMES and not re.fullmatch(r"\d\w*|[smhdwy]|ms", name)}


def _strange(where: str, expressions: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    for expression in expressions:
        for name in sorted(names_in(expression) - set(known)):
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
                yield re.sub(r"\$\{?\w+(:\w+)?\}?", "x", re.sub(r"\[\$[^\]]*\]", "", value))
            else:
                yield from _queries(value)
    elif isinstance(node, list):
        for item in node:
            yield from _queries(item)


def _everything() -> WorkerCollector:
    """A worker with every role and every optional part, none of which does anything."""
    health = Health(1.0, lambda: 0.0, lambda: 0.0)
    model = ModelWatch()
    roles = {name: RoleWatch(name, health) for name in ("score", "alert", "notify")}
    file: Any = SimpleNamespace(successful=True, succeeded_at_s=0.0, version="1")
    score: Any = SimpleNamespace(counts=_Zeros(), in_hand=0, breaker=SimpleNamespace(phase="closed"), holding=None)
    roles["score"].role, roles["score"].release = score, file
    roles["score"].shadow = ShadowWatch(ShadowCounts(), model)
    roles["alert"].rules = file
    roles["notify"].receivers = ReceiversWatch(parse_notify(_NOTIFY, "notify.yaml").targets)
    return WorkerCollector(roles.values(), model, health, "0", lambda: 0.0)


class _Zeros:
    """Counts of whatever is asked for."""

    def __getattr__(self, name: str) -> int:
        return 0
