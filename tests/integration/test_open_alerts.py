"""What people and other alerts make of an alert, on the real stack: `tidings alerts` from one end to the other."""

import json
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, WorkerProcess, make_flow
from worker.alert.suppression import Suppression
from worker.cli import build
from worker.messages import TopicPartition
from worker.stores import connect_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WATCHLIST = "topics:\n  - {name: film, keywords: [film]}\n  - {name: music, keywords: [song]}\n"
RULES = """
rules:
  - &rule
    name: film-turns-bad
    scope: {topics: [film]}
    detector: {type: share, window: 60s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 5}
    severity: critical
  - {<<: *rule, name: music-turns-bad, scope: {topics: [music]}, severity: warning}
"""
INHIBIT = "inhibit:\n  - {source_matchers: [severity=critical], target_matchers: [severity=warning]}\n"
GOOD = "A wonderful {}, beautifully made; I loved every minute of it."
BAD = "A terrible {}, dull and badly made; I hated every minute of it."
START_MS = 1_760_000_000_000


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """Topics of this test's own on the real stack, which commands in this process find too."""
    flow = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})
    for name, value in flow.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return flow


def alerts(*arguments: str) -> list[dict[str, Any]]:
    """Run one of the commands in this process, and return its lines of JSON."""
    done = CliRunner().invoke(build(), ["alerts", *arguments, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Story:
    """Sends texts on both topics, a pair every two seconds of event time, and sees what comes of it."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._sent = 0

    def go_on(self, pairs: int, film: str = BAD, music: str = BAD) -> None:
        """Send so many pairs more."""
        texts = [(film.format("film"), music.format("song")) for _ in range(pairs)]
        messages = [
            {"id": f"{at}-{kind}", "text": f"{text} ({at})", "published_at": START_MS + at * 2_000}
            for at, pair in enumerate(texts, self._sent)
            for kind, text in enumerate(pair)
        ]
        self._sent += pairs
        self._flow.send_messages("news", messages)

    def inhibitors(self) -> int:
        """How many partitions know that the film's alert is firing."""
        with closing(connect_store(self._flow.settings)) as store:
            topic = self._flow.settings.kafka.topics.signals
            (film,) = [event["alert_id"] for event in alerts("list") if event["severity"] == "critical"] or [""]
            known = 0
            for number in range(2):
                suppression, stored = Suppression(), store.suppression(TopicPartition(topic, number))
                if stored is not None:
                    suppression.restore(stored)
                known += suppression.knows(film)
            return known

    def told(self, topic: str) -> Callable[[], list[tuple[str, str]]]:
        """What is on record of a topic's alert: each change with its reason."""
        return lambda: [(event["change"], event["reason"]) for event in alerts("history", "-m", f"topic={topic}")]


def until(worker: WorkerProcess, look: Callable[[], list[tuple[str, str]]], last: tuple[str, str]) -> None:
    """Wait until that is the last on record."""
    worker.until(lambda: look()[-1:] == [last])


def test_people_and_other_alerts(flow: Flow) -> None:
    """Acknowledged, silenced, heard again, inhibited, heard again, resolved: each told once, through a restart and a reload."""
    story = Story(flow)
    film, music = story.told("film"), story.told("music")
    with flow.worker() as worker:
        story.go_on(20)
        until(worker, music, ("firing", "threshold_passed"))
        until(worker, film, ("firing", "threshold_passed"))
        assert {event["state"] for event in alerts("list")} == {"firing"}
        (taken,) = alerts("ack", alerts("list", "-m", "topic=film")[0]["alert_id"], "-c", "looking", "--author", "kim")
        assert taken["acknowledgement"]["author"] == "kim"
        assert [event["rule"] for event in alerts("list", "--not-acknowledged")] == ["music-turns-bad"]
        until_text = datetime.fromtimestamp((START_MS + 100_000) / 1000, UTC).isoformat()
        (silence,) = alerts("silence", "add", "topic=music", "--until", until_text, "-c", "premiere", "--author", "kim")
        assert alerts("silence", "list") == [silence]
        story.go_on(15)
        until(worker, music, ("suppressed", "silenced"))
        assert [event["suppressed_by"] for event in alerts("list", "--silenced")] == [[f"silence:{silence['id']}"]]
        assert worker.terminate() == 0
    with flow.worker() as worker:
        story.go_on(30)
        until(worker, music, ("unsuppressed", "silence_ended"))
        (flow.folder / "rules.yaml").write_text(RULES + INHIBIT)
        worker.signal(signal.SIGHUP)
        worker.until(lambda: story.inhibitors() == 2)
        story.go_on(10)
        until(worker, music, ("suppressed", "inhibited"))
        story.go_on(40, film=GOOD)
        until(worker, film, ("resolved", "recovered"))
        worker.until(lambda: story.inhibitors() == 0)
        story.go_on(10, film=GOOD)
        until(worker, music, ("unsuppressed", "inhibition_ended"))
        assert worker.terminate() == 0
    assert [change for change, _ in film()] == ["firing", "acknowledged", "resolved"]
    assert [reason for _, reason in music()] == [
        *("threshold_passed", "silenced", "silence_ended", "inhibited", "inhibition_ended")
    ]
    told = alerts("history")
    assert len({event["id"] for event in told}) == len(told) == 8
    assert [event.id for event in flow.stream_alerts() if event.rule == "film-turns-bad"][-1].endswith("-resolved")
    resolved = next(event for event in told if event["change"] == "resolved")
    assert resolved["acknowledgement"]["comment"] == "looking"
