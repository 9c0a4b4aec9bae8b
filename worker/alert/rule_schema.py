"""JSON Schema of the rule file, from the models that check it, for editors and other programs. Pure.

What it refuses, Tidings refuses. It cannot say what takes more than one field: names that differ, a bucket that divides the
window.
"""

from typing import Any

from worker.alert.parameters import duration_text
from worker.alert.rules import RuleFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MADE_UP = {"window", "bucket", "resolve_below"}
"""Their default depends on the detector, or on another field; their description says how."""


def rules_schema() -> dict[str, Any]:
    """Return the schema; durations are texts in it, as in the file."""
    schema = RuleFile.model_json_schema(by_alias=True)
    for model in (schema, *schema["$defs"].values()):
        model["properties"] = {name: _field(name, field) for name, field in model["properties"].items()}
    return {"$schema": DIALECT, **schema, "title": "Tidings alert rules"}


def _field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in field.items() if key not in {"title", "default", "discriminator"}}
    if "patternProperties" in said:
        said["additionalProperties"] = False
    if said.get("items", {}).get("type") == "string":
        said["anyOf"] = [{key: said.pop(key) for key in ("type", "items", "minLength") if key in said}]
    if "anyOf" in said:
        said["anyOf"] = _with_single(said["anyOf"])
    default = field.get("default")
    if default is not None and name not in _MADE_UP and not isinstance(default, dict):
        said["default"] = duration_text(default) if _is_duration(field) else default
    return said


def _with_single(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A list of names may be written as one name, and may have a name twice."""
    lists = [choice for choice in choices if choice.get("type") == "array"]
    for choice in lists:
        choice.pop("uniqueItems", None)
        choice["minItems"] = choice.pop("minLength", 0)
    return [*choices, *(choice["items"] for choice in lists)]


def _is_duration(field: dict[str, Any]) -> bool:
    return field.get("type") == "string" and "examples" in field
