"""Rules, runbooks and dashboards say the same as the code; tests/integration/test_prometheus.py shows them to Prometheus."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deploy.prometheus import dashboards, slos
from deploy.prometheus.queries import filled_in, metrics_of
from worker.cli import build
from worker.notify.config import parse_notify
from worker.ops.catalogue import catalogue, sample_names
from worker.ops.health import Health
from worker.ops.latency import BOUNDS_S
from worker.ops.metrics import WorkerCollector
from worker.ops.notifying import ReceiversWatch
from worker.ops.watch import ModelWatch, RoleWatch
from worker.settings import Settings

ROOT = Path(__file__).parents[3]
RULES = sorted((ROOT / "deploy/helm/tidings/files/rules").glob("*.yaml"))
PROMTOOL = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
RUNBOOKS = ROOT / "docs/runbooks"
NOT_OURS = {"up", "ALERTS"}
TRITON = {"nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us", "nv_inference_request_success"}


@cache
def rules() -> list[dict[str, Any]]:
    """All rules of all files."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for rule in rules() if "alert" in rule]


def queries() -> list[tuple[str, str]]:
    """Every panel's every query, with the panel's title."""
    told = [json.loads(text) for text in dashboards.documents().values()]
    panels = [panel for one in told for panel in one["panels"]]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def known() -> set[str]:
    """What a query may name."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return {*sample_names(), *recorded, *NOT_OURS, *TRITON}


def test_the_files_are_current() -> None:
    """The objectives' rules and the dashboards are what the code makes."""
    assert slos.RULES.read_text() == slos.text(), "python -m deploy.prometheus.slos"
    found = {path.name: path.read_text() for path in dashboards.FOLDER.glob("*.json")}
    assert found == dashboards.documents(), "python -m deploy.prometheus.dashboards"


def test_rules_name_metrics_that_a_worker_exports() -> None:
    """Or those of Prometheus itself, or recorded ones. A renamed metric turns this red."""
    assert {name: rule for rule in rules() for name in metrics_of(rule["expr"]) - known()} == {}


def test_dashboards_name_metrics_that_a_worker_exports() -> None:
    """Or Triton's, of which one panel says so."""
    assert {title: name for title, query in queries() for name in metrics_of(filled_in(query)) - known()} == {}


def test_a_bound_that_an_objective_names_is_a_bucket() -> None:
    """Else the series is not there and nothing ever burns."""
    named = {
        float(bound) for rule in rules() for bound in re.findall(r'latency_seconds_bucket\{[^}]*le="([^"]+)"', rule["expr"])
    }
    assert named
    assert named <= set(BOUNDS_S)


@pytest.mark.parametrize("alert", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook_a_severity_and_a_test(alert: dict[str, Any]) -> None:
    """The page has its name and says meaning, impact, diagnosis and mitigation; promtool's tests expect it to fire."""
    name = alert["alert"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert all(f"**{part}" in text for part in ("Meaning.", "Impact.", "Diagnosis", "Mitigation"))
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r".+\.", alert["annotations"]["summary"])
    tested = "".join(path.read_text() for path in PROMTOOL)
    assert f'alertname="{name}"' in tested


def test_promtool_is_told_of_series_that_a_worker_exports() -> None:
    """A count that a test lets begin at 0 is there at 0 in a worker to which nothing has happened yet, label for label.

    Where it is born with the first event instead, `increase` and `rate` do not see that one, and the test would be a lie.
    """
    told = [_series(text) for path in PROMTOOL for text in re.findall(r"series: '([^']+)'", path.read_text())]
    counted = {(name, labels) for name, labels in told if name.endswith("_total")}
    assert len(counted) > 15
    assert counted - _exported_at_first() == set()


def _series(text: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A series' name and those labels that the worker's code knows by heart; the others are the scrape's and the users'."""
    name, _, labels = text.partition("{")
    return name, _known(dict(re.findall(r'(\w+)="([^"]*)"', labels)))


def _known(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if name in {"role", "reason"})


def _exported_at_first() -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """What a worker with all roles exports at 0 before they are built."""
    health = Health(1.0, lambda: 0.0, lambda: 0.0)
    roles = [RoleWatch(name, health) for name in ("score", "alert", "notify")]
    hook = "route: {receiver: team}\nreceivers: [{name: team, webhook_configs: [{url: https://example.org/hook}]}]"
    roles[-1].receivers = ReceiversWatch(parse_notify(hook, "notify.yaml").targets)
    families = WorkerCollector(roles, ModelWatch(), health, "0").collect()
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, _known(sample.labels)) for sample in samples if sample.value == 0}


def test_each_runbook_has_its_alert_and_stands_in_the_list() -> None:
    """No page outlives its alert; links between pages lead somewhere."""
    names = {alert["alert"] for alert in alerts()}
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md")}
    assert pages.keys() - {"README"} == names
    linked = {target for text in pages.values() for target in re.findall(r"\((\w+)\.md\)", text)}
    assert linked == names


def test_runbooks_name_what_there_is() -> None:
    """Metrics, settings and commands: who reads them at night has no time to find out that one was renamed."""
    text = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    families = {one.name for one in catalogue()}
    assert set(re.findall(r"\btidings_[a-z_]+\b", text)) - sample_names() - families == set()
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", text)
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    settings = [(section, name) for section, name in named if section in sections]
    assert len(settings) > 10
    assert [one for one in settings if one[1] not in getattr(sections[one[0]], "model_fields", {})] == []
    group: Any = get_command(build())
    told = [match.split() for match in re.findall(r"`tidings ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", text)]
    assert len(told) > 10
    assert [words for words in told if not _is_command(group, words)] == []


def _is_command(group: Any, words: list[str]) -> bool:
    command = group.commands.get(words[0])
    inner = getattr(command, "commands", None)
    return command is not None and (inner is None or words[1:] == [] or words[1] in inner)


def test_panels_say_what_they_mean() -> None:
    """Each has a description, a unit, links to runbooks that exist, and a place that no other has."""
    for text in dashboards.documents().values():
        panels = json.loads(text)["panels"]
        assert all(re.fullmatch(r".+\.", panel["description"]) and panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
        links = [link["url"] for panel in panels for link in panel["links"]]
        assert [link for link in links if not (ROOT / link).is_file()] == []
        taken = [(x, y) for panel in panels for x, y in _squares(panel["gridPos"])]
        assert len(taken) == len(set(taken))
        assert max(x for x, _ in taken) < 24


def _squares(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (a) (rate(x_total{b="y_total"}[5m])) / on (c) group_left () (1 - z:w)', {"x_total", "z:w"}),
        ("absent(x) or up == bool 0 and vector(0.5)", {"x", "up"}),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket[10m]))) > 1e3", {"h_bucket"}),
    ],
)
def test_the_metrics_of_a_query(expression: str, names: set[str]) -> None:
    """Selectors alone: no functions, labels, strings or keywords."""
    assert metrics_of(expression) == names
