"""The chart's own commands, environment, files and probes, run here as the kubelet would: under load, through a rolling restart."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.check import tools
from deploy.check.chart import Helm, Object, pods
from deploy.check.kubelet import LocalPod
from deploy.local.config import KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE
from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import ROOT, Flow, _settings
from tests.integration.test_flow import BAD, GOOD, START_MS, films

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]
MESSAGES = 400
RATE = 20.0
"""Messages a second, all through the restart."""


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
    """What makes the chart use the parts that run here. The tests' own topics; films are watched, as the rule's texts want."""
    topics = ("predictions", "signals", "alerts", "dead-letters", "review", "feedback", "shadow")
    kafka = {
        "bootstrap_servers": env[KAFKA_VARIABLE],
        "input_topics": {names.topic("news"): "news"},
        "topics": {name.replace("-", "_"): names.topic(name) for name in topics},
        "group_prefix": names.group(),
        "partitions": 2,
        "session_timeout_s": 6,
        "transaction_timeout_s": 10,
    }
    settings = {
        "kafka": kafka | {"input_topics": {"news": None, "chat": None} | kafka["input_topics"]},
        "redis": {"url": env[REDIS_VARIABLE], "prefix": names.prefix},
        "triton": {"url": env[TRITON_VARIABLE]},
    }
    rule = {
        "name": "share",
        "detector": {"type": "share", "window": "5m", "bucket": "30s", "threshold": 0.5, "min_messages": 10},
    }
    return {
        "settings": settings,
        "watchlist": {"topics": [{"name": "film", "keywords": ["film"]}], "entities": []},
        "rules": {"rules": [rule | {"severity": "critical"}]},
    }


@pytest.fixture
def flow(objects: list[Object], stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
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


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(
    objects: list[Object], flow: Flow, tmp_path: Path, running: ExitStack
) -> None:
    """The Job makes the topics; each role gets a new pod, and when it is ready the old one leaves within its drain, with 0."""
    release = Release(objects, tmp_path / "pods", running)
    release.pod("topics").finish(60)
    old = {name: release.pod(name) for name in ("score", "alert")}
    for pod in old.values():
        pod.until_ready()
    messages = films([GOOD] * (MESSAGES // 4) + [BAD] * (MESSAGES // 4) + [GOOD] * (MESSAGES // 2), START_MS)
    done = threading.Event()
    sender = threading.Thread(target=send, args=(flow, messages, done), daemon=True)
    sender.start()
    for name, pod in old.items():
        release.pod(name).until_ready()
        code, seconds = pod.stop()
        assert code == 0, pod.log.read_text()[-2000:]
        assert seconds < 25, f"{name} took {seconds:.0f} s to leave, more than ops.shutdown_timeout_s"
    assert not done.is_set(), "the load was over before the restart was"
    sender.join(120)
    assert flow.predictions(len(messages)).keys() == {message["id"] for message in messages}
    events = flow.alerts(2)
    assert [event.state for event in events] == ["firing", "resolved"]


def send(flow: Flow, messages: list[dict[str, Any]], done: threading.Event) -> None:
    """Send at the rate, to one partition, until all are sent."""
    pause = threading.Event()
    for begin in range(0, len(messages), int(RATE)):
        flow.send_messages("news", messages[begin : begin + int(RATE)])
        pause.wait(1.0)
    done.set()
