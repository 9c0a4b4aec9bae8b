"""What the Prometheus operator is given: rules whose runbooks can be opened, and targets that the rules know by their job."""

import json
import re
from typing import Any

import pytest
import yaml

from deploy.check.chart import CHART, Helm, RenderError
from tests.unit.deploy.check.spoiling import Objects

BASE = "https://git.example.com/tidings/blob/main/"
WATCHED: dict[str, Any] = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}


def alerts(objects: Objects) -> dict[str, Any]:
    """The alert rules of all PrometheusRules, by name and severity."""
    groups = [group for item in objects if item["kind"] == "PrometheusRule" for group in item["spec"]["groups"]]
    found = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {f"{rule['alert']} {rule['labels']}": rule for rule in found}


@pytest.mark.parametrize("base", ["", BASE])
def test_runbooks_stand_where_the_values_say(helm: Helm, base: str) -> None:
    """Every alert's page has the address before it that is given, and nothing else of the rules is changed by it."""
    plain = alerts(helm.render((), {"monitoring": WATCHED}))
    given = WATCHED | {"prometheusRule": {"enabled": True, "runbookBase": base}}
    found = alerts(helm.render((), {"monitoring": given}))
    assert len(found) > 30
    for name, rule in found.items():
        assert rule["annotations"].pop("runbook_url") == f"{base}docs/runbooks/{rule['alert']}.md"
        assert rule == plain[name] | {"annotations": rule["annotations"]}


def test_panels_lead_to_the_same_place(helm: Helm) -> None:
    """The links on the dashboards have the address before them, too."""
    given = {"dashboards": {"enabled": True}, "prometheusRule": {"enabled": True, "runbookBase": BASE}}
    maps = [
        item for item in helm.render((), {"monitoring": given}) if item["metadata"]["name"].startswith("tidings-dashboard-")
    ]
    boards = [json.loads(text) for item in maps for text in item["data"].values()]
    urls = {link["url"] for board in boards for panel in board["panels"] for link in panel.get("links", ())}
    runbooks = {url for url in urls if "docs/runbooks/" in url}
    assert len(runbooks) > 5
    assert [url for url in runbooks if not url.startswith(f"{BASE}docs/runbooks/")] == []


def test_production_leads_to_its_runbooks(rendered: dict[str, Objects]) -> None:
    """The example of a production sets an address: a pager cannot open a path."""
    urls = {rule["annotations"]["runbook_url"] for rule in alerts(rendered["production"]).values()}
    assert len(urls) > 20
    assert [url for url in urls if not url.startswith(BASE)] == []


@pytest.mark.parametrize("base", [BASE.rstrip("/"), "docs/", f"{BASE}?a=/"])
def test_an_address_that_leads_nowhere_is_refused(helm: Helm, base: str) -> None:
    """Without its scheme or the / at its end it would be grown together with the page's path."""
    with pytest.raises(RenderError, match="runbookBase"):
        helm.render((), {"monitoring": WATCHED | {"prometheusRule": {"enabled": True, "runbookBase": base}}})


WORKERS = {"score", "alert", "notify"}


def targets(objects: Objects) -> dict[str, dict[str, str]]:
    """Each component's labels as Prometheus has them: the Service's name as the job, and what is relabelled over it."""
    found = {}
    for monitor in (item for item in objects if item["kind"] == "ServiceMonitor"):
        (service,) = [item for item in objects if item["kind"] == "Service" and selected(monitor, item)]
        (endpoint,) = monitor["spec"]["endpoints"]
        given = {step["targetLabel"]: step["replacement"] for step in endpoint.get("relabelings", ())}
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        found[component] = {"job": service["metadata"]["name"]} | given
    return found


def selected(monitor: dict[str, Any], service: dict[str, Any]) -> bool:
    """Whether the monitor scrapes this Service."""
    labels: dict[str, str] = service["metadata"]["labels"]
    asked: dict[str, str] = monitor["spec"]["selector"]["matchLabels"]
    return asked.items() <= labels.items()


@pytest.mark.parametrize(
    "names", [{}, {"fullnameOverride": "mood"}, {"nameOverride": "mood"}, {"fullnameOverride": "tidings"}], ids=str
)
def test_workers_are_known_by_their_job_whatever_the_release_is_called(helm: Helm, names: dict[str, str]) -> None:
    """TidingsWorkerDown looks at every worker and at nobody else: not at Triton, whose Service may be called tidings-triton."""
    found = targets(helm.render((), {"monitoring": WATCHED, "notify": {"enabled": True}, **names}))
    down = next(rule for rule in alerts_as_written() if rule["alert"] == "TidingsWorkerDown")
    ((operator, job),) = re.findall(r'^up\{job(=~?)"(.+)"\} == 0$', down["expr"])
    asked = {one for one, labels in found.items() if re.fullmatch(job if operator == "=~" else re.escape(job), labels["job"])}
    assert found.keys() == {*WORKERS, "triton"}
    assert asked == WORKERS
    assert {one: found[one].get("component") for one in WORKERS} == {one: one for one in WORKERS}


def test_compose_scrapes_workers_as_the_same_job() -> None:
    """So that the rules, which are the chart's, hold there too; each target bears its role as `component`."""
    scraped = yaml.safe_load((CHART.parents[1] / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    (workers,) = [one for one in scraped if one["job_name"] == "tidings"]
    assert {name for found in workers["dns_sd_configs"] for name in found["names"]} == WORKERS
    assert workers["relabel_configs"] == [{"source_labels": ["__meta_dns_name"], "target_label": "component"}]


def alerts_as_written() -> list[dict[str, Any]]:
    """The alert rules of the chart's file."""
    groups = yaml.safe_load((CHART / "files" / "rules" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]
