"""Schemas of the operators' objects from their CustomResourceDefinitions, and definitions from these schemas.

`python -m deploy.check.definitions FILE.yaml ...` writes the first into `crds/`, as its README says; a kube-apiserver is given
the second.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.check.chart import Object
from deploy.check.schemas import CRDS, Schema, file_name

_LIMITS = {f"{bound}{of}" for bound in ("min", "max") for of in ("imum", "Items", "Length", "Properties")}
_KEPT = {"type", "enum", "pattern", "required", "oneOf", "anyOf", *_LIMITS}
_OPEN = "x-kubernetes-preserve-unknown-fields"
_EITHER = "x-kubernetes-int-or-string"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of_definition(definition: Object) -> Schema:
    """Return the newest version's schema, without descriptions and status, closed to fields that it does not name."""
    spec = definition["spec"]
    version = spec["versions"][-1]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    return {
        "$schema": _DRAFT,
        "properties": {
            "apiVersion": {"const": f"{spec['group']}/{version['name']}"},
            "kind": {"const": spec["names"]["kind"]},
            "metadata": {"type": "object"},
            "spec": _closed(properties["spec"]),
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "type": "object",
        "additionalProperties": False,
    }


def definition_of_schema(schema: Schema) -> Object:
    """Return a CustomResourceDefinition that takes what the schema takes: what it closes, a server refuses, if strict."""
    group, _, version = schema["properties"]["apiVersion"]["const"].partition("/")
    kind = schema["properties"]["kind"]["const"]
    names = {"kind": kind, "listKind": f"{kind}List", "singular": kind.lower(), "plural": f"{kind.lower()}s"}
    properties = {"spec": _structural(schema["properties"]["spec"]), "status": {"type": "object", _OPEN: True}}
    known = {"openAPIV3Schema": {"type": "object", "properties": properties, "required": ["spec"]}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": known}],
        },
    }


def definitions() -> list[Object]:
    """Return those of all schemas in `crds/`."""
    return [definition_of_schema(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(CRDS.glob("*.json"))]


def _closed(node: Schema) -> Schema:
    """As JSON Schema: what is an object of named fields has no others."""
    if node.get(_EITHER):
        return {"type": ["integer", "string"], **{key: node[key] for key in ("pattern",) if key in node}}
    made = {key: value for key, value in node.items() if key in _KEPT}
    if "items" in node:
        made["items"] = _closed(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _closed(node["additionalProperties"])
    if "properties" in node:
        made["properties"] = {name: _closed(value) for name, value in node["properties"].items()}
        made["additionalProperties"] = bool(node.get(_OPEN))
    return made


def _structural(node: Schema) -> Schema:
    """As a server takes it: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/."""
    if isinstance(node.get("type"), list):
        return {_EITHER: True, **{key: node[key] for key in ("pattern",) if key in node}}
    made: dict[str, Any] = {key: value for key, value in node.items() if key in _KEPT}
    if "items" in node:
        made["items"] = _structural(node["items"])
    if "properties" in node:
        made["properties"] = {name: _structural(value) for name, value in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(node["additionalProperties"])
    elif node.get("additionalProperties", "properties" not in node) and (node.get("type") == "object" or not node):
        made[_OPEN] = True
    return made


def _write(files: Sequence[str]) -> None:
    for name in files:
        for definition in yaml.safe_load_all(Path(name).read_text(encoding="utf-8")):
            schema = schema_of_definition(definition)
            kind, version = schema["properties"]["kind"]["const"], schema["properties"]["apiVersion"]["const"]
            text = json.dumps(schema, separators=(",", ":"))
            (CRDS / file_name(version, kind)).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    _write(sys.argv[1:])
