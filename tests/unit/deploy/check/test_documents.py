"""The commands by which README.md and docs/deployment.md lead to a running system: few, and each about what is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deploy.check import examples
from deploy.check.chart import CHART, NAMESPACE, Helm, Object
from tests.security import permissions
from tests.unit.deploy.check.spoiling import one
from worker.cli import build

ROOT = CHART.parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "deployment.md"]
ENVIRONMENT = {"$REGISTRY": "registry.example.com"}


def commands(path: Path) -> list[list[str]]:
    """The words of each command of the block that installs the chart; parts that are joined by && or | are commands each."""
    block = next(text for text in re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL) if "helm upgrade" in text)
    for name, value in ENVIRONMENT.items():
        block = block.replace(name, value)
    lines = [line for line in block.replace("\\\n", " ").splitlines() if line]
    return [shlex.split(line, comments=True) for line in lines]


def parts(path: Path) -> list[list[str]]:
    """The same, taken apart at && and |."""
    found: list[list[str]] = [[]]
    for word in (word for line in commands(path) for word in [*line, "&&"]):
        if word in {"&&", "|"}:
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_ten_commands_lead_to_a_running_system(path: Path) -> None:
    """Lines as they are pasted; each file that they name is in the repository, each target in the Makefile."""
    assert 5 <= len(commands(path)) <= 10
    named = {word for part in parts(path) for word in part if word.startswith(("deploy/", "worker/", "triton_repo/"))}
    named -= {word for part in parts(path) if part[0] == "kubectl" for word in part if word.startswith("deploy/tidings-")}
    assert len(named) >= 4
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {part[1] for part in parts(path) if part[0] == "make"} <= set(targets)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_install_renders_what_later_commands_ask_for(helm: Helm, path: Path, tmp_path: Path) -> None:
    """`helm upgrade` over the production values takes both images as they were built; what is looked into later is there."""
    (install,) = [part for part in parts(path) if part[:2] == ["helm", "upgrade"]]
    assert install[2:5] == ["--install", "tidings", "deploy/helm/tidings"]
    sets = dict(install[at + 1].split("=", 1) for at, word in enumerate(install) if word == "--set")
    values = tmp_path / "set.yaml"
    values.write_text(yaml.safe_dump(_nested(sets)))
    objects = helm.render((CHART / "values-production.yaml", values))
    pod = one(objects, "Deployment", "tidings-score")["spec"]["template"]["spec"]
    images = {container["image"] for container in pod["containers"]}
    images |= {volume["image"]["reference"] for volume in pod["volumes"] if "image" in volume}
    assert images == {part[part.index("-t") + 1] for part in parts(path) if part[:2] == ["docker", "build"]}
    for part in (part for part in parts(path) if part[0] == "kubectl" and "exec" in part):
        deployment, at = part[part.index("exec") + 1], part.index("--")
        assert one(objects, "Deployment", deployment.removeprefix("deploy/"))
        program: Any = get_command(build())
        assert part[at + 1] == "tidings"
        assert part[at + 2] in program.commands


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_namespace_is_made_before_it_is_used(path: Path) -> None:
    """Those of the examples too."""
    made = commands(path)[next(at for at, line in enumerate(commands(path)) if "namespace" in line)]
    first_apply = next(at for at, line in enumerate(commands(path)) if line[:2] == ["kubectl", "apply"])
    assert commands(path).index(made) < first_apply
    names = set(made[made.index("in") + 1 : made.index("do") - 1]) | {made[made.index("do") - 1].rstrip(";")}
    assert names == {NAMESPACE, *(item["metadata"].get("namespace", NAMESPACE) for item in examples.objects())}


def test_every_secret_is_fetched_or_named(rendered: dict[str, list[Object]]) -> None:
    """What production's pods and scalers refer to comes from the vault; docs/deployment.md names each, and the examples'."""
    objects = rendered["production"]
    fetched = {item["spec"]["target"]["name"] for item in objects if item["kind"] == "ExternalSecret"}
    wanted = set(_secrets(objects))
    assert wanted == fetched
    named = (ROOT / "docs" / "deployment.md").read_text()
    asked = wanted | set(_secrets(examples.objects()))
    assert {name for name in asked if f"`{name}`" not in named} == set()


def test_the_user_for_all_roles_may_do_what_each_may(rendered: dict[str, list[Object]]) -> None:
    """And nothing beyond; it is the one that production's values name."""
    words = {name: set(permissions.redis_command(name)) for name in ("tidings", "tidings-notify", "tidings-all")}
    every = {name: {word for word in found if word[0] in "~&+"} for name, found in words.items()}
    assert every["tidings-all"] == every["tidings"] | every["tidings-notify"]
    told = one(rendered["production"], "ConfigMap", "tidings-settings")["data"]["tidings.yaml"]
    assert yaml.safe_load(told)["redis"]["username"] == "tidings-all"


def _secrets(item: Any) -> Iterator[str]:
    """The names of the Secrets that anything in it refers to."""
    if isinstance(item, list):
        for part in item:
            yield from _secrets(part)
    elif isinstance(item, dict) and item.get("kind") != "ExternalSecret":
        for name, part in item.items():
            if name in {"secretKeyRef", "secretTargetRef", "redisSecret"}:
                yield from (one["name"] for one in (part if isinstance(part, list) else [part]))
            elif name == "secretName":
                yield part
            else:
                yield from _secrets(part)


def _nested(sets: dict[str, str]) -> dict[str, Any]:
    """`a.b=c` as values."""
    found: dict[str, Any] = {}
    for name, value in sets.items():
        *way, last = name.split(".")
        place = found
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return found
