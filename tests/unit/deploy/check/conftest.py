"""The chart, rendered once for all, and copies of it to be spoilt."""

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.check import tools
from deploy.check.chart import CHART, Helm, Object, profiles

Objects = list[Object]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm, from its wheel; skipped where it cannot be had, and with CI=true that is a failure."""
    try:
        return Helm(tools.quick_helm())
    except tools.ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> dict[str, Objects]:
    """Every profile's objects."""
    return {name: helm.render(files) for name, files in profiles().items()}


@pytest.fixture
def objects(rendered: dict[str, Objects]) -> Objects:
    """The largest profile's objects, to be spoilt."""
    return copy.deepcopy(rendered["production+gpu"])


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart, to be spoilt."""
    shutil.copytree(CHART, tmp_path / "tidings")
    return tmp_path / "tidings"


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """A program that `make deploy-check` has built with Go; skipped where it has not, for building takes many minutes."""

    def path(name: str) -> Path:
        found = tools.place(name)
        if not found.is_file():
            pytest.skip(f"{name} is not in the cache: make deploy-check builds it with Go, which takes a while")
        return found

    return path
