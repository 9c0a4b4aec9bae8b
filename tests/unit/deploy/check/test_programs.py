"""What other programs check: that each finds what is broken. Those that are built with Go are asked where they are built."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from deploy.check import programs, schemas, tools
from deploy.check.__main__ import main
from deploy.check.chart import CHART, Helm, RenderError
from deploy.check.finding import Finding
from deploy.check.run import Run
from deploy.local.errors import LocalStackError
from deploy.prometheus.promtool import find
from tests.unit.deploy.check.spoiling import Objects, pod

ROOT = CHART.parents[2]
Built = Callable[[str], Path]


def test_kubeconform_finds_a_field_that_is_unknown(built: Built, objects: Objects) -> None:
    """Strictly: the chart as it is has none, and one that nobody knows is named."""
    program = built("kubeconform")
    assert list(programs.kubeconform(program, objects, schemas.NEWEST)) == []
    pod(objects, "score")["terminationGraceSeconds"] = 40
    (fault,) = programs.kubeconform(program, objects, schemas.NEWEST)
    assert "tidings-score" in fault
    assert "terminationGraceSeconds" in fault


def test_kubeconform_finds_a_kind_without_schema(built: Built, objects: Objects) -> None:
    """What cannot be judged is not let through."""
    objects[0]["kind"] = "Sacret"
    assert any("Sacret" in fault for fault in programs.kubeconform(built("kubeconform"), objects, schemas.NEWEST))


def test_kube_score_finds_a_probe_that_is_gone(built: Built, objects: Objects) -> None:
    """The chart as it is has no critical finding; a Deployment behind a Service without a readiness probe is one."""
    program = built("kube-score")
    assert list(programs.kube_score(program, objects)) == []
    del pod(objects, "score")["containers"][0]["readinessProbe"]
    (fault,) = programs.kube_score(program, objects)
    assert "tidings-score" in fault
    assert "readinessProbe" in fault


@pytest.fixture
def promtool() -> Path:
    """Prometheus' tool, from the path or Debian's package; skipped where neither can be had."""
    try:
        return find("promtool", tools.cache().parent)
    except LocalStackError as error:
        pytest.skip(error.message)


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A copy of the chart's rules and of their tests, which find them by their place."""
    chart, tests = (tmp_path / part.relative_to(ROOT) for part in (CHART, ROOT / "deploy" / "prometheus" / "tests"))
    shutil.copytree(CHART / "files" / "rules", chart / "files" / "rules")
    shutil.copytree(ROOT / "deploy" / "prometheus" / "tests", tests)
    return chart, sorted(tests.glob("*.yaml"))


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [("- alert: TidingsNotReady", "- alert: TidingsUnready", "test rules"), ("expr: ", "expr: )", "check rules")],
    ids=["renamed", "no PromQL"],
)
def test_promtool_finds_a_rule_that_is_broken(
    promtool: Path, rules: tuple[Path, list[Path]], right: str, wrong: str, told: str
) -> None:
    """One that no longer does what its tests say, and one that cannot be read; that all is well else, test_prometheus shows."""
    chart, tests = rules
    path = chart / "files" / "rules" / "alerts.yaml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    asked = [one for one in tests if one.name == "alerts.yaml"]
    assert any(told in fault for fault in programs.promtool(promtool, chart, asked))


def test_rules_without_tests_are_a_fault(tmp_path: Path) -> None:
    """So are no rules at all: what is not there was not checked."""
    assert list(programs.promtool(Path("unused"), tmp_path, [])) == [f"no rules in {tmp_path.name}/files/rules"]


def test_a_program_that_does_not_end_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, objects: Objects) -> None:
    """On a machine that is too busy each says so on its line, and the other checks go on."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(programs, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr("deploy.check.chart._TIMEOUT_S", 0.1)
    monkeypatch.setattr(tools, "installed", lambda _name: slow)
    monkeypatch.setattr(tools, "promtool", lambda: slow)
    found = list(Run(objects={"small": objects})._programs())
    assert [one.faults for one in found] == [("slow did not end within 0.1 s: is the machine busy?",)] * 3
    with pytest.raises(RenderError, match="helm lint did not end"):
        Helm(slow).lint()


def test_a_program_that_cannot_be_had_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a kube-apiserver, which is said not to have been asked, with the reason; nothing passes unseen."""

    def absent(name: str) -> Path:
        raise tools.ToolError(f"{name} is built with Go, which is not on the PATH")

    monkeypatch.setattr(tools, "installed", absent)
    monkeypatch.setattr(tools, "server", absent)
    monkeypatch.setattr(tools, "promtool", lambda: absent("promtool"))
    checks = Run(objects={"small": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}]})
    found = list(checks._programs())
    assert [one.name for one in found] == ["kubeconform, small", "kube-score, small", "promtool: rules and their tests"]
    assert all("not on the PATH" in fault for one in found for fault in one.faults)
    assert not any(one.ok for one in found)
    (asked,) = checks._server()
    assert (asked.ok, asked.faults) == (False, ())
    assert "not on the PATH" in asked.not_run
    (left,) = Run(server=False)._server()
    assert "--no-server" in left.not_run


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        ([Finding("a")], 0, "1 checks passed, 0 failed, 0 not run"),
        ([Finding("a"), Finding("b", not_run="no Go")], 0, "1 checks passed, 0 failed, 1 not run"),
        ([Finding("a"), Finding("b", ("wrong",))], 1, "1 checks passed, 1 failed, 0 not run"),
    ],
)
def test_one_line_a_check_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: Iterable[Finding], code: int, last: str
) -> None:
    """What was not run is neither passed nor failed; a failure is the exit code."""
    monkeypatch.setattr("sys.argv", ["check"])
    monkeypatch.setattr(Run, "findings", lambda _self: iter(found))
    assert main() == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == last
    assert [line.split()[0] for line in lines if line[0] != " "][:-1] == [_mark(one) for one in found]


def _mark(one: Finding) -> str:
    return "ok" if one.ok else "----" if one.not_run else "FAIL"
