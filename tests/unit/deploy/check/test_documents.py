"""The commands by which README.md and docs/deployment.md lead to a running system: few, and each about what is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deploy.check.chart import CHART, Helm
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
