"""Grafana dashboards as JSON, made from `flow_panels.py` and `model_panels.py`.

`python -m deploy.prometheus.dashboards` writes them beside the chart; a test holds the files to it. The format is that of
Grafana's classic dashboards, schema version 39. The chart puts the address of the runbooks before `docs/runbooks/`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.prometheus.flow_panels import FLOW, KAFKA
from deploy.prometheus.model_panels import ALERTS, MODEL
from deploy.prometheus.panel import Dashboard, Panel, Query

DASHBOARDS = (FLOW, KAFKA, MODEL, ALERTS)
FOLDER = Path(__file__).parents[1] / "helm/tidings/files/dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDE = 24
_COLOURS = ("green", "yellow", "red")


def documents() -> dict[str, str]:
    """Return the files by name."""
    return {f"{one.uid}.json": json.dumps(_document(one), indent=2, ensure_ascii=False) + "\n" for one in DASHBOARDS}


def _document(one: Dashboard) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "title": one.title,
        "description": one.description,
        "tags": ["tidings"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["tidings"], "title": "Tidings", "asDropdown": True, "includeVars": True}],
        "annotations": {"list": [_alerts()]},
        "templating": {"list": [_data_source(), *(_variable(name) for name in ("namespace", "instance"))]},
        "panels": list(_panels(one)),
    }


def _alerts() -> dict[str, Any]:
    expression = 'ALERTS{alertname=~"Tidings.*",alertstate="firing"}'
    shown = {"titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{instance}}", "iconColor": "red"}
    return {"name": "Alerts", "datasource": _SOURCE, "enable": True, "expr": expression, "step": "60s", **shown}


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(name: str) -> dict[str, Any]:
    """Return a choice among the label's values; `All` matches workers without the label too."""
    within = '{namespace=~"$namespace"}' if name != "namespace" else ""
    query = f"label_values(tidings_build_info{within}, {name})"
    choice = {"includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    asked = {"query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1}
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": _SOURCE, **asked, **choice}


def _panels(one: Dashboard) -> Iterator[dict[str, Any]]:
    """Lay the panels out from left to right, as many rows as it takes."""
    x = y = row_height = 0
    for number, panel in enumerate(one.panels, 1):
        if x + panel.width > _WIDE:
            x, y, row_height = 0, y + row_height, 0
        yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
        x, row_height = x + panel.width, max(row_height, panel.height)


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    links = [{"title": f"Runbook: {name}", "url": f"docs/runbooks/{name}.md", "targetBlank": True} for name in panel.runbooks]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "links": links,
        "targets": [_target(query, chr(ord("A") + index)) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(query: Query, ref: str) -> dict[str, Any]:
    return {"refId": ref, "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend, "range": True}


def _defaults(panel: Panel) -> dict[str, Any]:
    """Return unit, least value, and thresholds: red from the last on, or below the first where less is worse."""
    colours = tuple(reversed(_COLOURS)) if panel.less_is_worse else _COLOURS
    steps: list[dict[str, Any]] = [{"color": colours[0], "value": None}]
    beyond = colours[-len(panel.thresholds) :] if panel.thresholds else ()
    steps += [{"color": colour, "value": value} for colour, value in zip(beyond, panel.thresholds, strict=True)]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        style = "dashed" if panel.thresholds else "off"
        drawn = {"lineWidth": 1, "fillOpacity": 20 if panel.stacked else 5, "showPoints": "never", "spanNulls": False}
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {**drawn, "stacking": stacking, "thresholdsStyle": {"mode": style}}
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"colorMode": "background", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto"}
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max", "lastNotNull"]}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def write() -> None:
    """Write the files."""
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
