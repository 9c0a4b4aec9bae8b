"""All checks in their order, each a `Finding` as soon as it is known."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.check import (
    apiserver,
    configured,
    examples,
    generated,
    metrics,
    policy,
    programs,
    refusals,
    schemas,
    tools,
    values_schema,
)
from deploy.check.chart import CHART, Helm, Object, RenderError, profiles
from deploy.check.finding import Finding, finding
from deploy.local.errors import LocalStackError

_WITHOUT_GO = "--quick leaves out what is built with Go"
_RULE_TESTS = Path(__file__).parents[1] / "prometheus"


@dataclass
class Run:
    """One run over a chart. `quick` takes Helm from its wheel and leaves out what is built with Go, and says so.

    Without `server` no kube-apiserver is asked, the one that takes longest to build.
    """

    chart: Path = CHART
    quick: bool = False
    server: bool = True
    objects: dict[str, list[Object]] = field(default_factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Make every check."""
        try:
            helm = Helm(tools.quick_helm() if self.quick else tools.installed("helm"), self.chart)
        except tools.ToolError as error:
            yield Finding("helm", (str(error),))
            return
        yield from self._chart(helm)
        yield from self._values()
        yield from self._programs()
        yield from self._server()

    def _chart(self, helm: Helm) -> Iterator[Finding]:
        for name, files in profiles(self.chart).items():
            yield _attempt(f"helm lint, {name}", partial(helm.lint, files))
            yield _attempt(f"helm template, {name}", partial(self._render, helm, name, files))
        yield finding("values that Helm must refuse", refusals.accepted(helm), f"{len(refusals.WRONG)} refused")

    def _render(self, helm: Helm, name: str, files: tuple[Path, ...]) -> str:
        self.objects[name] = helm.render(files)
        return f"{len(self.objects[name])} objects"

    def _values(self) -> Iterator[Finding]:
        for name, objects in self.objects.items():
            yield finding(f"settings as the worker reads them, {name}", configured.misread(objects))
            yield finding(f"rules, watchlist and receivers, {name}", configured.unreadable(objects))
            for rule in policy.RULES:
                yield finding(f"policy {rule.__name__}, {name}", rule(objects))
        every = [item for objects in self.objects.values() for item in objects]
        distinct = list({json.dumps(item, sort_keys=True): item for item in every}.values())
        for version in (schemas.OLDEST, schemas.NEWEST):
            name = f"schemas of Kubernetes {version} and of the operators"
            yield finding(name, schemas.faults(distinct, version), f"{len(distinct)} distinct objects")
        given = examples.objects()
        yield finding("schemas of the operators' examples", schemas.faults(given, schemas.NEWEST), f"{len(given)} objects")
        reach = f"{len(list(configured.paths()))} settings"
        yield finding("every setting is reachable: values.schema.json", values_schema.outdated(self.chart), reach)
        yield finding("generated files", generated.outdated(self.chart))
        count = f"in {len(metrics.rule_files(self.chart))} rule files, {len(metrics.dashboard_files(self.chart))} dashboards"
        yield finding("metrics that rules and dashboards name", metrics.unknown(self.chart), count)

    def _programs(self) -> Iterator[Finding]:
        for name, objects in self.objects.items():
            yield self._program(f"kubeconform, {name}", partial(self._kubeconform, objects))
            yield self._program(f"kube-score, {name}", partial(self._kube_score, objects))
        yield self._program("promtool: rules and their tests", self._promtool)

    def _program(self, name: str, check: Callable[[], Iterable[str]]) -> Finding:
        if self.quick:
            return Finding(name, not_run=_WITHOUT_GO)
        try:
            return finding(name, check())
        except tools.ToolError as error:
            return Finding(name, (str(error),))

    def _server(self) -> Iterator[Finding]:
        """Ask a kube-apiserver; where it cannot be had that is said, and nothing is found."""
        name = f"kube-apiserver {tools.kubernetes()}, dry run"
        if self.quick or not self.server:
            yield Finding(name, not_run=_WITHOUT_GO if self.quick else "--no-server leaves it out")
            return
        try:
            etcd, kube = tools.server("etcd"), tools.server("kube-apiserver")
        except tools.ToolError as error:
            yield Finding(name, not_run=str(error))
            return
        try:
            with apiserver.running(etcd, kube) as cluster:
                for about, objects in {**self.objects, "operators' examples": examples.objects()}.items():
                    yield finding(f"{name}, {about}", cluster.faults(objects), f"{len(objects)} objects")
        except LocalStackError as error:
            yield Finding(name, (str(error),))

    def _kubeconform(self, objects: list[Object]) -> Iterator[str]:
        return programs.kubeconform(tools.installed("kubeconform"), objects, schemas.NEWEST)

    def _kube_score(self, objects: list[Object]) -> Iterator[str]:
        return programs.kube_score(tools.installed("kube-score"), objects)

    def _promtool(self) -> Iterator[str]:
        return programs.promtool(tools.promtool(), self.chart, sorted(_RULE_TESTS.glob("tests/*.yaml")))


def _attempt(name: str, check: Callable[[], str | None]) -> Finding:
    try:
        return Finding(name, detail=check() or "")
    except RenderError as error:
        return Finding(name, (str(error),))
