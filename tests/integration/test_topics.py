"""Topics known by their meaning, found by a real worker with two models on a real Triton."""

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from deploy.local.config import TRITON_VARIABLE, ModelChoice, StackConfig
from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, make_flow
from tests.support.tiny_onnx import ENCODER_CONFIG, tiny_encoder, write_repository
from worker.codec import decode_signal

WATER, OTHER = ("river", "flood", "water", "rain", "dam"), ("train", "late", "bus", "ticket", "fare", "seat", "line")
WATCHLIST = """\
topics:
  - name: floods
    description: river flood water
    examples: [rain and dam, water and flood]
  - name: fares
    keywords: [fare]
"""
BUCKETS = (8, 16)


def digest(body: bytes) -> str:
    """The SHA-256 as contracts have it."""
    return hashlib.sha256(body).hexdigest()


def tokenizer() -> bytes:
    """A tokenizer of whole words."""
    words = ("[PAD]", "[UNK]", "and", *WATER, *OTHER)
    made = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token=words[1]))
    made.pre_tokenizer = Whitespace()
    return made.to_str().encode()


def background() -> bytes:
    """Texts that have hardly to do with water."""
    some = random.Random(3)
    return "".join(" ".join(some.choices(OTHER, k=5)) + "\n" for _ in range(200)).encode()


def contract(name: str, onnx: bytes, **more: Any) -> str:
    """What both contracts have, and more."""
    identity = {"name": name, "version": "1", "base": "tiny", "onnx_sha256": digest(onnx), "precision": "fp32", "opset": 17}
    made_of = {"adapter_sha256": "0" * 64} if name == "sentiment" else {"encoder_sha256": "0" * 64}
    common = {
        "schema_version": 1,
        "model": identity | made_of,
        "inputs": ["input_ids", "attention_mask"],
        "max_length": BUCKETS[-1],
        "buckets": BUCKETS,
        "max_batch_size": 64,
        "pad_id": 0,
        "tokenizer": {"file": "tokenizer.json", "sha256": digest(tokenizer())},
    }
    return json.dumps(common | more)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The tiny model that scores and the tiny one that says what texts mean, with their contracts."""
    folder = write_repository(tmp_path / "triton_repo")
    first, second = folder / "sentiment", folder / "embedding"
    (second / "1").mkdir(parents=True)
    (second / "1" / "model.onnx").write_bytes(tiny_encoder())
    (second / "config.pbtxt").write_text(ENCODER_CONFIG)
    (second / "background.txt").write_bytes(background())
    for model in (first, second):
        (model / "tokenizer.json").write_bytes(tokenizer())
    scoring = {"output": "logits", "labels": ["negative", "neutral", "positive"]}
    calibration = {"method": "temperature", "temperature": 1.0}
    onnx = (first / "1" / "model.onnx").read_bytes()
    (first / "contract.json").write_text(contract("sentiment", onnx, **scoring, calibration=calibration))
    file = {"file": "background.txt", "sha256": digest(background())}
    embedding = {"output": "vector", "dimensions": 16, "background": file}
    (second / "contract.json").write_text(contract("embedding", tiny_encoder(), embedding=embedding))
    return folder


@pytest.fixture
def flow(names: Names, stack: LocalStack, repository: Path, tmp_path: Path) -> Iterator[Flow]:
    """Topics of the test's own, and a Triton that serves both models."""
    config = StackConfig.from_environment().but(
        state=tmp_path / "state", model_repository=repository, parts=frozenset({"triton"}), triton=ModelChoice.TRITON
    )
    with LocalStack.start(config.but(external={})) as triton:
        flow = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": "rules: []\n"})
        own = {TRITON_VARIABLE: triton.settings_env()[TRITON_VARIABLE], "TIDINGS_MODEL__REPOSITORY": str(repository)}
        yield dataclasses.replace(flow, env={**flow.env, **own, "TIDINGS_LOG__FORMAT": "json"})


def test_a_message_about_a_described_topic_is_found_and_says_how_similar_it_is(flow: Flow) -> None:
    """By a threshold that the worker took from the background at its start; keywords go on beside it, repeats do as well."""
    texts = {
        "wet": "flood and rain and water",
        "dry": "late train",
        "fare": "late bus fare",
        "again": "flood and rain and water",
    }
    with flow.worker("score") as worker:
        flow.send_messages("news", [{"id": name, "text": text} for name, text in texts.items()])
        found = flow.predictions(len(texts))
        (calibrated,) = worker.until(lambda: worker.lines("topic calibrated"))
        assert worker.terminate() == 0
    assert {name: found[name]["topics"] for name in texts} == {
        "wet": ["floods"],
        "dry": [],
        "fare": ["fares"],
        "again": ["floods"],
    }
    similarity = found["wet"]["similarities"]["floods"]
    assert calibrated["threshold"] < similarity <= 1
    assert (calibrated["topic"], calibrated["is_given"]) == ("floods", False)
    assert calibrated["share"] <= 0.05
    assert found["again"]["similarities"] == {"floods": similarity}
    assert found["again"]["duplicate_of"] == "wet"
    signals = [decode_signal(record.value) for record in flow.records(flow.settings.kafka.topics.signals, 3)]
    assert sorted((s.message_id, s.alert_key, s.similarity) for s in signals) == [
        ("again", "topic:floods", similarity),
        ("fare", "topic:fares", None),
        ("wet", "topic:floods", similarity),
    ]
