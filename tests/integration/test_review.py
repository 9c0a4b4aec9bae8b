"""`tidings review` on the real Kafka, by script and in a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, make_flow
from tests.unit.worker.builders import review
from worker.adapters.kafka import PlainProducer
from worker.codec import encode_review
from worker.messages import OutRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
COMMAND = [sys.executable, "-m", "worker", "review"]
PATIENCE_S = 30.0


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own, with six questions of two partitions."""
    flow = make_flow(names, stack.settings_env(), tmp_path, {})
    producer = PlainProducer(flow.settings.kafka)
    for number in range(6):
        value = encode_review(review(id=f"m{number}", text=f"text {number}"))
        producer.send(OutRecord(flow.settings.kafka.topics.review, b"m%d" % number, value))
    producer.flush()
    return flow


def scripted(flow: Flow, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command as a script does: exit code, lines of JSON, standard error."""
    done = subprocess.run(
        [*COMMAND, "--json", *arguments],
        cwd=flow.folder,
        env={**os.environ, **flow.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


class Terminal:
    """The command in a terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", screen: int) -> None:
        self.process, self._screen, self._said = process, screen, b""

    def until(self, text: str) -> str:
        """Wait until the screen shows it; returns what came up to there, and forgets it."""
        deadline = time.monotonic() + PATIENCE_S
        while text.encode() not in self._said:
            assert time.monotonic() < deadline, self._said
            self._said += os.read(self._screen, 4_096)
        said, _, self._said = self._said.partition(text.encode())
        return said.decode()

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._screen, key.encode())


@contextmanager
def terminal(flow: Flow, arguments: Sequence[str] = ()) -> Iterator[Terminal]:
    """Run the command in a terminal of its own."""
    screen, theirs = pty.openpty()
    environment = {**os.environ, **flow.env, "COLUMNS": "100", "TERM": "dumb"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=flow.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        yield Terminal(process, screen)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(screen)


def answers(flow: Flow, count: int) -> dict[str, tuple[str, str]]:
    """Label and annotator by message; none may be there twice."""
    said = [json.loads(record.value or b"") for record in flow.records(flow.settings.kafka.topics.feedback, count)]
    assert len({one["id"] for one in said}) == len(said), "an answer came twice"
    return {one["id"]: (one["label"], one["annotator"]) for one in said}


def test_scripts_and_a_person_with_ctrl_c_answer_each_question_once(flow: Flow) -> None:
    """A look moves nothing; answers, skips and Ctrl-C in between lose none and double none."""
    code, questions, _ = scripted(flow)
    assert (code, sorted(question["id"] for question in questions)) == (0, [f"m{number}" for number in range(6)])
    code, given, _ = scripted(flow, "--label", "negative", "--annotator", "script", "--count", "2")
    assert (code, [one["label"] for one in given]) == (0, ["negative", "negative"])
    code, _, said = scripted(flow, "--label", "negative", "--id", given[0]["id"])
    assert code == 1
    assert f"not {given[0]['id']}" in said
    with terminal(flow, ["--annotator", "kim"]) as screen:
        screen.until("[q]uit")
        screen.press("x")  # no key of ours
        screen.press("p")
        screen.until("[q]uit")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(PATIENCE_S) == 130
    with terminal(flow, ["--annotator", "kim"]) as screen:
        screen.until("[q]uit")
        screen.press("s")
        screen.until("[q]uit")
        screen.press("u")
        screen.until("[q]uit")
        screen.press("q")
        assert screen.process.wait(PATIENCE_S) == 0
    assert sorted(answers(flow, 4).values()) == [("negative", "script")] * 2 + [("neutral", "kim"), ("positive", "kim")]
    code, left, _ = scripted(flow)
    assert (code, len(left)) == (0, 1)
    assert left[0]["id"] not in answers(flow, 4)
    file = flow.folder / "feedback.jsonl"
    command = [sys.executable, "-m", "worker", "feedback", "-o", str(file), "--json"]
    done = subprocess.run(command, cwd=flow.folder, env={**os.environ, **flow.env}, capture_output=True, check=True, timeout=90)
    assert json.loads(done.stdout) == {"rows": 4, "replaced": 0, "unreadable": 0}
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["id"]: (one["label"], one["annotator"]) for one in rows} == answers(flow, 4)
