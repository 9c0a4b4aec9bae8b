"""What the Prometheus operator is given: rules whose runbooks can be opened, and targets that the rules know by their job."""

from typing import Any

import pytest

from deploy.check.chart import Helm, RenderError
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
