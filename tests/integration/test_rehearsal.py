"""The chart's own commands, environment, files and probes, run as the kubelet would: under load, through a rolling restart."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check import tools
from deploy.check.chart import Helm, Object, pods
from deploy.check.kubelet import LocalPod
from deploy.local.config import KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE
from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import ROOT, Flow, _settings
from tests.integration.test_flow import BAD, GOOD, RULES, START_MS, WATCHLIST, films

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]
DRAIN_S = 25
PHASE, BATCH, PAUSE_S, MOST = 60, 10, 0.5, 200
"""Messages of a mood, messages at once, how often, and how many batches at most."""


@pytest.fixture
def objects(stack: LocalStack, names: Names) -> list[Object]:
    """The chart rendered for the local stack, in the small size, with names of this test's own."""
    try:
        helm = Helm(tools.quick_helm())
    except tools.ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    return helm.render((helm.chart / "values-small.yaml",), values(stack.settings_env(), names))


def values(env: dict[str, str], names: Names) -> dict[str, Any]:
    """What makes the chart use the parts that run here, with topics of this test's own; null takes out a default."""
    topics = ("predictions", "signals", "alerts", "dead-letters", "review", "feedback", "shadow")
    kafka: dict[str, Any] = {
        "bootstrap_servers": env[KAFKA_VARIABLE],
        "input_topics": {"news": None, "chat": None, names.topic("news"): "news"},
        "topics": {name.replace("-", "_"): names.topic(name) for name in topics},
        "group_prefix": names.group(),
        "partitions": 2,
        "session_timeout_s": 6,
        "transaction_timeout_s": 10,
    }
    settings = {
        "kafka": kafka,
        "redis": {"url": env[REDIS_VARIABLE], "prefix": names.prefix},
        "triton": {"url": env[TRITON_VARIABLE]},
    }
    return {"settings": settings, "watchlist": yaml.safe_load(WATCHLIST), "rules": yaml.safe_load(RULES)}


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """What reads and writes the same topics as the release."""
    env = {
        **stack.settings_env(),
        "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps({names.topic("news"): "news"}),
        **{f"TIDINGS_KAFKA__TOPICS__{name.replace('-', '_').upper()}": names.topic(name) for name in ("predictions", "alerts")},
        "TIDINGS_REDIS__PREFIX": names.prefix,
    }
    return Flow(tmp_path, env, _settings(env))


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Ends every pod of the test, whatever happens."""
    with ExitStack() as stack:
        yield stack


class Release:
    """The rendered pods, started by name."""

    def __init__(self, objects: list[Object], folder: Path, running: ExitStack) -> None:
        self._objects = objects
        self._folder = folder
        self._running = running
        self._started = 0

    def pod(self, component: str) -> LocalPod:
        """Start a pod of this component."""
        self._started += 1
        folder = self._folder / f"{component}-{self._started}"
        spec = next(
            pod for item, pod in pods(self._objects) if item["metadata"]["labels"]["app.kubernetes.io/component"] == component
        )
        local = LocalPod(self._objects, spec, folder, {"/models": ROOT / "triton_repo"})
        self._running.callback(local.kill)
        return local.start()


class Load:
    """Messages at an even rate, all to one partition: good, bad, then good until it is ended, and long enough to resolve."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._over = threading.Event()
        self.sent: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def end(self) -> set[str]:
        """Stop; returns the ids of what was sent."""
        assert self._thread.is_alive(), "the load was over before the restart was"
        self._over.set()
        self._thread.join(60)
        return {message["id"] for message in self.sent}

    def _send(self) -> None:
        moods = films([GOOD] * PHASE + [BAD] * PHASE + [GOOD] * (MOST * BATCH), START_MS)
        for begin in range(0, MOST * BATCH, BATCH):
            self._batch(moods[begin : begin + BATCH])
            if self._over.wait(PAUSE_S):
                break
        end = max(len(self.sent), 2 * PHASE)
        self._batch(moods[len(self.sent) : end + 2 * PHASE])

    def _batch(self, messages: list[dict[str, Any]]) -> None:
        self._flow.send_messages("news", messages)
        self.sent += messages


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(
    objects: list[Object], flow: Flow, tmp_path: Path, running: ExitStack
) -> None:
    """The Job makes the topics; each role gets a new pod, and when it is ready the old one leaves within its drain, with 0."""
    release = Release(objects, tmp_path / "pods", running)
    release.pod("topics").finish(60)
    old = {name: release.pod(name) for name in ("score", "alert")}
    for pod in old.values():
        pod.until_ready()
    load = Load(flow)
    new = {name: release.pod(name) for name in old}
    for name, pod in old.items():
        new[name].until_ready()
        code, seconds = pod.stop()
        assert code == 0, pod.log.read_text()[-2000:]
        assert seconds < DRAIN_S, f"{name} took {seconds:.0f} s to leave, more than ops.shutdown_timeout_s"
        print(f"{name}: left in {seconds:.1f} s")  # noqa: T201 - shown with pytest -s, for docs/deployment.md
    ids = load.end()
    assert flow.predictions(len(ids)).keys() == ids
    assert [event.state for event in flow.alerts(2)] == ["firing", "resolved"]
