"""Kubernetes' own schemas, strict, as the package kubernetes-validate carries them; the operators' from their Go types.

The latter lie in `crds/`: made by controller-gen from the types of KEDA, the Prometheus operator and External Secrets, as
`crds/README.md` says, with no field beyond those that are known.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from deploy.check.chart import Object, name_of

OLDEST, NEWEST = "1.31.0", "1.37.0"
"""What the chart says it needs, and the newest that the package knows."""
CRDS = Path(__file__).with_name("crds")
Schema = dict[str, Any]
_REFERENCE = re.compile(r'(?:/api/_definitions\.json)?#/\$defs/([^"]+)"')


def faults(objects: Sequence[Object], version: str) -> Iterator[str]:
    """What is wrong with the objects, by the schemas of a version; no objects are a fault, and one that has no schema is."""
    if not objects:
        yield "there are no objects to look at"
    for item in objects:
        validator = _validator(item["apiVersion"], item["kind"], version)
        if validator is None:
            yield f"{name_of(item)}: no schema for {item['apiVersion']} {item['kind']}"
            continue
        for error in validator.iter_errors(item):
            yield f"{name_of(item)}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def file_name(api_version: str, kind: str) -> str:
    """The file of a schema, as kubeconform asks for it: `deployment-apps-v1.json`, `service-v1.json`."""
    group, _, release = api_version.rpartition("/")
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], release))) + ".json"


@cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator | None:
    schema = schema_of(api_version, kind, version)
    return Draft202012Validator(schema) if schema is not None else None


@cache
def schema_of(api_version: str, kind: str, version: str) -> Schema | None:
    """Return a schema that needs no other file, None where there is none."""
    name = file_name(api_version, kind)
    own = CRDS / name
    if own.is_file():
        found: Schema = json.loads(own.read_text(encoding="utf-8"))
        return found
    path = _package() / f"v{version}-local-strict" / name
    return _standalone(json.loads(path.read_text(encoding="utf-8")), version) if path.is_file() else None


def write(folder: Path, objects: Sequence[Object], version: str) -> None:
    """Write the schemas of these objects for kubeconform."""
    folder.mkdir(parents=True, exist_ok=True)
    for api_version, kind in {(item["apiVersion"], item["kind"]) for item in objects}:
        if (schema := schema_of(api_version, kind, version)) is not None:
            (folder / file_name(api_version, kind)).write_text(json.dumps(schema), encoding="utf-8")


def _package() -> Path:
    spec = find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("kubernetes-validate is not installed: make setup")
    return Path(spec.origin).parent / "kubernetes-json-schema"


@cache
def _definitions(version: str) -> Schema:
    text = (_package() / f"v{version}-local-strict" / "_definitions.json").read_text(encoding="utf-8")
    found: Schema = json.loads(text)["$defs"]
    return found


def _standalone(schema: Schema, version: str) -> Schema:
    """Put what is referred to into the schema itself; the package's references are to addresses."""
    known, wanted = _definitions(version), [schema]
    defs: Schema = {}
    while wanted:
        for name in set(_REFERENCE.findall(json.dumps(wanted.pop()))) - defs.keys():
            defs[name] = known[name]
            wanted.append(known[name])
    text = json.dumps({**schema, "$defs": defs}).replace("/api/_definitions.json#", "#")
    found: Schema = json.loads(text)
    found.pop("$id", None)
    return found
