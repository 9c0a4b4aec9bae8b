"""Texts of a few telling words for the tasks: what they are about, and what in them has a name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import training.tasks.heads
import training.tasks.learning
import training.tasks.serving
from tests.unit.training.builders import snippets, tiny_world
from training.recipe import Method, Recipe, Task

NOUNS = ("film", "phone", "vote", "day")
TOPICS = {"film": "culture", "phone": "trade", "vote": "politics"}
RECIPE = Recipe(
    method=Method.FULL,
    epochs=5,
    patience=5,
    batch_size=8,
    learning_rate=5e-3,
    encoder_dropout=0.0,
    head_dropout=0.0,
    label_smoothing=0.0,
    bf16=False,
)


def world(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Put the tiny encoder in place of the real ones, for the tasks too."""
    encoder = tiny_world(monkeypatch, folder)
    for module in (training.tasks.heads, training.tasks.learning):
        monkeypatch.setattr(module, "fetch_encoder", lambda _name="": encoder)
    monkeypatch.setattr(training.tasks.serving, "load_snippets", snippets)
    return encoder


def topic_file(folder: Path, count: int = 120) -> Path:
    """Write texts with two nouns each; film, phone and vote are topics of their own, day is none."""
    pairs = [(NOUNS[n % 4], NOUNS[(n // 4) % 4]) for n in range(count)]
    rows = [
        {"text": f"the {one} {n} is the {other}", "topics": sorted({TOPICS[word] for word in (one, other) if word in TOPICS})}
        for n, (one, other) in enumerate(pairs)
    ]
    return _written(folder / "topics.jsonl", rows)


def entity_file(folder: Path, count: int = 120) -> Path:
    """Write texts in which `very good` is praise and a single `phone` a product."""
    rows = []
    for n in range(count):
        text = f"the {NOUNS[n % 4]} {n} is very good" if n % 3 else f"the phone {n} is plain {NOUNS[n % 4]}"
        found = [(text.find("very good"), len("very good"), "PRAISE"), (text.find("phone"), len("phone"), "PRODUCT")]
        spans = [{"start": at, "end": at + size, "label": label} for at, size, label in found if at >= 0]
        rows.append({"text": text, "entities": spans})
    return _written(folder / "entities.jsonl", rows)


def data_of(task: Task, folder: Path) -> Path:
    """Write the task's labelled file."""
    return topic_file(folder) if task is Task.TOPICS else entity_file(folder)


def _written(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path
