"""The chart rendered: by Helm itself, each values file by its own and laid over one another as the documents say."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "helm" / "tidings"
Object = dict[str, Any]
RELEASE = "tidings"
NAMESPACE = "sentiment"
KUBERNETES = "1.37.0"
"""Rendered for; a Helm from `go install` takes itself for one of 1.20."""
_TIMEOUT_S = 60


class RenderError(Exception):
    """Helm refused; the message is its own, on one line."""


@dataclass(frozen=True, slots=True)
class Helm:
    """The program, and the chart that it is asked about."""

    program: Path
    chart: Path = CHART

    def render(self, files: Sequence[Path] = (), values: Mapping[str, Any] | None = None) -> list[Object]:
        """Return the objects of these values, those of `helm test` too.

        Raises:
            RenderError: the chart cannot be rendered with them.
        """
        where = ["--namespace", NAMESPACE, "--kube-version", KUBERNETES]
        command = ["template", RELEASE, str(self.chart), *where, *_given(files, values)]
        text = self._run(command, yaml.safe_dump(dict(values)) if values else None)
        return [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]

    def lint(self, files: Sequence[Path] = ()) -> None:
        """Have Helm look at the chart; raises RenderError if it finds anything."""
        self._run(["lint", "--strict", str(self.chart), *_given(files, None)])

    def _run(self, arguments: Sequence[str], stdin: str | None = None) -> str:
        command = [str(self.program), *arguments]
        try:
            done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise RenderError(f"helm {arguments[0]} did not end within {_TIMEOUT_S} s: is the machine busy?") from error
        if done.returncode:
            raise RenderError(" ".join(f"{done.stdout} {done.stderr}".split()))  # lint says what is wrong on the former
        return done.stdout


def _given(files: Sequence[Path], values: Mapping[str, Any] | None) -> list[str]:
    return [part for path in files for part in ("--values", str(path))] + (["--values", "-"] if values else [])


def profiles(chart: Path = CHART) -> dict[str, tuple[Path, ...]]:
    """Return what is rendered, by name: the defaults, each values file, GPUs over the others, and the cases under ci/."""
    own = {path.stem.removeprefix("values-"): path for path in sorted(chart.glob("values-*.yaml"))}
    cases = {path.stem.removesuffix("-values"): (path,) for path in sorted(chart.glob("ci/*-values.yaml"))}
    over = {f"{name}+gpu": (path, own["gpu"]) for name, path in own.items() if name != "gpu" and "gpu" in own}
    return {"defaults": (), **{name: (path,) for name, path in own.items()}, **over, **cases}


def pods(objects: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Each object that runs pods, with the pod's specification."""
    for item in objects:
        if item["kind"] == "Pod":
            yield item, item["spec"]
        elif item["kind"] in {"Deployment", "Job", "StatefulSet", "DaemonSet"}:
            yield item, item["spec"]["template"]["spec"]


def containers(pod: Object) -> Iterator[Object]:
    """Its containers, those that run before the others too."""
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def name_of(item: Object) -> str:
    """Kind and name, as people write them."""
    return f"{item['kind']}/{item['metadata']['name']}"
