"""Tiny models in a repository with all that workers and `tidings promote` want: contract, tokenizer, texts to judge by."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.support.tiny_onnx import CONFIG, EMBEDDINGS, VOCABULARY, WEIGHTS, tiny_model

LABELS = ("negative", "neutral", "positive")
WORDS = ("[PAD]", "[UNK]", *(f"w{number}" for number in range(2, VOCABULARY)))


def digest(body: bytes) -> str:
    """The SHA-256 as contracts have it."""
    return hashlib.sha256(body).hexdigest()


def tokenizer() -> bytes:
    """A tokenizer of whole words, one token each."""
    made = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    made.pre_tokenizer = Whitespace()
    return made.to_str().encode()


def write_model(folder: Path, scale: float = 1.0, temperature: float = 1.0) -> Path:
    """Write a model's folder as `tidings export` would, with version 1; returns it."""
    onnx = tiny_model(scale)
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(onnx)
    (folder / "tokenizer.json").write_bytes(tokenizer())
    (folder / "config.pbtxt").write_text(CONFIG)
    contract = {
        "schema_version": 1,
        "model": {
            "name": "sentiment",
            "version": "1",
            "base": "tiny",
            "adapter_sha256": digest(str(scale).encode()),
            "onnx_sha256": digest(onnx),
            "precision": "fp32",
            "opset": 17,
        },
        "labels": LABELS,
        "inputs": ["input_ids", "attention_mask"],
        "output": "logits",
        "max_length": 16,
        "buckets": [8, 16],
        "max_batch_size": 64,
        "pad_id": 0,
        "tokenizer": {"file": "tokenizer.json", "sha256": digest(tokenizer())},
        "calibration": {"method": "temperature", "temperature": temperature},
    }
    (folder / "contract.json").write_text(json.dumps(contract, indent=1))
    return folder


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of three to eight words, no two the same."""
    draw = random.Random(seed)
    return [f"{' '.join(draw.choices(WORDS[2:], k=draw.randint(2, 7)))} {WORDS[2 + index % 500]}" for index in range(count)]


def label_of(text: str) -> str:
    """What the model of scale 1 says of a text, and so what is true in these tests."""
    mean = EMBEDDINGS[[WORDS.index(word) for word in text.split()]].mean(axis=0)
    return LABELS[int(np.argmax(mean @ WEIGHTS))]


def write_set(path: Path, count: int = 300) -> Path:
    """Write a labelled set in which the model of scale 1 is always right; returns its path."""
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label_of(text)}\n" for text in texts(count)))
    return path
