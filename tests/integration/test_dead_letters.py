"""Dead letters on the real Kafka: poison in, looked at, sent again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.fuzz.model import constant
from tests.integration.flow import ROOT, Flow, make_flow
from tests.support.kserve import Kserve, logits_answer, serving
from tests.support.raw_headers import produce_with_header
from worker.adapters.kafka import PlainProducer
from worker.messages import OutRecord, Record
from worker.score.contract import parse_contract

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WATCHLIST = "entities: [{name: acme}]\n"
RULES = "rules: [{name: r, scope: {entities: acme}, detector: {type: share}, severity: info}]\n"
HEADERS = (("trace", b"\xff\x00"), ("tidings.mine", b"kept"), ("none", None))
OLD_MS = int(time.time() * 1_000) - 86_400_123
"""A day ago: what is older than the topics' retention, Kafka may remove at any moment."""
GOOD = b'{"id": "a-1", "text": "The best phone I ever had."}'


@dataclass
class Setting:
    """A flow whose model is in our hands."""

    flow: Flow
    model: Kserve

    def poison(self, value: bytes | None, key: bytes | None = b"acme") -> None:
        """Produce one record with all that a record can have."""
        producer = PlainProducer(self.flow.settings.kafka)
        producer.send(OutRecord(self.flow.input("news"), key, value, HEADERS, OLD_MS))
        producer.flush()

    def tidings(self, *arguments: str) -> tuple[int, str, str]:
        """Run `tidings dead-letters ...` as its own process: exit code, standard output, standard error."""
        command = [sys.executable, "-m", "worker", "dead-letters", *arguments]
        environment = {**os.environ, **self.flow.env}
        done = subprocess.run(
            command,
            cwd=self.flow.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """What `list --json` says."""
        return [json.loads(line) for line in self.tidings("list", "--json", *arguments)[1].splitlines()]

    def inputs(self, count: int) -> list[Record]:
        """The records of the input topic in the order of their offsets."""
        return sorted(self.flow.records(self.flow.input("news"), count), key=lambda record: record.offset)


def not_finite(request: Any, _context: object) -> Any:
    """A model that cannot take texts of more than eight tokens; the canary has eight."""
    lengths = np.frombuffer(request.raw_input_contents[1], np.int64).reshape(request.inputs[1].shape).sum(axis=1)
    return logits_answer(np.where(lengths[:, None] > 8, np.nan, 1).astype(np.float32) * np.ones((1, 3), np.float32))


@pytest.fixture
def setting(stack: LocalStack, names: Names, tmp_path: Path) -> Iterator[Setting]:
    """Topics of this test's own on the real Kafka, and a model that a test can break."""
    model = Kserve(constant)
    model.keep(parse_contract((ROOT / "triton_repo" / "sentiment" / "contract.json").read_bytes()))
    with ExitStack() as closing:
        address = closing.enter_context(serving(model))
        env = {**stack.settings_env(), "TIDINGS_TRITON__URL": address}
        yield Setting(make_flow(names, env, tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES}), model)


def test_what_was_refused_for_a_reason_that_passes_is_scored_once(setting: Setting) -> None:
    """The model is put right and the letter sent again: one prediction, of a record with all that it had."""
    setting.model.answer = not_finite
    with setting.flow.worker("score") as worker:
        setting.poison(GOOD)
        setting.flow.dead_letters(1)
        setting.model.answer = constant
        (letter,) = setting.listed()
        assert (letter["reason"], letter["attempt"], letter["timestamp_ms"]) == ("model_output_invalid", 1, OLD_MS)
        code, _, said = setting.tidings("replay", letter["id"])
        assert (code, said) == (0, "1 sent again\n")
        predictions = setting.flow.predictions(1)
        assert worker.terminate() == 0
    first, again = setting.inputs(2)
    assert (again.key, again.value, again.timestamp_ms, again.partition) == (b"acme", GOOD, OLD_MS, first.partition)
    source = f"{setting.flow.settings.kafka.topics.dead_letters}-{letter['id']}".encode()
    assert again.headers == (*HEADERS, ("tidings.attempt", b"2"), ("tidings.replayed_from", source))
    assert predictions["a-1"]["origin"]["offset"] == again.offset
    assert len(setting.listed()) == 1, "the letter stays, and no other came"


def test_what_is_still_bad_comes_back_as_another_attempt(setting: Setting) -> None:
    """Each time a new dead letter, with the record's own headers, its count, and nothing piled up."""
    with setting.flow.worker("score") as worker:
        setting.poison(b"{not json\x1b[2J")
        for attempt in (1, 2, 3):
            setting.flow.dead_letters(attempt)
            newest = next(one for one in setting.listed() if one["attempt"] == attempt)
            assert (newest["reason"], newest["timestamp_ms"], newest["key"]) == ("not_json", OLD_MS, "acme")
            assert newest["headers"] == [["trace", {"base64": "/wA="}], ["tidings.mine", "kept"], ["none", None]]
            assert newest["value"] == "{not json\x1b[2J"
            if attempt < 3:
                assert setting.tidings("replay", newest["id"])[0] == 0
        assert worker.terminate() == 0
    *_, last = setting.inputs(3)
    assert [name for name, _ in last.headers] == ["trace", "tidings.mine", "none", "tidings.attempt", "tidings.replayed_from"]


def test_by_filters_to_another_topic(setting: Setting, names: Names) -> None:
    """Those that are meant, in order, each once; the rest stay where they are; a dry run sends nothing."""
    other = names.topic("chat")
    with setting.flow.worker("score") as worker:
        for number in range(6):
            setting.poison(b"%d" % number if number % 2 else b"{%d" % number)
        setting.flow.dead_letters(6)
        assert worker.terminate() == 0
    wanted = ("--reason", "not_an_object", "--topic", names.topic("news"), "--to", other)
    code, _, said = setting.tidings("replay", *wanted[:4], "--to", other, "--dry-run")
    assert (code, said.splitlines()[1]) == (0, f"to {other}")
    assert setting.tidings("replay", *wanted)[0] == 0
    assert [record.value for record in setting.flow.records(other, 3)] == [b"1", b"3", b"5"]
    code, _, said = setting.tidings("replay", "--all", "--to", names.topic("nosuch"))
    assert code == 1
    assert "there is no topic" in said
    assert "6 could not be" in said


def test_a_header_name_that_is_no_utf8_is_no_poison(setting: Setting) -> None:
    """Any producer can write it; the worker scores or refuses the record, says so in the dead letter, and goes on."""
    flow = setting.flow
    with flow.worker("score") as worker:
        for value in (GOOD, b"{", GOOD.replace(b"a-1", b"a-2")):
            produce_with_header(flow.settings.kafka.bootstrap_servers, flow.input("news"), value, b"\xff\xfe")
        assert set(flow.predictions(2)) == {"a-1", "a-2"}
        flow.dead_letters(1)
        assert worker.terminate() == 0
    (letter,) = setting.listed()
    assert letter["headers"] == [["tidings.unreadable_headers", None]]
