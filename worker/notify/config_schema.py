"""JSON Schema of notify.yaml, from the models that check it, for editors and other programs. Pure.

It cannot say what takes more than one field: receivers that are named and not there, one of `url` and `url_file`.
"""

from typing import Any

from worker.alert.parameters import duration_text
from worker.alert.rule_schema import DIALECT
from worker.notify.parts import NotifyFile


def notify_schema() -> dict[str, Any]:
    """Return the schema; durations are texts in it, as in the file."""
    schema = NotifyFile.model_json_schema(by_alias=True)
    for model in (schema, *schema["$defs"].values()):
        model["properties"] = {name: _field(field) for name, field in model["properties"].items()}
    return {"$schema": DIALECT, **schema, "title": "Tidings notifications"}


def _field(field: dict[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in field.items() if key not in {"title", "default"}}
    default = field.get("default")
    if default is not None and not isinstance(default, dict | list):
        is_duration = field.get("type") == "string" and "examples" in field
        said["default"] = duration_text(default) if is_duration else default
    return said
