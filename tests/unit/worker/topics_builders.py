"""A second model in memory, and a repository whose contract it keeps."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tests.unit.worker.score.role_builders import Words
from worker.ports import ModelInfo
from worker.score.contract import AnyContract
from worker.settings import ModelSettings, Settings
from worker.testing.model import INFO, FakeModel
from worker.topics import Tools

T = TypeVar("T")
TEXTS = [f"text {number} of the background" for number in range(200)]
FILE = "".join(f"{text}\n" for text in TEXTS).encode()
SERVED = ModelInfo("embedding", ("1",), "fake", 64, INFO.inputs, {"vector": ("FP32", (4,))}, "in memory")


def digest(body: bytes) -> str:
    """The SHA-256 as contracts have it."""
    return hashlib.sha256(body).hexdigest()


def promised(**changes: Any) -> dict[str, Any]:
    """The contract of a second model that can be asked what `contract()` is asked."""
    return {
        "schema_version": 1,
        "model": {
            "name": "embedding",
            "version": "1",
            "base": "fake",
            "encoder_sha256": "0" * 64,
            "onnx_sha256": digest(b"onnx"),
            "precision": "fp32",
            "opset": 20,
        },
        "inputs": ["input_ids", "attention_mask"],
        "embedding": {"output": "vector", "dimensions": 4, "background": {"file": "b.txt", "sha256": digest(FILE)}},
        "max_length": 64,
        "buckets": [16, 32, 64],
        "max_batch_size": 64,
        "pad_id": 0,
        "tokenizer": {"file": "tokenizer.json", "sha256": "0" * 64},
        **changes,
    }


def repository(folder: Path, **changes: Any) -> Settings:
    """A repository with a second model, and settings that name it."""
    model = folder / "embedding"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.onnx").write_bytes(b"onnx")
    (model / "b.txt").write_bytes(FILE)
    (model / "contract.json").write_text(json.dumps(promised(**changes)))
    return Settings(model=ModelSettings(repository=folder))


def vector(ids: Any) -> list[float]:
    """Some unit vector that depends on the ids."""
    some = np.random.default_rng(abs(hash(tuple(ids))) % 2**32).normal(size=4)
    return [float(value) for value in some / np.linalg.norm(some)]


def once(call: Callable[[], T]) -> T:
    """Ask once."""
    return call()


class Opener:
    """Opens a model in memory, and remembers for what."""

    def __init__(self, model: FakeModel | None = None) -> None:
        self.model = model or FakeModel(vector, info=SERVED)
        self.outputs: Any = None

    def __call__(self, _contract: AnyContract, outputs: Any) -> FakeModel:
        """See `Tools.connect`."""
        self.outputs = outputs
        return self.model

    def tools(self, until: Any = once) -> Tools:
        """With the tokenizer of one token a word."""
        return Tools(Words(), self, until)  # type: ignore[arg-type]
