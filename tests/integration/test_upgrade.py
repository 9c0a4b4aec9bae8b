"""From the version before to this one and back, on the topics and Redis state that each left: nothing lost, nothing doubled.

This version reads the alert state of the one before, which does not read this one's: the way back is the one that
docs/deployment.md has for releases that raise the schema.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import ROOT, Flow, WorkerProcess, make_flow
from tests.integration.test_flow import BAD, GOOD, RULES, START_MS, WATCHLIST, films

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]
PREVIOUS = "fc609eaf792c79664ea3a17bea971a0a83654923"
"""The version before, of 2026-11-26. Set it to what is deployed when a release is made."""
NEW_SETTINGS = ("TIDINGS_KAFKA__TOPICS__SHADOW",)
"""What it does not know: a rollback brings the values of before back, too."""


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The folder with the worker of the version before, from this repository's history."""
    command = ["git", "-C", str(ROOT), "archive", PREVIOUS, "worker"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        if os.environ.get("CI") == "true" and _whole_history():
            pytest.fail(f"the history has no {PREVIOUS}: {done.stderr.decode()}", pytrace=False)
        pytest.skip(f"no history with {PREVIOUS[:10]} in it here: a shallow clone, or no clone")
    folder = tmp_path / "previous"
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--directory", folder], input=done.stdout, check=True)
    return folder


def _whole_history() -> bool:
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() == "false"


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of the test's own."""
    return make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})


@contextmanager
def worker(flow: Flow, code: Path) -> Iterator[WorkerProcess]:
    """Both roles, by the code in this folder; gone afterwards, whatever happened."""
    env = {**os.environ, **flow.env, "PYTHONPATH": str(code)}
    for name in () if code == ROOT else NEW_SETTINGS:
        del env[name]
    with (flow.folder / "worker.log").open("ab") as log:
        begin = log.tell()
        command = [sys.executable, "-P", "-m", "worker", "work", "--roles", "score,alert"]
        process = subprocess.Popen(command, cwd=flow.folder, env=env, stderr=log)
    try:
        yield WorkerProcess(process, flow.folder / "worker.log", begin)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_forward_and_back(flow: Flow, previous: Path) -> None:
    """An alert that the version before let fire is resolved by this one, one of this one's by the version before."""
    messages = films([GOOD] * 20 + [BAD] * 30 + [GOOD] * 60 + [BAD] * 30 + [GOOD] * 60, START_MS)
    flow.send_messages("news", messages[:50])
    work(flow, previous, messages[:50])
    flow.send_messages("news", messages[50:140])
    work(flow, ROOT, messages[:140])
    flow.send_messages("news", messages[140:])
    with worker(flow, previous) as process:
        assert process.process.wait(60) != 0
        assert "stored alert state has schema 3, this version reads 2" in process.log.read_text()
    assert flow.lose_redis() > 0
    work(flow, previous, messages)
    assert [event.state for event in flow.alerts(4)] == ["firing", "resolved", "firing", "resolved"]
    assert len({event.id for event in flow.stream_alerts()}) == 4


def work(flow: Flow, code: Path, messages: list[dict[str, Any]]) -> None:
    """Let this code come to the end of all that was sent."""
    with worker(flow, code) as process:
        process.until(process.ready)
        assert flow.predictions(len(messages)).keys() == {message["id"] for message in messages}
        process.until(lambda: caught_up(process))
        assert process.terminate() == 0, process.log.read_text()[-2000:]


def caught_up(process: WorkerProcess) -> bool:
    """Whether the alert role has nothing in hand and nothing before it."""
    lags = [line for line in process.get("/metrics")[1].splitlines() if line.startswith("tidings_consumer_lag_records{")]
    return bool(lags) and all(line.endswith(" 0.0") for line in lags)
