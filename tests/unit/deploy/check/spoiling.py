"""Ways to an object of the chart, to spoil it."""

import re
from typing import Any

from deploy.check.chart import Object

Objects = list[Object]


def one(objects: Objects, kind: str, name: str) -> Any:
    """The object of this kind and name."""
    return next(item for item in objects if item["kind"] == kind and re.fullmatch(name, item["metadata"]["name"]))


def pod(objects: Objects, name: str) -> Any:
    """The pod of a Deployment."""
    return one(objects, "Deployment", f"tidings-{name}")["spec"]["template"]["spec"]
