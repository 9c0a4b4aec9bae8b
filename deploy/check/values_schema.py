"""values.schema.json: written by hand but for the settings, which are the worker's own, so that Helm refuses what it would.

`python -m deploy.check --write` writes it anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.check.chart import CHART
from deploy.check.configured import paths
from worker.settings import Settings

FILE = CHART / "values.schema.json"
HAND_WRITTEN = Path(__file__).with_name("values.base.json")
Schema = dict[str, Any]
_NOT_HELMS = ("title", "default", "description", "writeOnly", "format")


def schema() -> Schema:
    """Return the whole, with the worker's settings and the paths that a secret may have."""
    found: Schema = json.loads(HAND_WRITTEN.read_text(encoding="utf-8"))
    settings = _trimmed(Settings.model_json_schema())
    found["$defs"] = {**found.get("$defs", {}), **settings.pop("$defs")}
    found["$defs"]["settings"] = {**settings, "additionalProperties": False}
    found["$defs"]["settingPath"] = {"enum": sorted(paths())}
    return found


def text() -> str:
    """Return the file's content."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def outdated(chart: Path = CHART) -> Iterator[str]:
    """Whether the file is as it would be written now."""
    if (chart / FILE.name).read_text(encoding="utf-8") != text():
        yield f"{FILE.name} does not hold the settings as they are: python -m deploy.check --write"


def _trimmed(node: Any) -> Any:
    """Leave out what Helm has no use for; but a property may have such a name."""
    if isinstance(node, list):
        return [_trimmed(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _trimmed(value) for name, value in item.items()} if key in {"properties", "$defs"} else _trimmed(item)
        for key, item in node.items()
        if key not in _NOT_HELMS
    }
