"""Prometheus' own tool reads the rules, the queries of the dashboards, and tests that each alert fires and ends."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.local.errors import LocalStackError
from deploy.prometheus.promtool import find
from deploy.prometheus.queries import filled_in
from tests.unit.deploy.test_prometheus import RULES, queries

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' tool; missing, it skips on a laptop and fails in CI."""
    try:
        return find("promtool", Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache"))
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(error.message, pytrace=False)
        pytest.skip(error.message)


def run(promtool: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One run of it."""
    return subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.timeout(300)
def test_rules_and_dashboards_are_promql(promtool: Path, tmp_path: Path) -> None:
    """The rule files are read without a complaint; each query of a dashboard is, as a rule of its own."""
    panels = [
        {"record": "panel:query", "labels": {"title": f"{n} {title}"}, "expr": filled_in(query)}
        for n, (title, query) in enumerate(queries())
    ]
    written = tmp_path / "panels.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    checked = run(promtool, "check", "rules", *RULES, written)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(panels)} rules found" in checked.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_end_as_they_should(promtool: Path, tests: Path) -> None:
    """Each alert in a course of events that it is made for; and a healthy worker wakes nobody."""
    tested = run(promtool, "test", "rules", tests)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.timeout(300)
def test_a_wrong_query_is_noticed(promtool: Path, tmp_path: Path) -> None:
    """The check is no formality."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": [{"record": "a:b", "expr": "sum by (rate(x[5m])"}]}]}))
    assert run(promtool, "check", "rules", wrong).returncode != 0
