"""The demo's worker is ready when its log says so, and a worker that ends is told of with its log."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import guarded
from deploy.local.demo import worker
from deploy.local.demo.errors import DemoError
from deploy.local.demo.worker import Worker, assigned_topics

TOPICS = ("news", "sentiment.signals")


def line(*partitions: str) -> str:
    """A log line of the worker."""
    return json.dumps({"event": "partitions assigned", "level": "info", "partitions": partitions})


def test_assigned_topics(tmp_path: Path) -> None:
    """Topics are gathered from every line about an assignment, whatever else is in the log."""
    log = tmp_path / "worker.log"
    log.write_text("\n".join(["Traceback: partitions assigned", line("news-0", "news-1"), "{}", line("sentiment.signals-5")]))
    assert assigned_topics(log) == {"news", "sentiment.signals"}


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Worker]:
    """Start a Python program in the worker's place."""

    def start(program: str) -> Worker:
        real = guarded.start
        monkeypatch.setattr(guarded, "start", lambda _, log, **options: real([sys.executable, "-c", program], log, **options))
        return Worker({"TIDINGS_LOG__FORMAT": "json"}, tmp_path / "worker.log")

    return start


def test_waits_for_every_topic(starts: Callable[[str], Worker]) -> None:
    """It is ready when it has partitions of all topics, and ends when told."""
    program = f"import time; print('''{line('news-0')}\n{line('sentiment.signals-0')}''', flush=True); time.sleep(60)"
    with starts(program) as running:
        running.wait_assigned(TOPICS)
        running.check()


def test_a_worker_that_ends_is_a_failure(starts: Callable[[str], Worker]) -> None:
    """The error names the status, the log, and its last lines."""
    with starts("import sys; sys.exit('wrong settings')") as ended, pytest.raises(DemoError) as caught:
        ended.wait_assigned(TOPICS)
    for words in ("status 1", "worker.log", "wrong settings"):
        assert words in caught.value.message


def test_a_worker_that_reads_nothing(starts: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for ever, and says what is missing."""
    monkeypatch.setattr(worker, "READY_LIMIT_S", 0.3)
    program = f"import time; print('''{line('news-0')}''', flush=True); time.sleep(60)"
    with starts(program) as running, pytest.raises(DemoError, match=r"no partitions of sentiment\.signals"):
        running.wait_assigned(TOPICS)


def test_it_gets_the_settings_and_no_other_secrets(
    starts: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker sees TIDINGS_ variables, those given first, and nothing else of this process but a few."""
    monkeypatch.setenv("TIDINGS_KAFKA__SASL_USERNAME", "me")
    monkeypatch.setenv("TIDINGS_LOG__FORMAT", "console")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    with starts("import json, os; print(json.dumps(dict(os.environ)), flush=True)") as ended, pytest.raises(DemoError):
        ended.wait_assigned(TOPICS)
    seen = json.loads((tmp_path / "worker.log").read_text())
    assert (seen["TIDINGS_KAFKA__SASL_USERNAME"], seen["TIDINGS_LOG__FORMAT"]) == ("me", "json")
    assert "SOME_TOKEN" not in seen
